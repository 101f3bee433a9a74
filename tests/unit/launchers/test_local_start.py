"""Starts that go wrong, and what is left of a run on disk."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from determined.errors import FailedPrecondition, InvalidInput
from determined.launchers import fork_server, forker, local
from determined.launchers.protocol import RunExit, RunSpec
from determined.testing.launcher_contract import Gate, make_context, make_spec
from determined.testing.local_machine import Machine


def run(machine: Machine, spec: RunSpec) -> tuple[RunExit, str]:
    async def scenario() -> tuple[RunExit, str]:
        async with machine.opened() as (launcher, listener):
            await launcher.start(spec)
            end = await listener.exit_of(spec.allocation_id)
            return end, "\n".join(listener.texts(spec.allocation_id))

    return asyncio.run(scenario())


@pytest.mark.parametrize("allocation_id", ["", "..", "a/b", ".news", "x" * 300, "a\0b", "a\nb"])
def test_an_id_that_cannot_be_a_folder_is_refused(machine: Machine, allocation_id: str) -> None:
    with pytest.raises(InvalidInput, match="allocation id"):
        run(machine, make_spec(allocation_id, "true"))


def test_a_run_must_carry_its_name_in_its_environment(machine: Machine) -> None:
    with pytest.raises(InvalidInput, match="DET_ALLOCATION_ID"):
        run(machine, dataclasses.replace(make_spec("1.a.1", "true"), env={}))


def test_a_file_that_is_not_executable_fails_with_126(machine: Machine, tmp_path: Path) -> None:
    context = make_context(tmp_path / "context.tgz", {"script": "#!/bin/sh\n"})
    end, log = run(machine, make_spec("1.a.1", "./script", context=context))
    assert end.code == 126
    assert "./script" in log


def test_an_empty_command_is_the_runs_own_failure(machine: Machine) -> None:
    end, log = run(machine, make_spec("1.a.1"))
    assert end.code == 126
    assert "empty" in log


@pytest.mark.parametrize("env", [{"A": "nul\0"}, {"A=B": "x"}, {"A": "\ud800\ud801"}])
def test_an_environment_that_cannot_be_is_the_runs_own_failure(machine: Machine, env: dict[str, str]) -> None:
    end, log = run(machine, make_spec("1.a.1", "true", env=env))
    assert end.code == 126
    assert "cannot start" in log


def test_an_info_file_cannot_be_written_elsewhere(machine: Machine) -> None:
    end, log = run(machine, make_spec("1.a.1", "true", info_files={"../x": "{}"}))
    assert end.code == 1
    assert "'../x'" in log


def test_a_context_that_vanished_is_the_systems_failure(machine: Machine, tmp_path: Path) -> None:
    end, _ = run(machine, make_spec("1.a.1", "true", context=tmp_path / "absent.tgz"))
    assert end.code is None
    assert "absent.tgz" in end.reason


def test_whatever_goes_wrong_in_a_start_ends_the_run(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody had thought of a SystemError of the interpreter; the run neither started nor ended."""

    def fail(*_: object) -> None:
        raise SystemError("nobody thought of this")

    monkeypatch.setattr(local, "prepare", fail)
    end, _ = run(machine, make_spec("1.a.1", "true"))
    assert (end.code, end.reason) == (None, "the run could not be started: SystemError: nobody thought of this")


def test_an_interpreter_that_cannot_start_is_the_systems_failure(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    end, _ = run(machine, make_spec("1.a.1", "true"))
    assert end.code is None
    assert "/no/such/python" in end.reason


def test_a_fork_server_that_dies_at_once_is_the_systems_failure(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server, "BOOT", "raise SystemExit('broken installation')")
    end, _ = run(machine, make_spec("1.a.1", "true"))
    assert end.code is None
    assert "broken installation" in end.reason


def test_a_fork_server_that_was_killed_is_replaced(machine: Machine) -> None:
    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "true"))
            await listener.exit_of("1.a.1")
            server = psutil.Process(launcher._forker.pid)
            server.kill()
            server.wait()
            await launcher.start(make_spec("1.b.1", "sh", "-c", "exit 3"))
            assert (await listener.exit_of("1.b.1")).code == 3

    asyncio.run(scenario())


def test_a_fork_server_that_hangs_is_replaced_and_the_run_happens_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "true"))
            await listener.exit_of("1.a.1")
            monkeypatch.setattr(forker, "PATIENCE_S", 0.2)
            psutil.Process(launcher._forker.pid).suspend()
            monkeypatch.setattr(forker.Forker, "close", _patient_again(monkeypatch, forker.Forker.close))
            await launcher.start(make_spec("1.b.1", "sh", "-c", "echo once"))
            assert (await listener.exit_of("1.b.1")).code == 0
            assert listener.texts("1.b.1") == ["once"]

    asyncio.run(scenario())


def _patient_again(monkeypatch: pytest.MonkeyPatch, close: object) -> object:
    def closing(self: forker.Forker) -> None:
        monkeypatch.setattr(forker, "PATIENCE_S", 30.0)
        close(self)  # type: ignore[operator]

    return closing


def test_two_shims_on_one_run_start_one_process(machine: Machine) -> None:
    """The request for a shim may be carried out twice when its answer is lost."""

    async def scenario() -> None:
        gate = Gate(machine.data.parent / "gate")
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", f"echo up; {gate.wait}"))
            await listener.line_of("1.a.1", "up")
            lock_fd = os.open(machine.folder() / "lock", os.O_RDWR)
            await launcher._forker.spawn(machine.folder(), lock_fd)
            os.close(lock_fd)
            gate.open()
            await listener.exit_of("1.a.1")
            assert listener.texts("1.a.1") == ["up"]

    asyncio.run(scenario())


def test_secrets_go_with_the_run_and_the_log_stays(machine: Machine, tmp_path: Path) -> None:
    context = make_context(tmp_path / "context.tgz", {"a": "a"})
    text = "mkdir -p d/e; chmod 0500 d; stat -c %a .. ../info ../spec.json ../info/i.json"
    spec = make_spec("1.a.1", "sh", "-c", text, context=context, info_files={"i.json": "{}"})
    end, log = run(machine, spec)
    assert (end.code, log.split()) == (0, ["700", "700", "600", "600"])
    assert sorted(path.name for path in machine.folder().iterdir()) == ["exit.json", "lock", "log", "shim.json"]


def test_files_of_a_run_whose_master_stopped_too_early_are_deleted_later(machine: Machine) -> None:
    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "true"))
            await listener.exit_of("1.a.1")
        machine.folder().joinpath("scratch/work").mkdir(parents=True)
        async with machine.opened():
            assert not machine.folder().joinpath("scratch/work").exists()

    asyncio.run(scenario())


def test_a_live_run_cannot_be_removed(machine: Machine) -> None:
    async def scenario() -> None:
        gate = Gate(machine.data.parent / "gate")
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", f"echo up; {gate.wait}"))
            await listener.line_of("1.a.1", "up")
            with pytest.raises(FailedPrecondition, match=r"1\.a\.1"):
                await launcher.remove("1.a.1")
            gate.open()
            await listener.exit_of("1.a.1")
            await launcher.remove("1.a.1")
            assert not machine.folder().exists()

    asyncio.run(scenario())


def test_signals_start_with_their_defaults(machine: Machine) -> None:
    end, log = run(machine, make_spec("1.a.1", "sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status"))
    assert end.code == 0
    # The C library keeps two signals to itself; nobody can reset them, and make hands them down ignored.
    nameable = sum(1 << (number - 1) for number in signal.valid_signals())
    assert [int(line.split()[1], 16) & nameable for line in log.splitlines()] == [0, 0]
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN

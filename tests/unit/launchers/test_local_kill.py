"""After its end was reported no process of a run exists, whatever it did to escape."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys

import psutil
import pytest

from determined.launchers import prepare
from determined.launchers import run as run_module
from determined.launchers.local import LocalLauncher
from determined.testing.launcher_contract import Gate, RecordingListener, make_spec
from determined.testing.local_machine import Machine

DAEMON = """
import os, signal, sys
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(1, b"daemon %d\\n" % os.getpid())
            os.closerange(0, 100)
            os.execve("/bin/sleep", ["sleep", "1000"], {})
        os._exit(0)
    os.wait()
"""
"""A daemon in a session of its own, with nothing inherited: no environment, no descriptor, no parent."""


@contextlib.asynccontextmanager
async def daemon_of(machine: Machine, then: str):  # type: ignore[no-untyped-def]
    async with machine.opened() as (launcher, listener):
        await launcher.start(make_spec("1.a.1", sys.executable, "-c", f"{DAEMON}\ndaemon()\n{then}"))
        pid = int(await listener.line_of("1.a.1", "daemon "))
        yield launcher, listener, pid


def assert_all_gone(machine: Machine, *pids: int) -> None:
    """The run's processes at once, and its shim as soon as it has given back its memory."""
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(machine.shim()["pid"]).wait(timeout=60)
    assert [pid for pid in pids if is_alive(pid)] == []
    assert machine.processes() == []


def is_alive(pid: int) -> bool:
    """A dead process that nobody has collected yet still has its pid."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_daemon_is_killed_with_its_run(machine: Machine) -> None:
    async def scenario() -> None:
        async with daemon_of(machine, "os.write(1, b'up\\n'); signal.pause()") as (launcher, listener, pid):
            await listener.line_of("1.a.1", "up")
            await launcher.kill("1.a.1")
            assert (await listener.exit_of("1.a.1")).code == 137
            assert_all_gone(machine, pid, machine.shim()["child"])

    asyncio.run(scenario())


def test_a_daemon_is_killed_when_its_run_ends_by_itself(machine: Machine) -> None:
    async def scenario() -> None:
        async with daemon_of(machine, "sys.exit(7)") as (_, listener, pid):
            assert (await listener.exit_of("1.a.1")).code == 7
            assert_all_gone(machine, pid, machine.shim()["child"])

    asyncio.run(scenario())


def test_processes_that_outlive_the_main_process_shortly_may_finish(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the one that frees shared memory after a Python program."""
    monkeypatch.setattr(prepare, "LEFTOVER_GRACE_S", 60.0)

    async def scenario() -> None:
        gate = Gate(machine.data.parent / "gate")
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", f"({gate.wait}; echo tidied) & echo $$; exit 2"))
            await listener.until(lambda: bool(listener.texts("1.a.1")), "the first line")
            gate.open()
            assert (await listener.exit_of("1.a.1")).code == 2
            assert listener.texts("1.a.1")[-1] == "tidied"

    asyncio.run(scenario())


def test_a_tree_of_processes_is_killed(machine: Machine) -> None:
    async def scenario() -> None:
        text = "for n in 1 2 3 4 5; do (setsid sh -c 'echo pid $$; sleep 1000 & sleep 1000' &) ; done; sleep 1000"
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", text))
            await listener.until(lambda: len(listener.texts("1.a.1")) == 5, "five groups")
            await launcher.kill("1.a.1")
            assert (await listener.exit_of("1.a.1")).code == 137
            assert_all_gone(machine)

    asyncio.run(scenario())


def test_a_run_killed_by_somebody_else_counts_as_killed(machine: Machine) -> None:
    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", "echo up; read _ < /dev/zero"))
            await listener.line_of("1.a.1", "up")
            os.kill(machine.shim()["child"], signal.SIGKILL)
            assert (await listener.exit_of("1.a.1")).code == 137

    asyncio.run(scenario())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_shim_does_not_mind_signals_of_a_terminal(machine: Machine, number: signal.Signals) -> None:
    async def scenario() -> None:
        gate = Gate(machine.data.parent / "gate")
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", f"echo up; {gate.wait}; exit 8"))
            await listener.line_of("1.a.1", "up")
            os.kill(machine.shim()["pid"], number)
            gate.open()
            assert (await listener.exit_of("1.a.1")).code == 8

    asyncio.run(scenario())


async def start_family(machine: Machine, launcher: LocalLauncher, listener: RecordingListener) -> list[int]:
    """A run with a child in a session of its own; their pids and the shim's."""
    text = "setsid sh -c 'echo child $$; sleep 1000' & echo up $$; wait"
    await launcher.start(make_spec("1.a.1", "sh", "-c", text))
    child = int(await listener.line_of("1.a.1", "child "))
    await listener.line_of("1.a.1", "up ")
    return [child, machine.shim()["pid"], machine.shim()["child"]]


def test_a_lost_shim_is_noticed_at_once_and_its_run_killed(machine: Machine) -> None:
    """The run cannot be watched any more; its end is the system's failure, reported once."""

    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            family = await start_family(machine, launcher, listener)
            os.kill(machine.shim()["pid"], signal.SIGKILL)
            end = await listener.exit_of("1.a.1")
            assert end.code is None
            assert "not recorded" in end.reason
            assert_all_gone(machine, *family)
            assert len(listener.texts("1.a.1")) == 2

    asyncio.run(scenario())


def test_a_shim_that_hangs_is_killed_with_its_run(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "KILL_PATIENCE_S", 0.05)

    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            family = await start_family(machine, launcher, listener)
            os.kill(machine.shim()["pid"], signal.SIGSTOP)
            await launcher.kill("1.a.1")
            await launcher.kill("1.a.1")
            assert (await listener.exit_of("1.a.1")).code is None
            assert_all_gone(machine, *family)

    asyncio.run(scenario())


def test_a_run_killed_before_it_has_a_process_never_gets_one(machine: Machine) -> None:
    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", "echo up"))
            await launcher.kill("1.a.1")
            assert (await listener.exit_of("1.a.1")).code == 137
            assert listener.texts("1.a.1") == []
            assert not machine.folder().joinpath("shim.json").exists()

    asyncio.run(scenario())


def test_runs_killed_at_any_moment_of_their_start_leave_nothing(machine: Machine) -> None:
    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            ids = [f"1.r{number}.1" for number in range(30)]
            for name in ids:
                await launcher.start(make_spec(name, "sh", "-c", "sleep 1000 & setsid sleep 1000"))
            for name in ids:
                await launcher.kill(name)
                await asyncio.to_thread(machine.processes, name)
            for name in ids:
                assert (await listener.exit_of(name)).code == 137
                assert machine.processes(name) == []

    asyncio.run(scenario())


def test_a_run_whose_folder_was_deleted_leaves_nothing_behind(machine: Machine) -> None:
    """Its end cannot be recorded, and trying for ever kept the small process beside it alive for ever."""

    async def scenario() -> None:
        gate = Gate(machine.data.parent / "gate")
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", f"echo up; {gate.wait}"))
            await listener.line_of("1.a.1", "up")
            shim = psutil.Process(machine.shim()["pid"])
            shutil.rmtree(machine.folder())
            gate.open()
            await asyncio.to_thread(shim.wait, 30)

    asyncio.run(scenario())

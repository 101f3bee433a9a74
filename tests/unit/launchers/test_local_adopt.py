"""Runs outlive the master, which is killed here at every awkward moment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import determined
from determined.launchers import prepare
from determined.testing.launcher_contract import Gate, make_spec
from determined.testing.local_machine import Machine

MASTER = """
import asyncio, json, os, signal, sys
from pathlib import Path
from determined.launchers.local import LocalLauncher
from determined.testing.launcher_contract import RecordingListener, make_spec

async def main(data, text, moment):
    launcher, listener = LocalLauncher(Path(data), slots=2), RecordingListener()
    await launcher.open(listener)
    await launcher.start(make_spec("1.warm.1", "true"))
    await listener.exit_of("1.warm.1")
    server = launcher._forker.pid
    if moment == "requested":
        os.kill(server, signal.SIGSTOP)
    spawn = launcher._forker.spawn
    async def watched(folder, lock_fd):
        if moment == "prepared":
            print(json.dumps({"server": server}), flush=True)
            await asyncio.Event().wait()
        asyncio.get_running_loop().call_later(0.2, lambda: print(json.dumps({"server": server}), flush=True))
        await spawn(folder, lock_fd)
    launcher._forker.spawn = watched
    await launcher.start(make_spec("1.a.1", "sh", "-c", text))
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""
"""A master that says when it is at the given moment, and is killed then."""


def die_at(machine: Machine, moment: str, text: str) -> int:
    """Run a master up to a moment and kill it there; the pid of its fork server."""
    env = {**os.environ, "PYTHONPATH": str(Path(determined.__file__).parents[1])}
    command = [sys.executable, "-c", MASTER, str(machine.data), text, moment]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as master:
        assert master.stdout is not None
        server: int = json.loads(master.stdout.readline())["server"]
        master.kill()
    return server


def test_a_master_killed_before_it_asked_for_a_process_starts_the_run_again(machine: Machine) -> None:
    die_at(machine, "prepared", "echo never")

    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            assert machine.folder().joinpath("scratch/spec.json").exists()
            assert not await launcher.adopt("1.a.1", 0)
            await launcher.start(make_spec("1.a.1", "sh", "-c", "echo once; exit 3"))
            assert (await listener.exit_of("1.a.1")).code == 3
            assert listener.texts("1.a.1") == ["once"]

    asyncio.run(scenario())


@pytest.mark.parametrize("start_again", [False, True])
def test_a_process_that_was_asked_for_counts_as_started(machine: Machine, start_again: bool) -> None:
    """The request lies in a socket, with the run's lock in it; nobody has read it yet, and the master is dead.

    An earlier design let the shim take the lock: for some milliseconds the run looked as if it had never been started.
    """
    server = die_at(machine, "requested", "echo once; exit 4")

    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            assert await launcher.adopt("1.a.1", 0)
            if start_again:
                await launcher.start(make_spec("1.a.1", "sh", "-c", "echo twice"))
            os.kill(server, signal.SIGCONT)
            assert (await listener.exit_of("1.a.1")).code == 4
            assert listener.texts("1.a.1") == ["once"]

    asyncio.run(scenario())


def test_a_start_after_such_a_death_does_not_run_twice_either(machine: Machine) -> None:
    server = die_at(machine, "requested", "echo once; exit 4")

    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", "echo twice"))
            os.kill(server, signal.SIGCONT)
            assert (await listener.exit_of("1.a.1")).code == 4
            assert listener.texts("1.a.1") == ["once"]

    asyncio.run(scenario())


def test_a_process_that_was_asked_for_in_vain_is_reported(machine: Machine) -> None:
    server = die_at(machine, "requested", "echo never")

    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            assert await launcher.adopt("1.a.1", 0)
            os.kill(server, signal.SIGKILL)
            assert (await listener.exit_of("1.a.1")).code is None

    asyncio.run(scenario())


def test_a_run_does_not_notice_that_its_master_is_killed(machine: Machine) -> None:
    gate = Gate(machine.data.parent / "gate")
    die_at(machine, "running", f"echo pid $$; {gate.wait}; echo pid $$; exit 5")

    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            assert await launcher.adopt("1.a.1", 0)
            await listener.line_of("1.a.1", "pid ")
            gate.open()
            assert (await listener.exit_of("1.a.1")).code == 5
            first, second = listener.texts("1.a.1")
            assert first == second
            assert listener.seen_running == {"1.a.1"}

    asyncio.run(scenario())


def test_three_masters_deliver_each_line_once(machine: Machine) -> None:
    async def scenario() -> None:
        gate = Gate(machine.data.parent / "gate")
        text = f"echo 0; {gate.wait}; echo 1; {gate.wait}; echo 2; {gate.wait}; echo 3"
        seen: list[str] = []
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", text))
            await listener.line_of("1.a.1", "0")
            seen += listener.texts("1.a.1")
            child = machine.shim()["child"]
        for number in (1, 2):
            async with machine.opened({"1.a.1": number}) as (launcher, listener):
                assert await launcher.adopt("1.a.1", number)
                assert await launcher.adopt("1.a.1", number)
                gate.open()
                await listener.line_of("1.a.1", str(number))
                seen += listener.texts("1.a.1")
                assert psutil.pid_exists(child)
        gate.open()
        async with machine.opened({"1.a.1": 3}) as (launcher, listener):
            assert await launcher.adopt("1.a.1", 3)
            assert (await listener.exit_of("1.a.1")).code == 0
            assert seen + listener.texts("1.a.1") == ["0", "1", "2", "3"]

    asyncio.run(scenario())


def test_an_adopted_run_can_be_killed(machine: Machine) -> None:
    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", "echo up; sleep 1000 & setsid sleep 1000"))
            await listener.line_of("1.a.1", "up")
        async with machine.opened() as (launcher, listener):
            assert await launcher.adopt("1.a.1", 0)
            await launcher.kill("1.a.1")
            assert (await listener.exit_of("1.a.1")).code == 137
            assert machine.processes() == []

    asyncio.run(scenario())


def test_an_end_is_reported_the_same_way_again(machine: Machine) -> None:
    """The master may die before it has stored it."""

    async def scenario() -> None:
        ends = []
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", "exit 9"))
            ends.append(await listener.exit_of("1.a.1"))
        async with machine.opened() as (launcher, listener):
            assert await launcher.adopt("1.a.1", 0)
            ends.append(await listener.exit_of("1.a.1"))
        assert ends[0] == ends[1]

    asyncio.run(scenario())


def test_a_run_whose_shim_was_killed_while_no_master_lived_is_swept(machine: Machine) -> None:
    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", "echo up; sleep 1000 & wait"))
            await listener.line_of("1.a.1", "up")
        shim = psutil.Process(machine.shim()["pid"])
        shim.kill()
        await asyncio.to_thread(psutil.wait_procs, [shim])
        assert machine.processes()
        async with machine.opened() as (launcher, listener):
            assert await launcher.adopt("1.a.1", 0)
            assert (await listener.exit_of("1.a.1")).code is None
            assert listener.texts("1.a.1") == ["up"]
            assert machine.processes() == []

    asyncio.run(scenario())


def test_another_process_with_the_shims_pid_is_left_alone(machine: Machine) -> None:
    """After a restart of the machine the pid on record may be anybody's."""

    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            folder = machine.folder()
            folder.mkdir()
            stranger = await asyncio.create_subprocess_exec("sleep", "1000")
            folder.joinpath("lock").touch()
            record = {"pid": stranger.pid, "start_ticks": 1, "child": stranger.pid}
            folder.joinpath("shim.json").write_text(json.dumps(record))
            assert await launcher.adopt("1.a.1", 0)
            assert (await listener.exit_of("1.a.1")).code is None
            assert stranger.returncode is None
            stranger.kill()
            await stranger.wait()

    asyncio.run(scenario())


def test_half_of_a_preparation_is_replaced_by_the_next_start(machine: Machine) -> None:
    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            machine.folder().joinpath("scratch/work").mkdir(parents=True)
            machine.folder().joinpath("scratch", "work", "stale").touch()
            assert not await launcher.adopt("1.a.1", 0)
            await launcher.start(make_spec("1.a.1", "ls"))
            await listener.exit_of("1.a.1")
            assert listener.texts("1.a.1") == []
            prepare.clear(machine.folder())

    asyncio.run(scenario())


def test_closing_in_the_middle_of_a_start_leaves_it_to_the_next_master(machine: Machine) -> None:
    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", "echo first"))
            await asyncio.gather(launcher.close())
        async with machine.opened() as (launcher, listener):
            if not await launcher.adopt("1.a.1", 0):
                await launcher.start(make_spec("1.a.1", "sh", "-c", "echo second"))
            await listener.exit_of("1.a.1")
            assert len(listener.texts("1.a.1")) == 1

    asyncio.run(scenario())

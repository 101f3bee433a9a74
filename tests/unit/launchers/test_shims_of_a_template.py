"""The shims of a template serve one run after the other, and nothing of a run reaches the next."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import psutil
import pytest

from determined.launchers import fork_server, paths
from determined.launchers.local import LocalLauncher
from determined.launchers.protocol import RunExit, Warm
from determined.testing.launcher_contract import Gate, RecordingListener, make_context, make_spec
from determined.testing.local_machine import Machine

WORK = "import os, sys\nprint(os.environ['DET_ALLOCATION_ID'], os.getppid())\n"


class Runs:
    """Runs of one program."""

    def __init__(self, machine: Machine, tmp_path: Path, launcher: LocalLauncher, listener: RecordingListener) -> None:
        self.machine = machine
        self.launcher = launcher
        self.listener = listener
        self._folder = tmp_path

    async def start(self, name: str, text: str = "") -> None:
        """Begin a run."""
        context = make_context(self._folder / f"{name}.tgz", {"train.py": WORK + text})
        spec = make_spec(name, sys.executable, "train.py", context=context)
        await self.launcher.start(dataclasses.replace(spec, warm=Warm(("train.py",), modules=())))

    async def run(self, name: str, text: str = "") -> tuple[int | None, int]:
        """Exit code and shim of a run."""
        await self.start(name, text)
        end: RunExit = await self.listener.exit_of(name)
        return end.code, self.shim(name)

    def shim(self, name: str) -> int:
        """The pid of a run's shim."""
        pid: int = self.machine.shim(name)["pid"]
        return pid

    async def waiting(self, pid: int | None = None) -> list[psutil.Process]:
        """The shims that wait, each with a child; there is one at least, or the one that is named."""
        (template,) = self.launcher._warm_forkers.pids

        def look() -> list[psutil.Process]:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                shims = [shim for shim in psutil.Process(template).children() if _waits(shim)]
                if any(pid in (None, shim.pid) for shim in shims):
                    return shims
                os.sched_yield()
            raise AssertionError("no shim waits for a run")

        return await asyncio.to_thread(look)


def _waits(shim: psutil.Process) -> bool:
    """Whether a shim and its child have nothing to do."""
    with contextlib.suppress(psutil.Error):
        both = [shim, *shim.children()]
        return len(both) == 2 and all((p.name(), p.status()) == ("det-waiting", psutil.STATUS_SLEEPING) for p in both)
    return False


Scenario = Callable[[Runs], Coroutine[None, None, None]]
Scene = Callable[[Scenario], None]


@pytest.fixture
def scene(machine: Machine, tmp_path: Path) -> Scene:
    """Runs a scenario with an open launcher."""

    def play(scenario: Scenario) -> None:
        async def go() -> None:
            async with machine.opened() as (launcher, listener):
                await scenario(Runs(machine, tmp_path, launcher, listener))

        asyncio.run(go())

    return play


def test_one_run_after_the_other_has_the_same_shim_and_a_process_and_a_log_of_its_own(scene: Scene) -> None:
    async def scenario(runs: Runs) -> None:
        found = [await runs.run(f"1.{n}.1", f"print('n', {n})\nsys.exit({n})") for n in range(8)]
        assert [code for code, _ in found] == list(range(8))
        assert len({shim for _, shim in found}) == 1
        for n, (_, shim) in enumerate(found):
            assert runs.listener.texts(f"1.{n}.1") == [f"1.{n}.1 {shim}", f"n {n}"]

    scene(scenario)


def test_a_shim_keeps_nothing_of_the_runs_that_it_had(scene: Scene) -> None:
    async def scenario(runs: Runs) -> None:
        def open_now(pid: int) -> list[str]:
            return sorted(str(entry.readlink()).split(":")[0] for entry in Path(f"/proc/{pid}/fd").iterdir())

        _, shim = await runs.run("1.0.1")
        await runs.waiting(shim)
        first = open_now(shim)
        for n in range(1, 6):
            await runs.run(f"1.{n}.1", "print('x' * 100000)\nos.fork() or os.setsid()\n")
        await runs.waiting(shim)
        assert runs.shim("1.5.1") == shim
        assert open_now(shim) == first

    scene(scenario)


def test_a_shim_has_no_other_run_before_its_run_is_let_go(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(runs: Runs) -> None:
        released: list[Path] = []
        with monkeypatch.context() as patch:
            patch.setattr("determined.launchers.forker.Forker.release", lambda _, folder: released.append(folder))
            _, first = await runs.run("1.0.1")
            _, second = await runs.run("1.1.1")
        assert first != second
        assert released == [runs.machine.folder(name) for name in ("1.0.1", "1.1.1")]

    scene(scenario)


def test_a_signal_that_was_meant_for_the_run_before_does_not_stop_the_next(scene: Scene) -> None:
    async def scenario(runs: Runs) -> None:
        _, first = await runs.run("1.0.1")
        for shim in await runs.waiting():
            shim.terminate()
        code, second = await runs.run("1.1.1", "print('whole')")
        assert (code, second) == (0, first)
        assert runs.listener.texts("1.1.1")[-1] == "whole"

    scene(scenario)


def test_a_shim_whose_run_was_killed_serves_and_kills_the_next(scene: Scene, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    async def scenario(runs: Runs) -> None:
        text = f"os.fork() or os.setsid()\nopen({str(gate.path)!r}).readline()\n"
        for name in ("1.0.1", "1.1.1"):
            await runs.start(name, text)
            await runs.listener.line_of(name, name)
            await runs.launcher.kill(name)
            end = await runs.listener.exit_of(name)
            assert end.code == 137
            assert runs.machine.processes(name) == []
        assert runs.shim("1.0.1") == runs.shim("1.1.1")
        assert await runs.run("1.2.1") == (0, runs.shim("1.0.1"))

    scene(scenario)


def test_shims_that_wait_end_with_their_template_although_another_has_a_run(scene: Scene, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    async def scenario(runs: Runs) -> None:
        await runs.run("1.0.1")
        await runs.start("1.1.1", f"open({str(gate.path)!r}).readline()\nprint('on')")
        await runs.listener.line_of("1.1.1", "1.1.1")
        idle = await runs.waiting()
        children = [child for shim in idle for child in shim.children()]
        (template,) = runs.launcher._warm_forkers.pids
        psutil.Process(template).kill()
        gone, alive = await asyncio.to_thread(psutil.wait_procs, [*idle, *children], timeout=60)
        assert (len(gone), alive) == (2 * len(idle), [])
        busy = psutil.Process(runs.shim("1.1.1"))
        gate.open()
        assert (await runs.listener.exit_of("1.1.1")).code == 0
        assert runs.listener.texts("1.1.1")[-1] == "on"
        assert (await asyncio.to_thread(psutil.wait_procs, [busy], timeout=60))[1] == []
        assert (await runs.run("1.2.1"))[0] == 0

    scene(scenario)


def test_no_more_shims_are_kept_than_a_few(scene: Scene, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    many = fork_server.MOST_WAITING + 3

    async def scenario(runs: Runs) -> None:
        names = [f"1.{n}.1" for n in range(many)]
        for name in names:
            await runs.start(name, f"os.read(os.open({str(gate.path)!r}, os.O_RDONLY), 3)")
        for name in names:
            await runs.listener.line_of(name, name)
        shims = [psutil.Process(runs.shim(name)) for name in names]
        for _ in names:
            gate.open()
        for name in names:
            assert (await runs.listener.exit_of(name)).code == 0
        # One more was forked ahead, and waits too.
        gone = await asyncio.to_thread(_gone_of, shims, many - fork_server.MOST_WAITING + 1)
        assert len(gone) == many - fork_server.MOST_WAITING + 1
        assert (await runs.run("1.99.1"))[0] == 0

    scene(scenario)


def _gone_of(processes: list[psutil.Process], least: int) -> list[psutil.Process]:
    """Those that end, once there are so many."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        gone = [process for process in processes if not process.is_running() or process.status() == "zombie"]
        if len(gone) >= least:
            return gone
        os.sched_yield()
    raise AssertionError(f"fewer than {least} of {len(processes)} shims have ended")


def test_a_run_for_which_a_shim_was_killed_just_then_gets_another(scene: Scene) -> None:
    async def scenario(runs: Runs) -> None:
        await runs.run("1.0.1")
        waiting = await runs.waiting(runs.shim("1.0.1"))
        for shim in waiting:
            # Its socket takes the run, and nobody reads it.
            shim.suspend()
        await asyncio.to_thread(_until, lambda: all(shim.status() == psutil.STATUS_STOPPED for shim in waiting))
        await runs.start("1.1.1", "print('whole')")
        spec = runs.machine.folder("1.1.1") / paths.SPEC
        # Before that it holds what is left of the order of another run.
        await asyncio.to_thread(_until, lambda: spec.exists() and paths.read_record(spec) is not None)
        for shim in await asyncio.to_thread(_stopped, runs.launcher):
            shim.kill()
        assert (await runs.listener.exit_of("1.1.1")).code == 0
        assert runs.listener.texts("1.1.1")[-1] == "whole"

    scene(scenario)


def test_a_run_whose_folder_is_deleted_ends_for_the_master_too(scene: Scene, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    async def scenario(runs: Runs) -> None:
        await runs.start("1.0.1", f"open({str(gate.path)!r}).readline()")
        await runs.listener.line_of("1.0.1", "1.0.1")
        shutil.rmtree(runs.machine.folder("1.0.1"))
        gate.open()
        assert (await runs.listener.exit_of("1.0.1")).code is None
        assert (await runs.run("1.1.1"))[0] == 0

    scene(scenario)


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        os.sched_yield()


def _stopped(launcher: LocalLauncher) -> list[psutil.Process]:
    (template,) = launcher._warm_forkers.pids
    shims = psutil.Process(template).children()
    return [shim for shim in shims if shim.status() == psutil.STATUS_STOPPED]

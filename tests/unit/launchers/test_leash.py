"""Runs that must not outlive the process that keeps them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from determined.launchers import leash
from determined.launchers.local import LocalLauncher
from determined.testing.launcher_contract import RecordingListener, make_spec

KEEPER = """
import asyncio, sys
from pathlib import Path
from determined.launchers.local import LocalLauncher
from determined.testing.launcher_contract import RecordingListener, make_spec

async def main():
    launcher, listener = LocalLauncher(Path(sys.argv[1]), leashed=sys.argv[2] == "leashed"), RecordingListener()
    await launcher.open(listener)
    text = "(setsid sh -c 'echo child $$; sleep 1000' &); echo main $$; sleep 1000"
    await launcher.start(make_spec("1.a.1", "sh", "-c", text))
    print(await listener.line_of("1.a.1", "child "), await listener.line_of("1.a.1", "main "), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def start_keeper(folder: Path, how: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A process that keeps a run, and all processes of the run."""
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER, str(folder), how], stdout=subprocess.PIPE, text=True)
    assert keeper.stdout is not None
    pids = keeper.stdout.readline().split()
    main = psutil.Process(int(pids[1]))
    return keeper, [psutil.Process(int(pids[0])), main, *main.parents()[:1]]


def test_a_leashed_run_dies_with_its_keeper(tmp_path: Path) -> None:
    keeper, family = start_keeper(tmp_path, "leashed")
    with keeper:
        keeper.kill()
    psutil.wait_procs(family)


def test_a_leashed_run_dies_even_if_its_shim_is_killed_too(tmp_path: Path) -> None:
    """Its main process at least; the next keeper on the machine looks for the rest."""
    keeper, [child, main, shim] = start_keeper(tmp_path, "leashed")
    assert shim.name() == "det-shim"
    with keeper:
        shim.suspend()
        keeper.kill()
        shim.kill()
    psutil.wait_procs([main, shim])
    child.kill()


def test_other_runs_outlive_their_launcher(tmp_path: Path) -> None:
    keeper, [child, main, shim] = start_keeper(tmp_path, "free")
    with keeper:
        keeper.kill()
    assert child.is_running()
    assert main.is_running()
    shim.terminate()
    psutil.wait_procs([child, main, shim])


@pytest.mark.parametrize("how", ["released", "removed"])
def test_a_leash_that_nobody_holds_cannot_be_grasped(tmp_path: Path, how: str) -> None:
    path = tmp_path / "leash"
    os.close(leash.hold(path))
    if how == "removed":
        path.unlink()
    assert leash.grasp(path) is None


def test_a_leashed_run_ends_as_any_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        launcher, listener = LocalLauncher(tmp_path, leashed=True), RecordingListener()
        await launcher.open(listener)
        await launcher.start(make_spec("1.a.1", "sh", "-c", "echo one; exit 3"))
        assert (await listener.exit_of("1.a.1")).code == 3
        assert listener.texts("1.a.1") == ["one"]
        await launcher.close()

    asyncio.run(scenario())

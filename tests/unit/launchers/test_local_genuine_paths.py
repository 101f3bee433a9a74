"""Runs that need the fixed paths of the genuine trial library, side by side."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import determined
from determined.launchers import child, environment
from determined.launchers.environment import GENUINE_ROOT, GENUINE_SHARED_FS
from determined.launchers.protocol import RunSpec
from determined.testing.launcher_contract import Gate, make_context, make_spec
from determined.testing.local_machine import Machine

MOUNT_POINTS = (Path(GENUINE_ROOT), Path(GENUINE_SHARED_FS))


def obstacle() -> str:
    """Why it cannot work here, or ""."""
    text = "from determined.launchers import namespaces; namespaces.enter([])"
    env = {**os.environ, "PYTHONPATH": str(Path(determined.__file__).parents[1])}
    tried = subprocess.run([sys.executable, "-c", text], env=env, capture_output=True, text=True)
    if tried.returncode != 0:
        return tried.stderr.strip().splitlines()[-1]
    missing = [str(point) for point in MOUNT_POINTS if not point.exists() and not os.access(point.parent, os.W_OK)]
    return f"{missing} must be made by root" if missing else ""


OBSTACLE = obstacle()
possible_only = pytest.mark.skipif(bool(OBSTACLE), reason=f"no private mounts here: {OBSTACLE}")


@pytest.fixture
def _clean_machine() -> Iterator[None]:
    """Mount points that were made for the test go again."""
    made = [point for point in MOUNT_POINTS if not point.exists()]
    yield
    for point in made:
        with contextlib.suppress(OSError):
            point.rmdir()


def make_genuine(allocation_id: str, text: str, context: Path | None, shared: Path) -> RunSpec:
    spec = make_spec(allocation_id, "sh", "-c", text, context=context, info_files={"trial.json": allocation_id})
    return dataclasses.replace(spec, genuine_paths=True, shared_fs_host_path=str(shared))


@possible_only
@pytest.mark.usefixtures("_clean_machine")
def test_each_run_has_the_fixed_paths_for_itself(machine: Machine, tmp_path: Path) -> None:
    async def scenario() -> None:
        gate = Gate(tmp_path / "gate")
        context = make_context(tmp_path / "context.tgz", {"model.py": "the model\n"})
        text = (
            f"pwd; cat {GENUINE_ROOT}/info/trial.json; echo; cat model.py; cat {GENUINE_ROOT}/train/model/model.py; "
            f"echo x > $DET_ALLOCATION_ID; {gate.wait}; ls; echo saved > {GENUINE_SHARED_FS}/$DET_ALLOCATION_ID"
        )
        async with machine.opened() as (launcher, listener):
            names = ["1.a.1", "1.b.1"]
            for name in names:
                await launcher.start(make_genuine(name, text, context, tmp_path / "shared"))
            for name in names:
                await listener.until(lambda: len(listener.texts(name)) == 4, "four lines")  # noqa: B023
            for _ in names:
                gate.open()
            for name in names:
                assert (await listener.exit_of(name)).code == 0
                expected = [f"{GENUINE_ROOT}/workdir", name, "the model", "the model", name, "model.py"]
                assert listener.texts(name) == expected
                assert tmp_path.joinpath("shared", name).read_text() == "saved\n"

    asyncio.run(scenario())
    assert not any(Path(GENUINE_ROOT).iterdir())


def test_where_it_is_impossible_the_log_says_so(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "GENUINE_ROOT", "/proc/no/such")

    async def scenario() -> None:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_genuine("1.a.1", "true", None, machine.data / "shared"))
            assert (await listener.exit_of("1.a.1")).code == child.NO_NAMESPACE
            assert "genuine library's paths" in listener.texts("1.a.1")[0]

    asyncio.run(scenario())

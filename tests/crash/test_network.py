"""Searches through a network that drops, repeats, delays and cuts calls: they end as over a good one.

``DET_CRASH_SHARE`` thins out the seeds, as for masters that die.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster
from determined.testing.digest import difference, digest
from determined.testing.fault_proxy import Fault, FaultProxy, Policy, seeded
from tests.crash.stage import BEGINS, SHARE, only_experiment
from tests.e2e.support import MODEL, until_over, write_config

ROOT = Path(__file__).parent.parent.parent
SEEDS = range(0, 100, SHARE)
MOST_RUNNERS = 20

pytestmark = pytest.mark.timeout(600)


def play(folder: Path, policy: Policy) -> tuple[dict[str, Any], dict[Fault, int]]:
    """One search, every call of whose runner and trials goes through the proxy."""
    with FaultProxy(policy) as proxy, LocalMaster(folder, slots=3, arguments=["--url", proxy.url]) as master:
        proxy.upstream = master.port
        command = [sys.executable, "-m", "tests.crash.run_halving", str(folder / "searcher")]
        env = {**master.env, "DET_MASTER": proxy.url, "PYTHONPATH": str(ROOT)}
        told = ""
        for _ in range(MOST_RUNNERS):
            # A call that fails while a search begins ends the runner, with advice; people run it again.
            done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
            told = done.stdout + done.stderr
            assert "Traceback" not in told or "Unavailable" in told or "MasterNotFoundException" in told, told
            if done.returncode == 0:
                break
        assert done.returncode == 0, told
        return digest(master.data, only_experiment(master.data), BEGINS["ours"]), dict(proxy.faults)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found, _ = play(tmp_path_factory.mktemp("good"), lambda method, path: Fault.NONE)
    assert found["experiment"] == ("COMPLETED", 1.0, 3)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bad_network_changes_nothing(seed: int, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    found, faults = play(tmp_path, seeded(seed, 0.15))
    assert difference(undisturbed, found) == []
    assert sum(count for fault, count in faults.items() if fault is not Fault.NONE) > 0


@pytest.mark.parametrize("fault", [f for f in Fault if f is not Fault.NONE], ids=lambda f: str(f.value))
def test_each_kind_of_call_may_meet_each_fault(fault: Fault, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    """The first call of each kind meets the fault, and so does every fourth after it."""
    count: dict[str, int] = {}

    def policy(method: str, path: str) -> Fault:
        kind = f"{method} {path.partition('?')[0].rpartition('/')[2]}"
        count[kind] = count.get(kind, 0) + 1
        return fault if count[kind] % 4 == 1 else Fault.NONE

    found, _ = play(tmp_path, policy)
    assert difference(undisturbed, found) == []


@pytest.mark.parametrize("fault", [f for f in Fault if f is not Fault.NONE], ids=lambda f: str(f.value))
def test_a_submission_over_a_bad_network_makes_one_experiment(fault: Fault, tmp_path: Path) -> None:
    """Each call of ``det e create`` meets the fault once; the command may say so, but never makes two."""
    seen: set[str] = set()

    def policy(method: str, path: str) -> Fault:
        kind = f"{method} {path.partition('?')[0]}"
        first = kind not in seen
        seen.add(kind)
        return fault if first and method == "POST" else Fault.NONE

    with FaultProxy(policy) as proxy, LocalMaster(tmp_path / "m", arguments=["--url", proxy.url]) as master:
        proxy.upstream = master.port
        direct, master.env["DET_MASTER"] = master.url, proxy.url
        done = master.det("e", "create", write_config(tmp_path), str(MODEL))
        assert "Traceback" not in done.stderr
        with Session(direct, token=master.token()) as session:
            experiments = session.get("/api/v1/experiments")["experiments"]
            assert len(experiments) <= 1
            assert done.returncode != 0 or len(experiments) == 1
            for experiment in experiments:
                assert until_over(session, experiment["id"]) == "STATE_COMPLETED"
        assert proxy.faults[fault] >= 1

"""The ASHA example, as it is, on a Ray cluster of three nodes: searched from this machine, and from a trial."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster
from tests.e2e.support import created, started_experiment, trials_of, until_over
from tests.on_ray.support import RayCluster

ASHA = Path(__file__).parent.parent.parent / "examples" / "asha"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy, so that a run leaves nothing behind in the source."""
    return Path(shutil.copytree(ASHA, tmp_path / "asha", ignore=shutil.ignore_patterns("local_search_runner")))


def nodes_at_work(session: Session, experiment_id: int) -> set[str]:
    """Nodes that have held a run whenever something changed in an experiment, to its end."""
    seen: set[str] = set()
    for _ in session.stream(f"/api/v1/experiments/{experiment_id}/watch", {"follow": True}):
        seen |= {agent["id"] for agent in session.get("/api/v1/agents")["agents"] if agent["containers"]}
    return seen


def assert_is_searched(session: Session, experiment_id: int) -> None:
    trials = trials_of(session, experiment_id)
    assert until_over(session, experiment_id) == "STATE_COMPLETED"
    assert {int(trial["totalBatchesProcessed"]) for trial in trials} == {1, 3, 9}
    assert len(trials) == 18
    assert {trial["restarts"] for trial in trials} == {0}


@pytest.mark.timeout(300)
def test_the_example_searches_on_three_nodes_from_here_and_from_a_trial(
    master: LocalMaster, cluster: RayCluster, example: Path
) -> None:
    workers = {cluster.id_of(name) for name in ("first", "second")}
    with master.session() as session:
        with subprocess.Popen(
            [sys.executable, "run_local_searcher.py"], cwd=example, env=master.env, stderr=subprocess.PIPE, text=True
        ) as runner:
            local = started_experiment(runner)
            assert nodes_at_work(session, local) >= workers
            runner.communicate()
        assert runner.returncode == 0
        assert_is_searched(session, local)
        assert {line.split()[0] for line in master.det("agent", "list").stdout.splitlines()} >= {*workers}
        assert {line.split()[0] for line in master.det("slot", "list").stdout.splitlines() if line} >= workers

        outer = created(master.det("e", "create", str(example / "searcher_config.yaml"), str(example)).stdout)
        assert until_over(session, outer) == "STATE_COMPLETED"
        assert_is_searched(session, outer + 1)
        assert [trial["restarts"] for trial in trials_of(session, outer)] == [0]
    cluster.until_nothing_is_left()

"""The examples run as their documentation says, on real data, each to its end."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster
from tests.e2e.support import created, trials_of, until_over

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy, so that a run leaves nothing behind in the source."""
    ignore = shutil.ignore_patterns("local_search_runner", "__pycache__")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=ignore)
    return tmp_path / "examples"


@pytest.fixture(scope="module")
def session(master: LocalMaster) -> Iterator[Session]:
    with master.session() as opened:
        yield opened


def run(master: LocalMaster, folder: Path, *command: str) -> str:
    env = {**master.env, "PATH": f"{Path(sys.executable).parent}:{master.env['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def newest(session: Session) -> dict[str, Any]:
    experiments: list[dict[str, Any]] = session.get("/api/v1/experiments")["experiments"]
    return max(experiments, key=lambda e: int(e["id"]))


def climbed(trials: list[dict[str, Any]]) -> dict[int, int]:
    """How many trials trained to each length."""
    lengths = [int(t["totalBatchesProcessed"]) for t in trials]
    return {length: lengths.count(length) for length in sorted(set(lengths))}


def test_the_demo_searches_real_data_with_asha_and_names_the_best_trial(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "demo.py"), "--folder", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Best trial: \d+, metric 0\.0\d+", done.stderr)
    assert re.search(
        r"experiment 1 COMPLETED 100% \| trials: 18 \(18 completed\) \| best: validation_error", done.stderr
    )
    assert "Stopped the local master" in done.stdout + done.stderr


def test_asha_as_a_trial_makes_two_experiments_that_both_complete(
    master: LocalMaster, session: Session, example: Path
) -> None:
    told = run(master, example / "asha", "det", "e", "create", "searcher_config.yaml", ".")
    outer = created(told)
    assert until_over(session, outer) == "STATE_COMPLETED"
    inner = newest(session)
    assert (inner["name"], inner["state"]) == ("asha-digits", "STATE_COMPLETED")
    trials = trials_of(session, inner["id"])
    assert climbed(trials).keys() == {1, 3, 9}
    assert sum(climbed(trials).values()) == 18


def test_the_training_script_of_asha_runs_alone(master: LocalMaster, example: Path) -> None:
    told = run(master, example / "asha" / "experiment_files", "python", "train.py")
    assert "validation_error" in told


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="the PyTorch variant needs the extra [torch]")
def test_the_pytorch_variant_trains_pauses_and_resumes(master: LocalMaster, session: Session, example: Path) -> None:
    folder = example / "asha"
    script = (folder / "run_local_searcher.py").read_text().replace("config.yaml", "config_torch.yaml")
    (folder / "run_torch.py").write_text(script.replace("max_trials=18", "max_trials=4"))
    run(master, folder, "python", "run_torch.py")
    assert newest(session)["state"] == "STATE_COMPLETED"


def test_random_search_in_thirty_lines(master: LocalMaster, session: Session, example: Path) -> None:
    run(master, example, "python", "random_search.py")
    experiment = newest(session)
    assert experiment["state"] == "STATE_COMPLETED"
    assert climbed(trials_of(session, experiment["id"])) == {3: 8}


def test_children_of_a_population_train_on_from_the_checkpoints_of_their_parents(
    master: LocalMaster, session: Session, example: Path
) -> None:
    script = example / "pbt" / "pbt.py"
    script.write_text(script.read_text().replace("PopulationBasedTraining()", "PopulationBasedTraining(4, 3, 2)"))
    run(master, example / "pbt", "python", "pbt.py")
    experiment = newest(session)
    assert experiment["state"] == "STATE_COMPLETED"
    trials = trials_of(session, experiment["id"])
    children = [t for t in trials if t.get("warmStartCheckpointUuid")]
    # One of four is replaced after each generation but the last.
    assert (len(trials), len(children)) == (6, 2)
    for child in children:
        parent = session.get(f"/api/v1/checkpoints/{child['warmStartCheckpointUuid']}")["checkpoint"]
        begin = parent["metadata"]["steps_completed"]
        assert parent["training"]["trialId"] != child["id"]
        assert trained_steps(session, child["id"])[0] == begin + 1
        assert begin in (2, 4)


def trained_steps(session: Session, trial_id: int) -> list[int]:
    """The steps of a trial's training reports, in order."""
    answer = session.get(f"/api/v1/trials/{trial_id}/workloads", params={"limit": -1})
    return [w["training"]["totalBatches"] for w in answer["workloads"] if w.get("training")]

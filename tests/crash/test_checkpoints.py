"""A trial that dies at any step of saving or reporting is restarted from its newest whole checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster
from tests.crash.stage import SHARE
from tests.e2e.support import created, trials_of, until_over, write_config

pytestmark = pytest.mark.timeout(3600)
SCRIPT = """
import json
import os
import signal
from collections import Counter
from pathlib import Path

import determined as det
from determined import steps

info = det.get_cluster_info()
passed = Counter()
names = Path(info.trial.hparams["steps"]).open("a")


def pass_step(name):
    passed[name] += 1
    print(json.dumps([info.trial._trial_run_id, name, passed[name]]), file=names, flush=True)
    if info.trial._trial_run_id == 1 and [name, passed[name]] == info.trial.hparams["death"]:
        os.kill(os.getpid(), signal.SIGKILL)


steps.hook = pass_step
done = 0
with det.core.init() as context:
    if info.latest_checkpoint:
        with context.checkpoint.restore_path(info.latest_checkpoint) as path:
            done = int((path / "done").read_text())
            assert (path / "weights" / "large").stat().st_size == 100_000
    print(f"begins at {done}", flush=True)
    for op in context.searcher.operations():
        while done < op.length:
            done += 5
            context.train.report_training_metrics(done, {"loss": 1 / done})
            op.report_progress(done)
            with context.checkpoint.store_path({"steps_completed": done}) as (path, _):
                (path / "weights").mkdir()
                (path / "weights" / "large").write_bytes(b"w" * 100_000)
                (path / "done").write_text(str(done))
        context.train.report_validation_metrics(done, {"validation_loss": 1 / done})
        # A run that fails after its trial is complete does not train again; tests/e2e has that.
        steps.hook = None
        op.report_completed(1 / done)
"""


class Trainings:
    """Plays trainings of 20 steps that save after every 5."""

    def __init__(self, master: LocalMaster, session: Session, home: Path) -> None:
        self.master, self.session, self.home = master, session, home
        self.model = home / "model"
        self.model.mkdir()
        (self.model / "train.py").write_text(SCRIPT)
        self.played = 0

    def play(self, death: Any) -> tuple[dict[str, Any], list[list[Any]], int, str]:
        """What is left of it, the steps it passed, how often it was restarted, and where its last run began."""
        self.played += 1
        folder = self.home / str(self.played)
        folder.mkdir()
        config = write_config(folder, max_restarts=1, death=death, steps=str(folder / "steps"))
        experiment = created(self.master.det("e", "create", config, str(self.model)).stdout)
        assert until_over(self.session, experiment) == "STATE_COMPLETED"
        [trial] = trials_of(self.session, experiment)
        reports = self.session.get(f"/api/v1/trials/{trial['id']}/workloads", params={"limit": -1})["workloads"]
        saved = self.session.get(f"/api/v1/trials/{trial['id']}/checkpoints")["checkpoints"]
        messages = [line["result"]["message"] for line in self.session.stream(f"/api/v1/trials/{trial['id']}/logs")]
        begun = [text.split("begins at ")[1].strip() for text in messages if "begins at " in text]
        left = {
            "steps": trial["totalBatchesProcessed"],
            "training": [_report(w["training"]) for w in reports if w.get("training")],
            "validation": [_report(w["validation"]) for w in reports if w.get("validation")],
            "checkpoints": sorted({c["metadata"]["steps_completed"] for c in saved}),
            "best": trial["bestCheckpoint"]["totalBatches"],
        }
        steps = [json.loads(line) for line in (folder / "steps").read_text().splitlines()]
        return left, steps, trial["restarts"], begun[-1]


def _report(workload: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return workload["totalBatches"], workload["metrics"]["avgMetrics"]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    home = tmp_path_factory.mktemp("trainings")
    with LocalMaster(home / "master") as master, master.session() as session:
        yield Trainings(master, session, home)


def test_dying_at_any_step_loses_at_most_the_work_since_the_last_checkpoint(trainings: Trainings) -> None:
    expected, steps, _, _ = trainings.play(None)
    assert expected["training"] == [(n, {"loss": 1 / n}) for n in (5, 10, 15, 20)]
    assert {name for _, name, _ in steps} >= {"checkpoint.rename.before", "checkpoint.register.after"}
    sent, registered, died = 0, 0, 0
    for place, (_, name, number) in enumerate(steps):
        sent += name == "checkpoint.register.before"
        registered += name == "checkpoint.register.after"
        if place % max(1, SHARE // 6):
            continue
        found, _, restarts, begun = trainings.play([name, number])
        assert found == expected, f"after dying at {name} {number}"
        # Calls of the threads beside the training come in any order, and so not always as often.
        assert restarts == 1 or name.startswith("call.")
        # Between the request and its answer the master may have it already.
        assert restarts == 0 or begun in (str(5 * registered), str(5 * sent)), f"after dying at {name} {number}"
        died += restarts
    print(f"{died} single deaths of trials")


def test_what_was_half_written_is_neither_registered_nor_left_behind(trainings: Trainings) -> None:
    trainings.play(["checkpoint.rename.before", 2])
    partial = trainings.master.data / "checkpoints" / ".partial"
    assert [path.name for path in partial.iterdir() if not path.name.startswith("probe-")] == []

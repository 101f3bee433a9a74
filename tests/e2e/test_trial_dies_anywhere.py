"""A trial that ends at any point of its work, in any way: restarted if it failed, and then from its checkpoint; told to
the search once; nothing is trained twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from determined.testing.cluster import LocalMaster
from tests.e2e.support import created, events_of, kinds, trials_of, until_over, write_config

SCRIPT = """
import os
import signal

import determined as det
from determined import steps

info = det.get_cluster_info()
how, point = info.trial.hparams["how"], info.trial.hparams["point"]
ENDS = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "fails": lambda: os._exit(1),
    "leaves": lambda: os._exit(0),
}


def at(name):
    if name == point and info.trial._trial_run_id == 1:
        print(f"ends at {name}", flush=True)
        ENDS[how]()


completing = False


def pass_step(name):
    if name == "checkpoint.rename.before" and done == 10:
        at("mid checkpoint")
    if name == "call.after" and completing:
        at("between a completion and its answer")


steps.hook = pass_step
done = 0
with det.core.init() as context:
    at("before the first report")
    if info.latest_checkpoint:
        with context.checkpoint.restore_path(info.latest_checkpoint) as path:
            done = int((path / "done").read_text())
    print(f"begins at {done}", flush=True)
    for op in context.searcher.operations():
        while done < op.length:
            done += 5
            print(f"trains {done}", flush=True)
            if done == 15:
                at("mid step")
            context.train.report_training_metrics(done, {"loss": 1 / done})
            with context.checkpoint.store_path({"steps_completed": done}) as (path, _):
                (path / "done").write_text(str(done))
        context.train.report_validation_metrics(done, {"validation_loss": 1 / done})
        completing = True
        op.report_completed(1 / done)
        completing = False
    at("after the last operation")
"""
BEGINS_AGAIN = {
    "before the first report": "0",
    "mid step": "10",
    "mid checkpoint": "5",
    "between a completion and its answer": None,
    "after the last operation": None,
}
"""Where the next run begins; None: there is none, since the trial is complete."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "train.py").write_text(SCRIPT)
    return folder


@pytest.mark.parametrize("point", BEGINS_AGAIN)
@pytest.mark.parametrize("how", ["killed", "fails", "leaves"])
def test_an_end_at_any_point(how: str, point: str, master: LocalMaster, model: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, max_restarts=1, how=how, point=point)
    experiment = created(master.det("e", "create", config, str(model)).stdout)
    with master.session() as session:
        state = until_over(session, experiment)
        [trial] = trials_of(session, experiment)
        lines = [line["result"]["message"] for line in session.stream(f"/api/v1/trials/{trial['id']}/logs")]
        assert [line for line in lines if "ends at" in line], "it never came to the point"
    told = kinds(events_of(master, experiment))
    begun = [line.split("begins at ")[1].strip() for line in lines if "begins at" in line]
    again = BEGINS_AGAIN[point]
    if again is None:
        # All of its work is done and known, so however it goes there is nothing to do again.
        assert told["validationCompleted"] == 1
        assert (trial["restarts"], begun) == (0, ["0"])
    elif how == "leaves":
        # Leaving with work left and exit code 0 is the trial's own decision.
        assert told["trialExitedEarly"] == 1
        assert told["validationCompleted"] == 0
        assert trial["restarts"] == 0
    else:
        assert state == "STATE_COMPLETED"
        assert told["trialExitedEarly"] == 0
        assert told["validationCompleted"] == 1
        assert trial["restarts"] == 1
        assert begun[-1] == again
        assert trial["totalBatchesProcessed"] == 20
    assert told["trialExitedEarly"] <= 1
    assert told["trialClosed"] == 1
    assert left_of(master, experiment) == []


def left_of(master: LocalMaster, experiment: int) -> list[Any]:
    """Processes of an experiment that is over."""
    return [p for p in master.trial_processes() if p.environ()["DET_ALLOCATION_ID"].startswith(f"{experiment}.")]

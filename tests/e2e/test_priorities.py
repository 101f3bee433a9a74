"""Two experiments of different priority on one slot."""

from __future__ import annotations

from pathlib import Path

import pytest

from determined.testing.cluster import LocalMaster
from tests.e2e.support import created, trials_of, until_logged, until_over, until_trial

LONG = """
import determined as det

with det.core.init() as context:
    info = det.get_cluster_info()
    step = 0
    if info.latest_checkpoint is not None:
        with context.checkpoint.restore_path(info.latest_checkpoint) as path:
            step = int((path / "step").read_text())
        print(f"goes on after {step}", flush=True)
    for op in context.searcher.operations():
        # The first run trains until somebody wants its place; the one that goes on from it ends.
        while info.latest_checkpoint is None and not context.preempt.should_preempt():
            step += 1
            op.report_progress(step)
            print(f"trained {step}", flush=True)
        if info.latest_checkpoint is None:
            with context.checkpoint.store_path({"steps_completed": step}) as (path, _):
                (path / "step").write_text(str(step))
            print(f"saved after {step}", flush=True)
            raise SystemExit(0)
        op.report_completed(0.5)
"""
SHORT = """
import determined as det

with det.core.init() as context:
    print("the important one", flush=True)
    for op in context.searcher.operations():
        op.report_completed(0.1)
"""
CONFIG = """
name: priority {priority}
entrypoint: python3 train.py
searcher: {{name: single, metric: loss, max_length: 1000000}}
resources: {{priority: {priority}}}
max_restarts: 0
"""


def submit(master: LocalMaster, folder: Path, script: str, priority: int) -> int:
    place = folder / f"p{priority}"
    place.mkdir(parents=True)
    (place / "train.py").write_text(script)
    config = folder / f"p{priority}.yaml"
    config.write_text(CONFIG.format(priority=priority))
    return created(master.det("e", "create", str(config), str(place)).stdout)


@pytest.mark.parametrize("from_the_start", [True, False])
def test_the_less_important_trial_saves_makes_room_and_goes_on(tmp_path: Path, from_the_start: bool) -> None:
    with LocalMaster(tmp_path / "m", slots=1) as master, master.session() as session:
        low = submit(master, tmp_path, LONG, 60)
        until_logged(session, until_trial(session, low)["id"], "trained")
        high = submit(master, tmp_path, SHORT, 10 if from_the_start else 61)
        if not from_the_start:
            until_trial(session, high)
            queue = master.det("job", "list").stdout
            assert f"Trial 2 (Experiment {high})" in queue
            assert "1 slot: 0 of 1 free" in queue
            assert master.det("e", "set", "priority", str(high), "10").returncode == 0
        assert until_over(session, high) == "STATE_COMPLETED"
        assert until_over(session, low) == "STATE_COMPLETED"
        [trial] = trials_of(session, low)
        assert trial["restarts"] == 0
        log = [line["result"]["message"] for line in session.stream("/api/v1/trials/1/logs")]
        [saved] = [line.split()[-1] for line in log if "saved after" in line]
        [found] = [line.split()[-1] for line in log if "goes on after" in line]
        assert found == saved
        story = master.det("t", "story", "1").stdout
        assert "was asked to make room for a more important one" in story

"""Trials as processes under a real master: how they end, and what the search hears of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from determined.testing.cluster import LocalMaster
from determined.testing.database import opened
from tests.e2e.support import (
    created,
    events_of,
    kinds,
    state_of,
    trials_of,
    until_logged,
    until_over,
    until_running,
    write_config,
)


def submit(master: LocalMaster, model: Path, config: str) -> int:
    done = master.det("e", "create", config, str(model))
    assert done.returncode == 0, done.stdout + done.stderr
    return created(done.stdout)


def test_five_trials_with_five_reports_and_one_validation_each_make_41_events(
    master: LocalMaster, model: Path, tmp_path: Path
) -> None:
    experiment = submit(master, model, write_config(tmp_path, searcher="random", more=", max_trials: 5"))
    with master.session() as session:
        assert until_over(session, experiment) == "STATE_COMPLETED"
    events = events_of(master, experiment)
    assert [e["id"] for e in events] == list(range(1, 42))
    assert kinds(events) == {
        "initialOperations": 1,
        "trialCreated": 5,
        "trialProgress": 25,
        "validationCompleted": 5,
        "trialClosed": 5,
    }


@pytest.mark.parametrize(
    ("hparams", "reason", "trial_state", "experiment_state"),
    [
        ({"fail": True}, "EXITED_REASON_UNSPECIFIED", "STATE_ERROR", "STATE_ERROR"),
        ({"invalid": True}, "EXITED_REASON_INVALID_HP", "STATE_COMPLETED", "STATE_COMPLETED"),
        ({"leave": True}, "EXITED_REASON_USER_REQUESTED_STOP", "STATE_COMPLETED", "STATE_COMPLETED"),
    ],
    ids=["fails", "invalid hyperparameters", "exits with 0"],
)
def test_an_early_exit_is_one_event_with_its_reason(
    hparams: dict[str, Any],
    reason: str,
    trial_state: str,
    experiment_state: str,
    master: LocalMaster,
    model: Path,
    tmp_path: Path,
) -> None:
    experiment = submit(master, model, write_config(tmp_path, max_restarts=1, **hparams))
    with master.session() as session:
        assert until_over(session, experiment) == experiment_state
        trials = trials_of(session, experiment)
    assert [t["state"] for t in trials] == [trial_state]
    assert trials[0]["restarts"] == (1 if "fail" in hparams else 0)
    events = events_of(master, experiment)
    assert [e["trialExitedEarly"]["exitedReason"] for e in events if "trialExitedEarly" in e] == [reason]
    assert kinds(events)["trialClosed"] == 1
    assert kinds(events)["trialCreated"] == 1


def test_a_killed_trial_is_reported_once_and_the_search_goes_on(
    master: LocalMaster, model: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path, searcher="random", more=", max_trials: 2", sleep=30)
    experiment = submit(master, model, config)
    with master.session() as session:
        until_running(session, experiment, 2)
        first, second = trials_of(session, experiment)
        assert master.det("t", "kill", str(first["id"])).returncode == 0
        for line in session.stream(f"/api/v1/experiments/{experiment}/watch", {"follow": True}):
            if line["result"]["trials"]["canceled"] == 1:
                break
        assert state_of(session, experiment) in ("STATE_RUNNING", "STATE_STARTING")
        session.post(f"/api/v1/trials/{second['id']}/kill")
        assert until_over(session, experiment) == "STATE_CANCELED"
    events = events_of(master, experiment)
    assert kinds(events)["trialExitedEarly"] == 2
    assert kinds(events)["trialClosed"] == 2
    assert [p for p in master.trial_processes() if f"{experiment}." in p.environ()["DET_ALLOCATION_ID"]] == []


SAVES_WHEN_ASKED = """
import determined as det

with det.core.init() as context:
    for op in context.searcher.operations():
        context.preempt.should_preempt()
        print("waits", flush=True)
        context.preempt._watcher.join()
        with context.checkpoint.store_path({"steps_completed": 1}) as (path, _):
            (path / "steps").write_text("1")
        assert context.preempt.should_preempt()
        break
"""


def test_a_canceled_trial_saves_and_the_search_goes_on(master: LocalMaster, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "train.py").write_text(SAVES_WHEN_ASKED)
    experiment = submit(master, model, write_config(tmp_path, searcher="random", more=", max_trials: 2"))
    with master.session() as session:
        until_running(session, experiment, 2)
        first, second = (trial["id"] for trial in trials_of(session, experiment))
        # One that has not begun is killed: it has nothing to save.
        until_logged(session, first, "waits")
        until_logged(session, second, "waits")
        assert master.det("t", "cancel", str(first)).stdout == f"Canceled trial {first}\n"
        for line in session.stream(f"/api/v1/experiments/{experiment}/watch", {"follow": True}):
            if line["result"]["trials"]["canceled"] == 1:
                break
        assert state_of(session, experiment) == "STATE_RUNNING"
        assert len(session.get(f"/api/v1/trials/{first}/checkpoints")["checkpoints"]) == 1
        # In a pause, too.
        assert master.det("e", "pause", str(experiment)).returncode == 0
        session.post(f"/api/v1/trials/{second}/cancel")
        assert until_over(session, experiment) == "STATE_CANCELED"
        assert [t["restarts"] for t in trials_of(session, experiment)] == [0, 0]
    events = events_of(master, experiment)
    assert kinds(events)["trialExitedEarly"] == 2
    assert kinds(events)["trialClosed"] == 2


def test_pause_checkpoints_and_activate_resumes_without_counting_a_restart(
    master: LocalMaster, model: Path, tmp_path: Path
) -> None:
    experiment = submit(master, model, write_config(tmp_path, sleep=0.3))
    with master.session() as session:
        until_running(session, experiment)
        assert master.det("e", "pause", str(experiment)).returncode == 0
        for line in session.stream(f"/api/v1/experiments/{experiment}/watch", {"follow": True}):
            if line["result"]["trials"]["running"] == 0:
                break
        assert state_of(session, experiment) == "STATE_PAUSED"
        assert master.det("e", "activate", str(experiment)).returncode == 0
        assert until_over(session, experiment) == "STATE_COMPLETED"
        assert [t["restarts"] for t in trials_of(session, experiment)] == [0]


def test_killing_ends_the_whole_tree_of_processes(master: LocalMaster, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "train.py").write_text(
        "import subprocess, sys, time, os\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "subprocess.Popen(sleep, start_new_session=True)\n"
        "subprocess.Popen(['sh', '-c', 'trap \"\" TERM; sleep 600 & wait'])\n"
        "print('spawned', flush=True)\n"
        "time.sleep(600)\n"
    )
    experiment = submit(master, model, write_config(tmp_path))
    with master.session() as session:
        until_running(session, experiment)
        trial = trials_of(session, experiment)[0]["id"]
        for line in session.stream(f"/api/v1/trials/{trial}/logs", {"follow": True}):
            if "spawned" in line["result"]["message"]:
                break
        assert master.det("e", "kill", str(experiment)).returncode == 0
        assert until_over(session, experiment) == "STATE_CANCELED"
    left = [p for p in master.trial_processes() if p.environ()["DET_ALLOCATION_ID"].startswith(f"{experiment}.")]
    assert left == []


def test_a_waiting_experiment_says_what_it_waits_for(master: LocalMaster, model: Path, tmp_path: Path) -> None:
    config = tmp_path / "wide.yaml"
    text = Path(write_config(tmp_path)).read_text()
    config.write_text(text + "resources: {slots_per_trial: 100}\n")
    experiment = submit(master, model, str(config))
    with master.session() as session:
        for line in session.stream(f"/api/v1/experiments/{experiment}/watch", {"follow": True}):
            if line["result"]["trials"]["queued"]:
                break
        summary = session.get(f"/api/v1/experiments/{experiment}/watch", params={"follow": False})
        assert "100 slots, but the pool has only 2" in summary["result"]["waitingFor"]
        session.post(f"/api/v1/experiments/{experiment}/kill")


def test_the_same_script_runs_alone(model: Path, master: LocalMaster) -> None:
    script = "from determined import core\nwith core.init() as context:\n    "
    script += "for op in context.searcher.operations():\n        print(op.length)\n        op.report_completed(0.5)\n"
    done = master.run([sys.executable, "-c", script])
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_reports_in_the_background_are_all_there_when_an_operation_is_completed(
    master: LocalMaster, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "train.py").write_text(
        "from determined import core\n"
        "with core.init(background_reports=True) as context:\n"
        "    for op in context.searcher.operations():\n"
        "        for steps in range(1, 201):\n"
        "            context.train.report_training_metrics(steps, {'loss': 1 / steps})\n"
        "        context.train.report_validation_metrics(200, {'loss': 0.5})\n"
        "        op.report_completed(0.5)\n"
    )
    done = master.det("e", "create", write_config(tmp_path), str(model))
    experiment = created(done.stdout)
    with master.session() as session:
        assert until_over(session, experiment) == "STATE_COMPLETED"
        trial = trials_of(session, experiment)[0]["id"]
    with opened(master.data) as db:
        rows = db.execute('SELECT "group", steps FROM metrics WHERE trial_id = ? ORDER BY id', (trial,)).fetchall()
    assert rows == [*(("training", steps) for steps in range(1, 201)), ("validation", 200)]


def test_a_forked_trial_has_all_that_it_needs_for_its_reports_loaded(master: LocalMaster, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "train.py").write_text(
        "import sys\n"
        "before = set(sys.modules)\n"
        "from determined import core\n"
        "with core.init() as context:\n"
        "    for op in context.searcher.operations():\n"
        "        context.train.report_training_metrics(1, {'loss': 0.5})\n"
        "        context.train.report_validation_metrics(op.length, {'loss': 0.5})\n"
        "        with context.checkpoint.store_path({'steps_completed': 1}) as (path, _):\n"
        "            path.joinpath('model').write_text('')\n"
        "        context.preempt.should_preempt()\n"
        "        op.report_completed(0.5)\n"
        "print('late:', sorted(set(sys.modules) - before))\n"
    )
    done = master.det("e", "create", write_config(tmp_path), str(model), "--config", "environment.warm_start=true")
    experiment = created(done.stdout)
    with master.session() as session:
        assert until_over(session, experiment) == "STATE_COMPLETED"
        trial = trials_of(session, experiment)[0]["id"]
        lines = [line["result"]["message"] for line in session.stream(f"/api/v1/trials/{trial}/logs")]
    assert [line.partition("late: ")[2].strip() for line in lines if "late: " in line] == ["[]"]


@pytest.mark.parametrize("warm", ["true", "false"])
def test_a_trial_is_forked_or_started_and_looks_the_same(master: LocalMaster, tmp_path: Path, warm: str) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "train.py").write_text(
        "import sys, time\n"
        "print('is warm:', str('determined.launchers.warm' in sys.modules).lower(), flush=True)\n"
        "time.sleep(600)\n"
    )
    config = write_config(tmp_path)
    done = master.det("e", "create", config, str(model), "--config", f"environment.warm_start={warm}")
    experiment = created(done.stdout)
    with master.session() as session:
        until_running(session, experiment)
        trial = trials_of(session, experiment)[0]["id"]
        for line in session.stream(f"/api/v1/trials/{trial}/logs", {"follow": True}):
            if "is warm:" in line["result"]["message"]:
                assert line["result"]["message"].rstrip().endswith(f"is warm: {warm}")
                break
        commands = [
            # What is left of a longer command shows as empty words.
            [word for word in process.cmdline() if word]
            for process in master.trial_processes()
            if process.environ()["DET_ALLOCATION_ID"].startswith(f"{experiment}.")
        ]
        assert [[Path(command[0]).name, *command[1:]] for command in commands] == [["python3", "train.py"]]
        assert master.det("e", "kill", str(experiment)).returncode == 0
        assert until_over(session, experiment) == "STATE_CANCELED"


def test_a_master_may_leave_warm_start_to_configurations(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "train.py").write_text(
        "import sys\nprint('is warm:', str('determined.launchers.warm' in sys.modules).lower(), flush=True)\n"
    )
    config = write_config(tmp_path)
    with LocalMaster(tmp_path / "m", arguments=["--no-warm-start"]) as master, master.session() as session:
        for more, expected in ((), "false"), (("--config", "environment.warm_start=true"), "true"):
            experiment = created(master.det("e", "create", config, str(model), *more).stdout)
            assert until_over(session, experiment) == "STATE_COMPLETED"
            [trial] = trials_of(session, experiment)
            lines = [line["result"]["message"] for line in session.stream(f"/api/v1/trials/{trial['id']}/logs")]
            assert [line.partition("is warm: ")[2].strip() for line in lines if "is warm" in line] == [expected]

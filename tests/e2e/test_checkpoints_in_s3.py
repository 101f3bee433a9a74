"""Searches whose checkpoints lie in S3: saved, lost half way, gone on from, downloaded and collected."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from determined.common.api.session import Session
from determined.common.objects.transfer import Moved
from determined.experimental.checkpoint import get_checkpoint
from determined.experimental.download import DownloadMode
from determined.testing.cluster import LocalMaster
from tests.e2e.support import created, trials_of, until_logged, until_over, until_running
from tests.s3 import S3Server

SCRIPT = """
import os
import signal
from collections import Counter

import determined as det
from determined import steps

info = det.get_cluster_info()
hparams = info.trial.hparams
passed = Counter()


def pass_step(name):
    passed[name] += 1
    if info.trial._trial_run_id == 1 and [name, passed[name]] == hparams["death"]:
        os.kill(os.getpid(), signal.SIGKILL)


steps.hook = pass_step
done = 0
with det.core.init() as context:
    if info.latest_checkpoint:
        with context.checkpoint.restore_path(info.latest_checkpoint) as path:
            done = int((path / "done").read_text())
            assert (path / "weights" / "large").stat().st_size == 100_000
    print(f"run {info.trial._trial_run_id} begins at {done}", flush=True)
    for op in context.searcher.operations():
        while done < op.length:
            done += 5
            with context.checkpoint.store_path({"steps_completed": done}) as (path, _):
                (path / "weights").mkdir()
                (path / "weights" / "large").write_bytes(b"w" * 100_000)
                (path / "done").write_text(str(done))
            if done == hparams["waits_at"] and info.trial._trial_run_id == 1:
                print("waits", flush=True)
                # The thread that listens for the signal ends when it has come.
                context.preempt.should_preempt()
                context.preempt._watcher.join()
            if context.preempt.should_preempt():
                raise SystemExit(0)
        context.train.report_validation_metrics(done, {"loss": 1 / done})
        op.report_completed(1 / done)
"""


class Searches:
    """A master, an S3 server, and a bucket."""

    def __init__(self, master: LocalMaster, session: Session, server: S3Server, home: Path) -> None:
        self.master, self.session, self.server, self.home = master, session, server, home
        self.model = home / "model"
        self.model.mkdir()
        (self.model / "train.py").write_text(SCRIPT)

    def create(self, section: dict[str, Any], **hparams: Any) -> int:
        config = {
            "name": "in s3",
            "entrypoint": "python3 train.py",
            "searcher": {"name": "single", "metric": "loss", "max_length": 20},
            "hyperparameters": {"death": None, "waits_at": 0, **hparams},
            "max_restarts": 1,
            "checkpoint_storage": section,
        }
        path = self.home / "config.yaml"
        path.write_text(json.dumps(config))
        return created(self.master.det("e", "create", str(path), str(self.model)).stdout)

    def checkpoints(self, trial: int) -> dict[int, dict[str, Any]]:
        """By steps, those that are registered."""
        found = self.session.get(f"/api/v1/trials/{trial}/checkpoints")["checkpoints"]
        return {c["metadata"]["steps_completed"]: c for c in found}

    def log(self, trial: int) -> str:
        lines = self.session.stream(f"/api/v1/trials/{trial}/logs", {"follow": True})
        return "".join(line["result"]["message"] for line in lines)


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searches]:
    home = tmp_path_factory.mktemp("searches")
    with S3Server() as server, LocalMaster(home / "master") as master, master.session() as session:
        yield Searches(master, session, server, home)


def files_of(checkpoint: dict[str, Any]) -> list[str]:
    return [f"{checkpoint['uuid']}/{name}" for name in ("done", "metadata.json", "weights/large")]


def is_collected(master: LocalMaster, experiment: int) -> bool:
    with closing(sqlite3.connect(master.data / "master.db")) as db:
        [found] = db.execute("SELECT uncollected FROM experiments WHERE id = ?", [experiment]).fetchone()
    return not found


def test_a_trial_that_dies_while_it_uploads_goes_on_and_only_the_best_is_left(
    searches: Searches, tmp_path: Path
) -> None:
    section = searches.server.section()
    # Each checkpoint has two files before its metadata; this is the first one of the second checkpoint.
    experiment = searches.create(section, death=["checkpoint.object.after", 3])
    assert until_over(searches.session, experiment) == "STATE_COMPLETED"
    [trial] = trials_of(searches.session, experiment)
    assert trial["restarts"] == 1
    assert "run 2 begins at 5" in searches.log(trial["id"])
    saved = searches.checkpoints(trial["id"])
    assert sorted(saved) == [5, 10, 15, 20]
    # Done again while the first time may still go on; when it returns, everything is collected.
    policy = "--save-experiment-best 0 --save-trial-best 1 --save-trial-latest 1 --yes"
    assert searches.master.det("e", "set", "gc-policy", str(experiment), *policy.split()).returncode == 0
    assert searches.server.names(section) == files_of(saved[20])
    assert {n: c["state"] for n, c in searches.checkpoints(trial["id"]).items()} == {
        **dict.fromkeys((5, 10, 15), "STATE_DELETED"),
        20: "STATE_COMPLETED",
    }
    _downloads(searches, saved[20]["uuid"], tmp_path)
    assert searches.master.det("checkpoint", "delete", "--yes", saved[20]["uuid"]).returncode == 0
    assert searches.server.names(section) == []


def _downloads(searches: Searches, uuid: str, folder: Path) -> None:
    told: list[Moved] = []
    checkpoint = get_checkpoint(searches.session, uuid)
    places = [
        checkpoint.download(folder / "sdk", DownloadMode.DIRECT, progress=told.append),
        checkpoint.download(folder / "through master", DownloadMode.MASTER, progress=told.append),
    ]
    assert {m.size_bytes for m in told} >= {100_002}
    for mode in ("direct", "master"):
        places.append(str(folder / mode))
        command = ("checkpoint", "download", uuid, "-o", places[-1], "--mode", mode)
        done = searches.master.run([sys.executable, "-m", "determined.cli", *command], DET_PROGRESS="1")
        assert done.returncode == 0, done.stderr
        assert "Downloaded" in done.stderr
        assert places[-1] in done.stdout
    for place in places:
        assert (Path(place) / "done").read_text() == "20"
        assert (Path(place) / "weights" / "large").read_bytes() == b"w" * 100_000
        assert json.loads((Path(place) / "metadata.json").read_text())["steps_completed"] == 20


def test_a_paused_trial_goes_on_from_the_store(searches: Searches) -> None:
    section = searches.server.section()
    experiment = searches.create(section, waits_at=10)
    until_running(searches.session, experiment)
    [trial] = trials_of(searches.session, experiment)
    until_logged(searches.session, trial["id"], "waits")
    assert searches.master.det("e", "pause", str(experiment)).returncode == 0
    assert searches.master.det("e", "activate", str(experiment)).returncode == 0
    assert until_over(searches.session, experiment) == "STATE_COMPLETED"
    assert "run 2 begins at 10" in searches.log(trial["id"])
    assert trials_of(searches.session, experiment)[0]["restarts"] == 0


def test_what_a_killed_experiment_was_uploading_is_collected_also_by_the_next_master(searches: Searches) -> None:
    """The trial is killed in the middle of an upload, and the master in the middle of the collection."""
    server, section = searches.server, searches.server.section()
    since = server.mark()
    # The first checkpoint whole, and one object of the second; the probe of the storage is an object, too.
    server.tell("hold PUT 5")
    experiment = searches.create(section)
    server.until("held PUT", since=since)
    [trial] = trials_of(searches.session, experiment)
    [(_, first)] = searches.checkpoints(trial["id"]).items()
    server.tell("hold POST 0")
    assert searches.master.det("e", "kill", str(experiment)).returncode == 0
    server.until("held POST", section["bucket"], since=since)
    assert not is_collected(searches.master, experiment)
    searches.master.kill()
    server.tell("free")
    left = server.names(section)
    assert [name for name in left if name.startswith(".partial/")]
    since = server.mark()
    searches.master.start()
    server.until("done DELETE", section["bucket"], ".partial/", since=since)
    assert server.names(section) == files_of(first)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bucket": "no-such-bucket"}, "there is no bucket or container 'no-such-bucket'"),
        ({"endpoint_url": "not-a-url"}, "checkpoint storage cannot be used"),
    ],
)
def test_a_storage_that_cannot_work_is_told_in_the_log_of_the_trial(
    searches: Searches, change: dict[str, str], sentence: str
) -> None:
    section = searches.server.section(secret_key="NEVERSHOWN") | change
    experiment = searches.create(section)
    assert until_over(searches.session, experiment) == "STATE_ERROR"
    [trial] = trials_of(searches.session, experiment)
    log = searches.log(trial["id"])
    told = [line for line in log.splitlines() if "determined.exec" in line]
    assert len(told) == 2, "one line for each of two runs"
    assert sentence in told[0]
    print(told[0])
    assert "Traceback" not in log
    assert "NEVERSHOWN" not in log + searches.master.log


def test_wrong_credentials_are_told_in_the_log_of_the_trial(searches: Searches) -> None:
    with S3Server(users=True) as strict:
        section = strict.section() | {"secret_key": "NEVERSHOWN"}
        experiment = searches.create(section)
        assert until_over(searches.session, experiment) == "STATE_ERROR"
    [trial] = trials_of(searches.session, experiment)
    log = searches.log(trial["id"])
    assert "refuses these credentials" in log
    assert "NEVERSHOWN" not in log + searches.master.log

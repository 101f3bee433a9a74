from __future__ import annotations

import gzip
import io
import json
import math
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from determined.common.api.errors import NotFoundException
from determined.common.api.session import Session
from determined.errors import FailedPrecondition, InvalidInput, NotFound, Unavailable
from determined.experimental.checkpoint import Checkpoint, CheckpointState, get_checkpoint
from determined.experimental.download import DownloadMode
from determined.experimental.experiment import ExperimentReference, ExperimentState
from determined.experimental.trial import (
    CheckpointOrderBy,
    CheckpointSortBy,
    LogLevel,
    TrialOrderBy,
    TrialReference,
    TrialSortBy,
)
from determined.experimental.user import create_user, get_user_by_name, list_users, whoami
from determined.testing.http_peer import Answer, HttpPeer, Request, lines, refusal

E = "/api/v1/experiments/5"
T = "/api/v1/trials/3"


@pytest.fixture
def peer() -> Iterator[HttpPeer]:
    with HttpPeer() as server:
        yield server


@pytest.fixture
def session(peer: HttpPeer) -> Iterator[Session]:
    with Session(peer.url) as opened:
        yield opened


@pytest.fixture
def experiment(session: Session) -> ExperimentReference:
    return ExperimentReference(5, session)


@pytest.fixture
def trial(session: Session) -> TrialReference:
    return TrialReference(3, session)


def summary(state: str, **more: Any) -> dict[str, Any]:
    return {"result": {"id": 5, "state": f"STATE_{state}", "trials": {"total": 0}, **more}}


def checkpoint(uuid: str, metric: object = None, trial: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "state": "STATE_COMPLETED",
        "resources": {"a.bin": "10", "sub/": "0"},
        "metadata": {"steps_completed": 100},
        "taskId": "5.x",
        "training": {
            "trialId": trial,
            "experimentId": 5,
            "experimentConfig": {"searcher": {"metric": "loss", "smaller_is_better": True}, **more},
            "hparams": {"lr": 0.1},
            "validationMetrics": {"avgMetrics": {} if metric is None else {"loss": metric, "acc": metric}},
        },
    }


def page(key: str, *values: Any) -> dict[str, Any]:
    return {key: list(values), "pagination": {"offset": 0, "endIndex": len(values), "total": len(values)}}


@pytest.mark.parametrize("verb", ["activate", "archive", "cancel", "kill", "pause", "unarchive"])
def test_a_verb_posts_to_its_own_path(peer: HttpPeer, experiment: ExperimentReference, verb: str) -> None:
    peer.on("POST", f"{E}/{verb}", {})
    getattr(experiment, verb)()
    assert [r.body for r in peer.seen("POST", f"{E}/{verb}")] == [b""]


def test_delete_and_config(peer: HttpPeer, experiment: ExperimentReference) -> None:
    peer.on("DELETE", E, {})
    peer.on("GET", E, {"experiment": {"config": {"name": "n"}}})
    experiment.delete()
    assert experiment.get_config() == {"name": "n"}
    assert repr(experiment) == "Experiment(id=5)"


def test_trials_are_read_page_by_page(peer: HttpPeer, experiment: ExperimentReference) -> None:
    def on_trials(request: Request) -> object:
        offset = int(request.params["offset"][0])
        ids = list(range(1, 6))[offset : offset + 2]
        return {"trials": [{"id": i} for i in ids], "pagination": {"endIndex": offset + len(ids), "total": 5}}

    peer.on("GET", f"{E}/trials", on_trials)
    assert [t.id for t in experiment.get_trials(TrialSortBy.STATE, TrialOrderBy.DESC)] == [1, 2, 3, 4, 5]
    assert peer.requests[0].params["sortBy"] == ["SORT_BY_STATE"]
    assert peer.requests[0].params["orderBy"] == ["ORDER_BY_DESC"]
    assert len(peer.requests) == 3


def test_wait_returns_the_final_state(peer: HttpPeer, experiment: ExperimentReference) -> None:
    peer.on("GET", f"{E}/watch", lambda r: lines(summary("QUEUED"), summary("RUNNING"), summary("COMPLETED")))
    assert experiment.wait() is ExperimentState.COMPLETED
    assert peer.requests[0].params == {"follow": ["true"]}


def test_wait_refuses_a_paused_experiment(peer: HttpPeer, experiment: ExperimentReference) -> None:
    peer.on("GET", f"{E}/watch", lambda r: lines(summary("PAUSED")))
    with pytest.raises(ValueError, match="experiment 5 is paused"):
        experiment.wait()


def test_wait_survives_a_master_that_comes_back(
    peer: HttpPeer, experiment: ExperimentReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("determined.experimental.watch._BACKOFF_S", 0.0)
    monkeypatch.setenv("DET_RETRY_CONFIG", '{"backoff_factor": 0}')
    peer.in_turn(
        "GET",
        f"{E}/watch",
        lambda r: Answer(chunks=[json.dumps(summary("RUNNING")).encode() + b"\n"], cut=True),
        refusal(503, 14, "stopping"),
        Answer(cut=True),
        lambda r: lines(summary("RUNNING")),
        lambda r: lines(summary("ERROR")),
    )
    assert experiment.wait() is ExperimentState.ERROR


def test_wait_gives_up_on_a_master_that_stays_away(
    peer: HttpPeer, experiment: ExperimentReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("determined.experimental.watch._BACKOFF_S", 0.0)
    monkeypatch.setenv("DET_RETRY_CONFIG", '{"total": 0, "backoff_factor": 0}')
    peer.on("GET", f"{E}/watch", refusal(503, 14, "stopping"))
    with pytest.raises(Unavailable, match="stopping"):
        experiment.wait()
    assert len(peer.requests) == 6


def test_wait_for_an_unknown_experiment_fails_at_once(peer: HttpPeer, experiment: ExperimentReference) -> None:
    with pytest.raises(NotFoundException):
        experiment.wait()
    assert len(peer.requests) == 1


def test_the_first_trial_is_awaited_without_polling(peer: HttpPeer, experiment: ExperimentReference) -> None:
    peer.on("GET", f"{E}/watch", lambda r: lines(summary("QUEUED"), summary("QUEUED", trials={"total": 2})))
    peer.on("GET", f"{E}/trials", page("trials", {"id": 8}))
    assert experiment.await_first_trial().id == 8
    assert len(peer.requests) == 2


def test_an_experiment_that_ends_without_a_trial_is_not_awaited_for_ever(
    peer: HttpPeer, experiment: ExperimentReference
) -> None:
    peer.on("GET", f"{E}/watch", lambda r: lines(summary("CANCELED")))
    with pytest.raises(FailedPrecondition, match="ended as CANCELED without any trial"):
        experiment.await_first_trial()


def test_top_checkpoints_are_the_best_of_distinct_trials(peer: HttpPeer, experiment: ExperimentReference) -> None:
    found = [
        checkpoint("a", 0.3, 1),
        checkpoint("b", 0.1, 1),
        checkpoint("c", 0.2, 2),
        checkpoint("d", "NaN", 3),
        checkpoint("e", None, 4),
        checkpoint("f", 0.1, 1),
    ]
    peer.on("GET", f"{E}/checkpoints", page("checkpoints", *found))
    assert [c.uuid for c in experiment.top_n_checkpoints(10)] == ["b", "c", "d", "e"]
    assert experiment.top_checkpoint().uuid == "b"
    assert [c.uuid for c in experiment.top_n_checkpoints(2, sort_by="acc", smaller_is_better=False)] == ["a", "c"]
    assert peer.requests[0].params["states"] == ["STATE_COMPLETED"]


def test_no_checkpoint_at_all_is_an_error(peer: HttpPeer, experiment: ExperimentReference) -> None:
    peer.on("GET", f"{E}/checkpoints", page("checkpoints"))
    with pytest.raises(NotFound, match="experiment 5 has no completed checkpoint"):
        experiment.top_checkpoint()


@pytest.mark.parametrize("verb", ["kill", "cancel"])
def test_verbs_of_a_trial_are_posted(peer: HttpPeer, trial: TrialReference, verb: str) -> None:
    peer.on("POST", f"{T}/{verb}", {})
    getattr(trial, verb)()
    assert [r.body for r in peer.seen("POST", f"{T}/{verb}")] == [b""]


def test_logs_are_text_with_filters(peer: HttpPeer, trial: TrialReference) -> None:
    peer.on("GET", f"{T}/logs", lambda r: lines({"result": {"message": "one\n"}}, {"result": {"message": "two\n"}}))
    assert list(trial.logs(follow=True, rank_ids=[0, 1], min_level=LogLevel.ERROR)) == ["one\n", "two\n"]
    assert peer.requests[0].params == {
        "follow": ["true"],
        "rankIds": ["0", "1"],
        "levels": ["LOG_LEVEL_ERROR", "LOG_LEVEL_CRITICAL"],
    }
    assert list(trial.logs(tail=2)) == ["two\n", "one\n"]
    assert peer.requests[1].params == {"limit": ["2"], "orderBy": ["ORDER_BY_DESC"]}
    assert list(trial.logs(head=0)) == []
    assert len(peer.requests) == 2


@pytest.mark.parametrize("wrong", [{"head": 1, "tail": 1}, {"head": 1, "follow": True}, {"head": -1}, {"tail": -1}])
def test_contradicting_log_arguments_are_refused(trial: TrialReference, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        list(trial.logs(**wrong))


def test_checkpoints_of_a_trial_are_selected(peer: HttpPeer, trial: TrialReference) -> None:
    peer.on("GET", f"{T}/checkpoints", page("checkpoints", checkpoint("a", 0.3), checkpoint("b", 0.1)))
    peer.on("GET", "/api/v1/checkpoints/u", {"checkpoint": checkpoint("u")})
    assert trial.top_checkpoint().uuid == "b"
    assert trial.top_checkpoint(sort_by="acc", smaller_is_better=False).uuid == "a"
    assert trial.select_checkpoint(uuid="u").uuid == "u"
    assert trial.select_checkpoint(latest=True).uuid == "a"
    assert peer.requests[-1].params["sortBy"] == [CheckpointSortBy.BATCH_NUMBER.value]
    assert peer.requests[-1].params["orderBy"] == [CheckpointOrderBy.DESC.value]


@pytest.mark.parametrize(
    "wrong", [{}, {"best": True, "latest": True}, {"latest": True, "sort_by": "x", "smaller_is_better": True}]
)
def test_ambiguous_selections_are_refused(trial: TrialReference, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        trial.select_checkpoint(**wrong)


def test_metric_streams_are_typed(peer: HttpPeer, trial: TrialReference) -> None:
    report = {"trialId": 3, "trialRunId": 1, "totalBatches": 10, "endTime": "2023-06-01T10:00:00.123456Z"}
    training = {**report, "metrics": {"avg_metrics": {"loss": "NaN"}, "batch_metrics": [{"loss": 1}]}}
    validation = {**report, "metrics": {"validation_metrics": {"loss": 0.5}}}
    peer.on("GET", "/api/v1/trials/metrics/training_metrics", lambda r: lines({"result": {"metrics": [training]}}))
    peer.on("GET", "/api/v1/trials/metrics/validation_metrics", lambda r: lines({"result": {"metrics": [validation]}}))
    first = next(iter(trial.stream_training_metrics()))
    assert math.isnan(first.metrics["loss"])
    assert first.batch_metrics == [{"loss": 1}]
    assert (first.trial_run_id, first.steps_completed, first.end_time.microsecond) == (1, 10, 123456)
    assert next(iter(trial.stream_validation_metrics())).metrics == {"loss": 0.5}
    assert peer.requests[0].params == {"trialIds": ["3"]}


def stored(tmp_path: Path, peer: HttpPeer, session: Session, *, with_files: bool = True) -> Checkpoint:
    storage = {"type": "shared_fs", "host_path": str(tmp_path / "host"), "storage_path": "ckpt"}
    if with_files:
        folder = tmp_path / "host" / "ckpt" / "u"
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "model.bin").write_bytes(b"weights")
    peer.on("GET", "/api/v1/checkpoints/u", {"checkpoint": checkpoint("u", 0.1, checkpoint_storage=storage)})
    return get_checkpoint(session, "u")


def test_a_checkpoint_is_copied_from_shared_storage(tmp_path: Path, peer: HttpPeer, session: Session) -> None:
    found = stored(tmp_path, peer, session)
    target = tmp_path / "out" / "here"
    assert found.download(str(target), DownloadMode.DIRECT) == str(target)
    assert (target / "sub" / "model.bin").read_bytes() == b"weights"
    assert json.loads((target / "metadata.json").read_text()) == {"steps_completed": 100}
    assert [p.name for p in target.parent.iterdir()] == ["here"]
    (target / "sub" / "model.bin").unlink()
    found.download(str(target))
    assert not (target / "sub" / "model.bin").exists(), "it is there already, so nothing is fetched"


def archive(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue())


def test_a_checkpoint_comes_through_the_master_when_storage_is_out_of_reach(
    tmp_path: Path, peer: HttpPeer, session: Session
) -> None:
    found = stored(tmp_path, peer, session, with_files=False)
    data = archive(("metadata.json", b"{}"), ("sub/model.bin", b"w" * 100_000))
    chunks = [data[at : at + 7] for at in range(0, len(data), 7)]
    peer.on("GET", "/checkpoints/u", lambda r: Answer(chunks=chunks))
    target = tmp_path / "out"
    found.download(target)
    assert (target / "sub" / "model.bin").read_bytes() == b"w" * 100_000
    assert peer.requests[-1].headers["accept"] == "application/gzip"


def test_a_checkpoint_that_is_nowhere_leaves_nothing_behind(tmp_path: Path, peer: HttpPeer, session: Session) -> None:
    found = stored(tmp_path, peer, session, with_files=False)
    with pytest.raises(Unavailable, match="mount the shared file system"):
        found.download(tmp_path / "out", DownloadMode.DIRECT)
    with pytest.raises(Unavailable, match=r"neither from its storage .* nor from the master"):
        found.download(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_cannot_write_outside_of_its_folder(tmp_path: Path, peer: HttpPeer, session: Session) -> None:
    found = stored(tmp_path, peer, session, with_files=False)
    peer.on("GET", "/checkpoints/u", Answer(archive(("../evil", b"x"))))
    with pytest.raises(Exception, match="cannot be unpacked"):
        found.download(tmp_path / "out", DownloadMode.MASTER)
    assert list(tmp_path.iterdir()) == []


def test_a_download_does_not_touch_other_files(tmp_path: Path, peer: HttpPeer, session: Session) -> None:
    found = stored(tmp_path, peer, session)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(InvalidInput, match="holds no checkpoint"):
        found.download(tmp_path / "out")


def test_only_complete_checkpoints_can_be_downloaded(peer: HttpPeer, session: Session) -> None:
    peer.on("GET", "/api/v1/checkpoints/u", {"checkpoint": {**checkpoint("u"), "state": "STATE_DELETED"}})
    found = get_checkpoint(session, "u")
    assert found.state is CheckpointState.DELETED
    with pytest.raises(FailedPrecondition, match="is DELETED; only COMPLETED"):
        found.download()


def test_metadata_is_changed_as_a_whole(tmp_path: Path, peer: HttpPeer, session: Session) -> None:
    found = stored(tmp_path, peer, session)
    peer.on("POST", "/api/v1/checkpoints/u/metadata", {})
    peer.on("DELETE", "/api/v1/checkpoints", {})
    found.add_metadata({"note": "good", "x": math.inf})
    found.remove_metadata(["note", "absent"])
    found.delete()
    sent = [r.json["checkpoint"]["metadata"] for r in peer.seen("POST", "/api/v1/checkpoints/u/metadata")]
    assert sent == [
        {"steps_completed": 100, "note": "good", "x": "Infinity"},
        {"steps_completed": 100, "x": "Infinity"},
    ]
    assert found.metadata == {"steps_completed": 100, "x": math.inf}
    assert peer.requests[-1].json == {"checkpointUuids": ["u"]}
    with pytest.raises(InvalidInput, match="give a list"):
        found.remove_metadata("note")


def test_a_refused_change_leaves_the_object_as_it_was(tmp_path: Path, peer: HttpPeer, session: Session) -> None:
    found = stored(tmp_path, peer, session)
    with pytest.raises(NotFoundException):
        found.add_metadata({"note": "good"})
    assert found.metadata == {"steps_completed": 100}


def test_users_are_read_and_changed(peer: HttpPeer, session: Session) -> None:
    ada = {"id": 4, "username": "ada", "admin": False, "active": True, "displayName": "Ada"}
    peer.on("GET", "/api/v1/me", {"user": ada})
    peer.on("GET", "/api/v1/users", page("users", ada, {**ada, "id": 5, "username": "bob"}))
    peer.on("GET", "/api/v1/users/a%2Fb/by-username", {"user": ada})
    peer.on("POST", "/api/v1/users", lambda r: {"user": {**r.json["user"], "id": 6}})
    peer.on("PATCH", "/api/v1/users/4", lambda r: {"user": {**ada, **r.json}})
    me = whoami(session)
    assert (me.user_id, me.username, me.display_name, me.remote) == (4, "ada", "Ada", False)
    assert [u.username for u in list_users(session)] == ["ada", "bob"]
    assert get_user_by_name(session, "a/b").user_id == 4
    assert create_user(session, "eve", True, "pw").user_id == 6
    assert len(peer.requests[-1].json["password"]) == 128
    me.deactivate()
    assert me.active is False
    me.rename("lovelace")
    assert me.username == "lovelace"
    me.change_password("new")
    assert set(peer.requests[-1].json) == {"password", "isHashed"}

from __future__ import annotations

import base64
import csv
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from determined.cli.main import main
from determined.common.api.token_store import TokenStore
from determined.testing.http_peer import HttpPeer, Request, lines, refusal

V1 = "/api/v1"
E5 = f"{V1}/experiments/5"
CONFIG = "# mine\nname: n\nentrypoint: python3 t.py\nsearcher: {name: custom, metric: loss}\n"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpPeer]:
    for name in ("DET_USER", "DET_PASS", "DET_USER_TOKEN", "DET_TASK_ID", "DET_DEBUG", "DET_MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DET_DEBUG_CONFIG_PATH", str(tmp_path / "config"))
    monkeypatch.setenv("DET_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    with HttpPeer() as server:
        monkeypatch.setenv("DET_MASTER", server.url)
        server.on("POST", f"{V1}/auth/login", lambda r: {"token": f"T-{r.json['username']}", "user": {}})
        server.on("GET", f"{V1}/me", {"user": {"username": "determined", "id": 1}})
        yield server


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "t.py").touch()
    (tmp_path / "c.yaml").write_text(CONFIG)
    return tmp_path / "model"


def page(key: str, *values: Any) -> dict[str, Any]:
    return {key: list(values), "pagination": {"offset": 0, "endIndex": len(values), "total": len(values)}}


def watched(state: str, **more: Any) -> dict[str, Any]:
    return {"result": {"id": 5, "state": f"STATE_{state}", "trials": {"total": 1}, **more}}


def table(text: str) -> list[list[str]]:
    """Cells of a printed table whose cells hold single words or are two spaces apart."""
    return [[c.strip() for c in line.split("   ") if c.strip()] for line in text.splitlines() if "──" not in line]


EXPERIMENT = {
    "id": 5,
    "name": "mine",
    "username": "determined",
    "state": "STATE_RUNNING",
    "progress": 0.256,
    "startTime": "2023-06-01T10:00:00.123456Z",
    "endTime": None,
    "resourcePool": "default",
    "archived": False,
    "labels": ["b", "a"],
    "config": {"name": "mine", "searcher": {"metric": "loss"}},
}
TRIAL = {
    "id": 3,
    "experimentId": 5,
    "state": "STATE_COMPLETED",
    "startTime": "2023-06-01T10:00:00Z",
    "hparams": {"lr": 0.1},
    "totalBatchesProcessed": 100,
}
CHECKPOINT: dict[str, Any] = {
    "uuid": "u-1",
    "state": "STATE_COMPLETED",
    "resources": {"b": "1024", "a": "512"},
    "metadata": {"steps_completed": 100},
    "reportTime": "2023-06-01T10:00:00Z",
    "training": {
        "trialId": 3,
        "experimentId": 5,
        "experimentConfig": {"searcher": {"metric": "loss"}},
        "validationMetrics": {"avgMetrics": {"loss": 0.5}},
    },
}


def test_create_sends_the_text_as_it_was_written(peer: HttpPeer, model: Path, capsys: Capture) -> None:
    peer.on("POST", f"{V1}/experiments", {"experiment": {"id": 5}, "warnings": []})
    assert main(["e", "create", "c.yaml", "model", "--paused", "--project_id", "2"]) == 0
    assert capsys.readouterr().out == "Created experiment 5\n"
    body = peer.requests[-1].json
    assert body["config"] == CONFIG
    assert (body["activate"], body["projectId"], body["validateOnly"]) == (False, 2, False)
    assert [f["path"] for f in body["modelDefinition"]] == ["t.py"]


def test_create_takes_standard_input_includes_and_a_single_file(
    peer: HttpPeer, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.on("POST", f"{V1}/experiments", {"experiment": {"id": 5}})
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(CONFIG.encode())))
    assert main(["e", "create", "-", "model/t.py", "-i", "c.yaml"]) == 0
    body = peer.requests[-1].json
    assert body["config"] == CONFIG
    assert [f["path"] for f in body["modelDefinition"]] == ["t.py", "c.yaml"]


def test_create_applies_overrides(peer: HttpPeer, model: Path) -> None:
    peer.on("POST", f"{V1}/experiments", {"experiment": {"id": 5}})
    words = ["--config", "name=other", "--config", "resources.slots_per_trial=2"]
    assert main(["e", "create", "c.yaml", "model", *words]) == 0
    sent = yaml.safe_load(peer.requests[-1].json["config"])
    assert (sent["name"], sent["resources"], sent["searcher"]["metric"]) == ("other", {"slots_per_trial": 2}, "loss")


@pytest.mark.parametrize(
    "words",
    [["missing.yaml", "model"], ["c.yaml", "nowhere"], ["c.yaml", "model", "--config", "x"], ["model", "model"]],
)
def test_create_refuses_bad_input_before_it_sends_anything(
    words: list[str], peer: HttpPeer, model: Path, capsys: Capture
) -> None:
    assert main(["e", "create", *words]) == 2
    assert capsys.readouterr().err.startswith("Error: ")
    assert peer.requests == []


def test_create_and_follow_shows_the_first_trial_and_then_the_rest(
    peer: HttpPeer, model: Path, capsys: Capture
) -> None:
    peer.on("POST", f"{V1}/experiments", {"experiment": {"id": 5}})
    peer.in_turn(
        "GET",
        f"{E5}/watch",
        lambda r: lines(watched("RUNNING")),
        lambda r: lines(watched("RUNNING"), watched("COMPLETED")),
    )
    peer.on("GET", f"{E5}/trials", page("trials", TRIAL))
    peer.on("GET", f"{V1}/trials/3/logs", lambda r: lines({"result": {"message": "hello\n"}}))
    assert main(["e", "create", "c.yaml", "model", "-f"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "Created experiment 5",
        "Waiting for first trial to begin...",
        "Following first trial with ID 3",
        "hello",
    ]
    assert "experiment 5 COMPLETED" in captured.err
    assert peer.seen("GET", f"{V1}/trials/3/logs")[0].params == {"follow": ["true"]}


def test_a_followed_experiment_that_fails_says_why(peer: HttpPeer, model: Path, capsys: Capture) -> None:
    peer.on("POST", f"{V1}/experiments", {"experiment": {"id": 5}})
    peer.on("GET", f"{E5}/watch", lambda r: lines(watched("ERROR")))
    peer.on("GET", f"{E5}/trials", page("trials", {**TRIAL, "exitCode": 3}))
    peer.on("GET", f"{V1}/trials/3/logs", lambda r: lines({"result": {"message": "ZeroDivisionError\n"}}))
    assert main(["e", "create", "c.yaml", "model", "-f"]) == 1
    err = capsys.readouterr().err
    assert "Trial 3 failed: exit code 3." in err
    assert "  ZeroDivisionError" in err


def test_test_mode_validates_and_then_runs_one_batch(peer: HttpPeer, model: Path, capsys: Capture) -> None:
    peer.on("POST", f"{V1}/experiments", {"experiment": {"id": 5}})
    peer.on("GET", f"{E5}/watch", lambda r: lines(watched("COMPLETED")))
    assert main(["e", "create", "c.yaml", "model", "-t"]) == 0
    first, second = (r.json for r in peer.seen("POST", f"{V1}/experiments"))
    assert (first["validateOnly"], second["validateOnly"]) == (True, False)
    short = yaml.safe_load(second["config"])
    assert short["searcher"]["name"] == "single"
    assert short["max_restarts"] == 0
    assert "Created test experiment 5" in capsys.readouterr().out


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_git_state_is_sent_along_when_it_is_clean(peer: HttpPeer, model: Path, capsys: Capture) -> None:
    peer.on("POST", f"{V1}/experiments", {"experiment": {"id": 5}})
    create = ["e", "create", "c.yaml", "model", "-g"]
    assert main(create) == 1
    assert "needs a git repository" in capsys.readouterr().err
    git(model.parent, "init", "--bare", "far.git")
    git(model, "init", "-b", "main")
    assert main(create) == 1
    assert "commit them first" in capsys.readouterr().err
    git(model, "add", ".")
    git(model, "commit", "-m", "x")
    git(model, "remote", "add", "origin", str(model.parent / "far.git"))
    git(model, "push", "-u", "origin", "main")
    assert main(create) == 0
    body = peer.requests[-1].json
    assert body["gitRemote"] == str(model.parent / "far.git")
    assert body["gitCommitter"] == "Ada <ada@example.org>"
    assert len(body["gitCommit"]) == 40


def test_list_shows_ones_own_experiments(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", f"{V1}/experiments", page("experiments", EXPERIMENT))
    for words in (["e"], ["e", "list"], ["experiment", "ls"]):
        assert main(words) == 0
    assert peer.requests[-1].params == {
        "archived": ["false"],
        "users": ["determined"],
        "limit": ["200"],
        "offset": ["0"],
    }
    head, row = table(capsys.readouterr().out)[:2]
    assert head == ["ID", "Owner", "Name", "Parent ID", "State", "Progress", "Started", "Ended", "Resource Pool"]
    assert row == ["5", "determined", "mine", "RUNNING", "25.6%", "2023-06-01 10:00:00+0000", "default"]


def test_list_all_shows_everybodys(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", f"{V1}/experiments", page("experiments", EXPERIMENT))
    assert main(["e", "list", "-a", "--show_project", "--csv", "--limit", "7", "--offset", "3", "--pages", "1"]) == 0
    assert peer.requests[-1].params == {"limit": ["7"], "offset": ["3"]}
    head, row = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert (head[:3], head[-1]) == (["Workspace", "Project", "ID"], "Archived")
    assert row[2] == "5"


def test_lists_can_be_json(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", f"{V1}/experiments", page("experiments", EXPERIMENT))
    assert main(["e", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [EXPERIMENT]


def test_a_name_cannot_steer_the_terminal(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", f"{V1}/experiments", page("experiments", {**EXPERIMENT, "name": "[red]\x1b[2Jx\x07"}))
    assert main(["e", "list"]) == 0
    out = capsys.readouterr().out
    assert "[red]x\\x07" in out
    assert "\x1b" not in out


WORKLOADS = [
    {"training": {"totalBatches": 10, "endTime": "2023-06-01T10:00:01Z", "metrics": {"avgMetrics": {"loss": 0.9}}}},
    {"validation": {"totalBatches": 10, "endTime": "2023-06-01T10:00:03Z", "metrics": {"avgMetrics": {"acc": 0.0}}}},
    {"checkpoint": {"totalBatches": 10, "endTime": "2023-06-01T10:00:02Z", "state": "STATE_COMPLETED", "uuid": "u-1"}},
    {"training": {"totalBatches": 2, "endTime": "2023-06-01T10:00:00Z", "metrics": {"avgMetrics": {"loss": 0.95}}}},
]


@pytest.fixture
def described(peer: HttpPeer) -> None:
    peer.on("GET", E5, {"experiment": EXPERIMENT, "jobSummary": None})
    peer.on("GET", f"{E5}/trials", page("trials", TRIAL))
    peer.on("GET", f"{V1}/trials/3", {"trial": TRIAL})
    peer.on("GET", f"{V1}/trials/3/workloads", page("workloads", *WORKLOADS))


def test_describe_puts_reports_of_one_step_in_one_row(described: None, tmp_path: Path) -> None:
    assert main(["e", "describe", "5", "--metrics", "--outdir", "out"]) == 0
    rows = list(csv.reader(io.StringIO((tmp_path / "out" / "workloads.csv").read_text())))
    assert rows[0] == [
        "Trial ID",
        "# of Batches",
        "State",
        "Report Time",
        "Training Metric: loss",
        "Checkpoint State",
        "Checkpoint Report Time",
        "Validation State",
        "Validation Report Time",
        "Validation Metric: acc",
    ]
    at = "2023-06-01 10:00:0{}+0000".format
    assert rows[1] == ["3", "2", "", at(0), "0.95", "", "", "", "", ""]
    assert rows[2] == ["3", "10", "COMPLETED", at(3), "0.9", "COMPLETED", at(2), "COMPLETED", at(3), "0.0"]
    assert (tmp_path / "out" / "trials.csv").exists()
    assert (tmp_path / "out" / "experiments.csv").exists()


def test_describe_prints_three_tables_or_the_answers(described: None, capsys: Capture) -> None:
    assert main(["e", "describe", "5"]) == 0
    out = capsys.readouterr().out
    assert [name for name in ("Experiment:", "Trials:", "Workloads:") if f"{name}\n" in out] == [
        "Experiment:",
        "Trials:",
        "Workloads:",
    ]
    assert "a, b" in out
    assert main(["e", "describe", "5,5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"experiment": EXPERIMENT, "jobSummary": None}] * 2


def test_describe_of_a_trial(described: None, capsys: Capture) -> None:
    assert main(["t", "describe", "3", "--metrics"]) == 0
    out = capsys.readouterr().out
    assert "Workload Metrics" in out
    assert "u-1" in out
    assert main(["t", "describe", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"trial": TRIAL, "workloads": WORKLOADS}


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("pause", "Paused"),
        ("activate", "Activated"),
        ("cancel", "Canceled"),
        ("kill", "Killed"),
        ("archive", "Archived"),
        ("unarchive", "Unarchived"),
    ],
)
def test_verbs_say_what_they_did(verb: str, said: str, peer: HttpPeer, capsys: Capture) -> None:
    for path in (E5, f"{V1}/experiments/6"):
        peer.on("POST", f"{path}/{verb}", {})
        peer.on("GET", path, {"experiment": EXPERIMENT})
    assert main(["e", verb, "5", "6"]) == 0
    assert capsys.readouterr().out == f"{said} experiment 5\n{said} experiment 6\n"


@pytest.mark.parametrize("verb", ["cancel", "kill"])
def test_an_experiment_that_is_over_is_not_said_to_have_been_ended(verb: str, peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", E5, {"experiment": {**EXPERIMENT, "state": "STATE_COMPLETED"}})
    assert main(["e", verb, "5"]) == 0
    assert capsys.readouterr().out == f"Experiment 5 is COMPLETED already: there is nothing to {verb}\n"
    assert peer.seen("POST", f"{E5}/{verb}") == []


def test_deleting_asks_first(peer: HttpPeer, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    peer.on("DELETE", E5, {})
    monkeypatch.setattr("sys.stdin", io.StringIO("maybe\nn\n"))
    assert main(["e", "delete", "5"]) == 0
    assert peer.seen("DELETE", E5) == []
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["e", "delete", "5"]) == 0
    assert peer.seen("DELETE", E5) == []
    assert main(["e", "delete", "5", "--yes"]) == 0
    assert "Deletion of experiment 5 is in progress" in capsys.readouterr().out


def test_the_configuration_is_printed_as_yaml(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", E5, {"experiment": EXPERIMENT})
    assert main(["e", "config", "5"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == EXPERIMENT["config"]


@pytest.mark.parametrize(("state", "code"), [("COMPLETED", 0), ("CANCELED", 1), ("PAUSED", 1)])
def test_wait_is_successful_only_for_success(state: str, code: int, peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", f"{E5}/watch", lambda r: lines(watched("RUNNING"), watched(state)))
    assert main(["e", "wait", "5", "--polling-interval", "1"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"experiment 5 {state}" in captured.err
    assert ("activate 5" in captured.err) == (state == "PAUSED")


def test_trials_and_checkpoints_are_listed(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", f"{E5}/trials", page("trials", TRIAL))
    peer.on("GET", f"{E5}/checkpoints", page("checkpoints", CHECKPOINT))
    assert main(["e", "lt", "5", "--csv"]) == 0
    assert list(csv.reader(io.StringIO(capsys.readouterr().out)))[1][:3] == ["3", "COMPLETED", '{\n    "lr": 0.1\n}']
    assert main(["e", "lc", "5", "--best", "2", "--csv"]) == 0
    row = list(csv.reader(io.StringIO(capsys.readouterr().out)))[1]
    assert row == ["3", "100", "COMPLETED", "0.5", "u-1", "a\nb", "1.5KB"]
    assert peer.requests[-1].params["sortBy"] == ["SORT_BY_SEARCHER_METRIC"]
    assert peer.requests[-1].params["limit"] == ["2"]


def test_logs_of_an_experiment_are_those_of_its_first_trial(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", f"{E5}/trials", page("trials", TRIAL))
    peer.on("GET", f"{V1}/trials/3/logs", lambda r: lines({"result": {"id": "1", "message": "hi\n"}}))
    words = ["--tail", "5", "--level", "ERROR", "--rank-id", "0", "--rank-id", "1", "--source", "master"]
    assert main(["e", "logs", "5", *words]) == 0
    assert capsys.readouterr().out == "hi\n"
    assert peer.requests[-1].params == {
        "limit": ["5"],
        "orderBy": ["ORDER_BY_DESC"],
        "levels": ["LOG_LEVEL_ERROR", "LOG_LEVEL_CRITICAL"],
        "rankIds": ["0", "1"],
        "sources": ["master"],
    }
    assert main(["t", "logs", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"id": "1", "message": "hi\n"}
    peer.on("GET", f"{E5}/trials", page("trials"))
    assert main(["e", "logs", "5"]) == 1
    assert "has no trial yet" in capsys.readouterr().err


def test_attributes_are_patched_one_at_a_time(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", E5, {"experiment": EXPERIMENT})
    peer.on("PATCH", E5, {})
    peer.on("GET", "/experiments/5/preview_gc", {"checkpoints": [], "metric_name": "loss"})
    assert main(["e", "set", "name", "5", "new"]) == 0
    assert main(["e", "set", "description", "5", "text"]) == 0
    assert main(["e", "set", "max-slots", "5", "none"]) == 0
    assert main(["e", "set", "weight", "5", "2.5"]) == 0
    assert main(["e", "set", "priority", "5", "42"]) == 0
    assert main(["e", "label", "add", "5", "c"]) == 0
    assert main(["e", "label", "remove", "5", "a"]) == 0
    keep = ["--save-experiment-best", "1", "--save-trial-best", "2", "--save-trial-latest", "3"]
    assert main(["e", "set", "gc-policy", "5", *keep, "--yes"]) == 0
    assert [{k: v for k, v in r.json.items() if k != "id"} for r in peer.seen("PATCH", E5)] == [
        {"name": "new"},
        {"description": "text"},
        {"resources": {"maxSlots": None}},
        {"resources": {"weight": 2.5}},
        {"resources": {"priority": 42}},
        {"labels": ["b", "a", "c"]},
        {"labels": ["b"]},
        {"checkpointStorage": {"saveExperimentBest": 1, "saveTrialBest": 2, "saveTrialLatest": 3}},
    ]
    assert "Set name of experiment 5 to 'new'" in capsys.readouterr().out


def test_the_model_definition_is_saved(peer: HttpPeer, tmp_path: Path) -> None:
    peer.on("GET", f"{E5}/model_def", {"b64Tgz": base64.b64encode(b"tgz").decode()})
    assert main(["e", "download-model-def", "5", "--output-dir", "o"]) == 0
    assert (tmp_path / "o" / "experiment_5_model_def.tgz").read_bytes() == b"tgz"


def stored(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "storage" / "u-1"
    folder.mkdir(parents=True)
    (folder / "model.bin").touch()
    storage = {"type": "shared_fs", "host_path": str(tmp_path / "storage")}
    training = {
        **CHECKPOINT["training"],
        "experimentConfig": {"searcher": {"metric": "loss"}, "checkpoint_storage": storage},
    }
    return {**CHECKPOINT, "training": training}


def test_checkpoints_are_downloaded_described_and_deleted(peer: HttpPeer, tmp_path: Path, capsys: Capture) -> None:
    found = stored(tmp_path)
    peer.on("GET", f"{V1}/checkpoints/u-1", {"checkpoint": found})
    peer.on("GET", f"{E5}/checkpoints", page("checkpoints", found))
    peer.on("GET", f"{V1}/trials/3/checkpoints", page("checkpoints", found))
    peer.on("DELETE", f"{V1}/checkpoints", {})
    assert main(["c", "download", "u-1", "-o", "one", "-q", "--mode", "direct"]) == 0
    assert main(["e", "download", "5", "-o", "many", "-q"]) == 0
    assert main(["t", "download", "3", "--best", "-o", "best", "-q"]) == 0
    assert capsys.readouterr().out.split() == ["one", "many/u-1", "best"]
    assert all((tmp_path / name / "model.bin").exists() for name in ("one", "many/u-1", "best"))
    assert main(["c", "describe", "u-1"]) == 0
    assert "Steps Completed" in capsys.readouterr().out
    assert main(["c", "delete", "u-1,u-2", "u-3", "--yes"]) == 0
    assert peer.requests[-1].json == {"checkpointUuids": ["u-1", "u-2", "u-3"]}


def test_trials_are_killed(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("POST", f"{V1}/trials/3/kill", {})
    assert main(["t", "kill", "3"]) == 0
    assert capsys.readouterr().out == "Killed trial 3\n"


def test_trials_are_canceled(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("POST", f"{V1}/trials/3/cancel", {})
    peer.on("POST", f"{V1}/trials/4/cancel", {})
    assert main(["t", "cancel", "3", "4"]) == 0
    assert capsys.readouterr().out == "Canceled trial 3\nCanceled trial 4\n"


def test_a_trial_tells_its_story(peer: HttpPeer, capsys: Capture) -> None:
    sentences = ["1. After 0.0 s it was created.", "2. After 1.0 s it \x1b[31mended."]
    peer.on("GET", f"{V1}/trials/3/story", {"sentences": sentences})
    assert main(["t", "story", "3"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == sentences[0]
    assert "\x1b" not in shown
    assert main(["t", "story", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sentences": sentences}


def test_login_reads_a_password_from_a_pipe(peer: HttpPeer, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    peer.on("POST", f"{V1}/auth/logout", {})
    assert main(["user", "login", "ada"]) == 0
    assert TokenStore(peer.url).get_active_user() == "ada"
    assert len(peer.seen("POST", f"{V1}/auth/login")[0].json["password"]) == 128
    assert main(["user", "whoami"]) == 0
    assert main(["user", "logout"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Logged in as user 'ada'",
        "You are logged in as user 'determined'",
        "Logged out ada",
    ]
    assert main(["user", "login"]) == 2


def test_a_wrong_password_is_refused(peer: HttpPeer, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
    peer.on("POST", f"{V1}/auth/login", refusal(401, 16, "invalid credentials"))
    assert main(["user", "login", "ada"]) == 1
    assert "wrong user or password" in capsys.readouterr().err


def test_logging_out_starts_no_master(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DET_MASTER")
    assert main(["user", "logout"]) == 0
    assert main(["version", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Nobody was logged in.\n")
    assert '"master_address": null' in out
    assert not (tmp_path / "data").exists()


def test_users_are_managed(peer: HttpPeer, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = {"id": 4, "username": "ada", "admin": True, "active": True}
    peer.on("GET", f"{V1}/users", page("users", ada))
    peer.on("GET", f"{V1}/users/ada/by-username", {"user": ada})
    peer.on("POST", f"{V1}/users", lambda r: {"user": {**r.json["user"], "id": 5}})
    changes: list[Any] = []

    def patch(request: Request) -> object:
        changes.append(request.json)
        return {"user": ada}

    peer.on("PATCH", f"{V1}/users/4", patch)
    assert main(["u"]) == 0
    assert main(["u", "create", "eve", "--admin"]) == 0
    assert main(["u", "deactivate", "ada"]) == 0
    assert main(["u", "activate", "ada"]) == 0
    assert main(["u", "rename", "ada", "lovelace"]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("a\nb\n"))
    assert main(["u", "change-password", "ada"]) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("a\na\n"))
    assert main(["u", "change-password", "ada"]) == 0
    assert changes[:3] == [{"active": False}, {"active": True}, {"username": "lovelace"}]
    assert set(changes[3]) == {"password", "isHashed"}
    assert len(changes) == 4
    head, row = table(capsys.readouterr().out)[:2]
    assert head[:4] == ["User Id", "Username", "Admin", "Active"]
    assert row[:4] == ["4", "ada", "True", "True"]


AGENT = {
    "id": "local",
    "version": "0.22.2",
    "slots": {
        "0": {"id": "0", "device": {"brand": "cpu 0", "type": "TYPE_CPU"}, "enabled": True, "container": {"id": "k1"}},
        "1": {"id": "1", "device": {"brand": "cpu 1", "type": "TYPE_CPU"}, "enabled": True, "container": None},
    },
    "resourcePools": ["default"],
    "enabled": True,
}
SUMMARY = {"taskId": "5.x", "allocationId": "5.x.1", "name": "Trial 3 (Experiment 5)", "slotsNeeded": 1}


def test_the_cluster_is_shown(peer: HttpPeer, capsys: Capture) -> None:
    held = {"allocation_id": "5.x.1", "name": "Trial 3 (Experiment 5)", "resources": [{"container_id": "k1"}]}
    peer.on("GET", f"{V1}/agents", {"agents": [AGENT]})
    peer.on("GET", "/tasks", {"5.x.1": held})
    peer.on("GET", f"{V1}/tasks", {"allocationIdToSummary": {"5.x.1": SUMMARY}})
    peer.on("GET", f"{V1}/tasks/5.x/logs", lambda r: lines({"result": {"message": "hi\n"}}))
    assert main(["a", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["num_slots"] == 2
    assert main(["s", "list", "--csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert [row[5:] for row in rows[1:]] == [
        ["5.x.1", "Trial 3 (Experiment 5)", "cpu", "cpu 0"],
        ["FREE", "FREE", "cpu", "cpu 1"],
    ]
    assert main(["task", "list", "--csv"]) == 0
    assert "5.x,5.x.1,Trial 3 (Experiment 5),1," in capsys.readouterr().out
    assert main(["task", "logs", "5.x"]) == 0
    assert capsys.readouterr().out == "hi\n"


def test_the_queue_is_shown_in_its_order(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", f"{V1}/experiments", page("experiments", EXPERIMENT, {**EXPERIMENT, "id": 6}))
    ahead = {"state": "STATE_QUEUED", "jobsAhead": 1}
    peer.on("GET", E5, {"experiment": EXPERIMENT, "jobSummary": ahead})
    first = {"experiment": {**EXPERIMENT, "id": 6}, "jobSummary": {"state": "STATE_SCHEDULED", "jobsAhead": 0}}
    peer.on("GET", f"{V1}/experiments/6", first)
    waits = {**SUMMARY, "priority": 42, "waitingFor": "1 slot: 0 of 2 free"}
    runs = {"6.y.1": {**SUMMARY, "taskId": "6.y", "priority": 42, "waitingFor": ""}, "5.x.1": waits}
    peer.on("GET", f"{V1}/tasks", {"allocationIdToSummary": runs})
    assert main(["job", "list", "--csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert [row[2] for row in rows[1:]] == ["mine (6)", "mine (5)"]
    assert main(["job", "list", "--json"]) == 0
    assert [job["waiting"] for job in json.loads(capsys.readouterr().out)] == [[], [waits]]
    assert main(["job", "list"]) == 0
    told = capsys.readouterr().out
    assert told.count("Trial 3 (Experiment 5)") == 1
    assert "1 slot: 0 of 2 free" in told


def test_a_job_is_changed_by_its_id_or_by_the_number_of_its_experiment(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("GET", f"{V1}/experiments", page("experiments", {**EXPERIMENT, "jobId": "a-b"}))
    peer.on("PATCH", E5, {})
    assert main(["job", "update", "5", "--priority", "7"]) == 0
    assert main(["job", "update", "a-b", "--weight", "2", "--max-slots", "none"]) == 0
    assert [r.json["resources"] for r in peer.seen("PATCH", E5)] == [
        {"priority": 7},
        {"weight": 2.0, "maxSlots": None},
    ]
    capsys.readouterr()
    assert main(["job", "update", "c-d", "-p", "7"]) == 1
    assert "no unfinished experiment has the job 'c-d'" in capsys.readouterr().err
    assert main(["job", "update", "5"]) == 2
    assert "--priority, --weight or --max-slots" in capsys.readouterr().err


def test_the_master_describes_itself(peer: HttpPeer, capsys: Capture) -> None:
    entry = {"id": 1, "timestamp": "2023-06-01T10:00:00Z", "level": "LOG_LEVEL_INFO", "message": "up\n"}
    peer.on("GET", f"{V1}/master", {"version": "0.22.2", "clusterName": ""})
    peer.on("GET", "/config", {"resource_manager": {"type": "agent"}})
    peer.on("GET", "/info", {"version": "0.22.2"})
    peer.on("GET", f"{V1}/master/logs", lambda r: lines({"result": {"logEntry": entry}}))
    assert main(["master", "info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "0.22.2"
    assert main(["master", "config"]) == 0
    assert capsys.readouterr().out == "resource_manager:\n  type: agent\n"
    assert main(["master", "logs", "--tail", "4"]) == 0
    assert capsys.readouterr().out == "2023-06-01T10:00:00Z [INFO]: up\n"
    assert peer.requests[-1].params == {"offset": ["-4"]}
    assert main(["version"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["master"]["version"] == "0.22.2"


def test_stopping_where_nothing_runs_is_fine(tmp_path: Path, capsys: Capture) -> None:
    assert main(["deploy", "local", "cluster-down", "--data-dir", "nothing", "--kill-trials"]) == 0
    assert capsys.readouterr().out == f"No local master runs on {tmp_path / 'nothing'}.\n"


def test_starting_on_an_impossible_port_is_refused(capsys: Capture) -> None:
    assert main(["deploy", "local", "cluster-up", "--port", "70000"]) == 2
    assert "1 to 65535" in capsys.readouterr().err

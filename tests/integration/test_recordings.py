"""Real searches on a real master, recorded over HTTP, replayed, and asked why."""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from determined import searcher
from determined.cli.main import main
from determined.common.api import errors
from determined.common.api.session import Session
from determined.domain.config import parse_space
from determined.domain.operations import Progress
from determined.domain.reasons import Reason
from determined.methods.async_halving import AsyncHalvingSearch
from determined.wire.searcher import event_to_json
from determined.workshop.recording import Recording
from determined.workshop.replay import recorded_method, replay
from determined.workshop.why import decisions_of, fetch_decisions
from tests.integration.trained_master import TrainedMaster, loss

Capture = pytest.CaptureFixture[str]
SPACE = {"x": {"type": "double", "minval": 0.0, "maxval": 1.0}}
TRIALS = 200
RANDOM = {
    "name": "a random search",
    "entrypoint": "python3 train.py",
    "searcher": {"name": "random", "metric": "loss", "max_length": 27, "max_trials": TRIALS},
    "hyperparameters": SPACE,
    "max_restarts": 0,
    "reproducibility": {"experiment_seed": 11},
}
CUSTOM = {**RANDOM, "searcher": {"name": "custom", "metric": "loss", "unit": "batches"}}
ASHA = {"max_length": 81, "max_trials": TRIALS, "num_rungs": 5, "divisor": 3, "seed": 11}
RUNGS = {"max_length": {"batches": 81}, "max_trials": TRIALS, "num_rungs": 5, "divisor": 3}
HALVING = {**RANDOM, "searcher": {"name": "async_halving", "metric": "loss", **RUNGS}}
METHOD = "determined.methods.async_halving:AsyncHalvingSearch"


@pytest.fixture(scope="module")
def master() -> Iterator[TrainedMaster]:
    with TrainedMaster() as running:
        yield running


@pytest.fixture
def folder(master: TrainedMaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DET_USER_TOKEN", "DET_TASK_ID", "DET_DEBUG", "DET_MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in master.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DET_DEBUG_CONFIG_PATH", str(tmp_path / "config"))
    monkeypatch.setenv("DET_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Runner(searcher.LocalSearchRunner):
    """Talks to the test's master directly; everything else is the real thing."""

    def __init__(self, master: TrainedMaster, method: searcher.SearchMethod, folder: Path) -> None:
        super().__init__(method, folder)
        self.master = master

    def _open_session(self) -> Session:
        return self.master.session

    def _submit(self, exp_config: Any, model_dir: Any, includes: Any, client_key: str) -> int:
        return self.master.create(exp_config)


@pytest.fixture(scope="module")
def random_search(master: TrainedMaster) -> int:
    number = master.create(RANDOM)
    assert master.wait(number) == "STATE_COMPLETED"
    return number


@pytest.fixture(scope="module")
def halving(master: TrainedMaster, tmp_path_factory: pytest.TempPathFactory) -> int:
    """ASHA by a search runner on this machine."""
    method = AsyncHalvingSearch(parse_space(SPACE), **ASHA)  # type: ignore[arg-type]
    number = Runner(master, method, tmp_path_factory.mktemp("runner")).run(CUSTOM)  # type: ignore[arg-type]
    assert master.wait(number) == "STATE_COMPLETED"
    return number


@pytest.fixture(scope="module")
def recording(master: TrainedMaster, halving: int) -> Recording:
    return Recording.fetch(master.session, halving)


# Replay


def test_a_random_search_of_the_master_is_replayed_identically(
    master: TrainedMaster, random_search: int, folder: Path, capsys: Capture
) -> None:
    assert main(["e", "export", str(random_search)]) == 0
    file = folder / f"experiment-{random_search}.detrec"
    told = capsys.readouterr().out
    assert told.startswith(f"Wrote {file.name}: ")
    assert told.endswith(f" facts and {2 * TRIALS} reports, state COMPLETED\n")
    assert main(["e", "replay", file.name]) == main(["e", "replay", str(random_search)]) == 0
    once, twice = capsys.readouterr().out.splitlines()
    assert once == twice
    recording = Recording.read(file)
    operations = sum(len(batch.operations) for batch in recording.answers())
    assert f"{operations} operations are as recorded" in once
    config = master.session.get(f"/api/v1/experiments/{random_search}")["experiment"]["config"]
    assert recording.header.config["searcher"] == config["searcher"]
    assert config.keys() == recording.header.config.keys()
    assert len(recording.trials()) == len(recording.curves()) == TRIALS
    for trial in recording.trials():
        assert {r.group: r.metrics["loss"] for r in trial.reports} == {
            "training": 2 * loss(dict(trial.hparams), 27),
            "validation": loss(dict(trial.hparams), 27),
        }


def test_halving_in_the_master_is_replayed_identically_and_a_changed_line_is_found(
    master: TrainedMaster, folder: Path, capsys: Capture
) -> None:
    number = master.create(HALVING)
    assert master.wait(number) == "STATE_COMPLETED"
    assert main(["e", "replay", str(number)]) == 0
    (folder / "changed_halving.py").write_text(
        "from determined.methods.async_halving import AsyncHalvingSearch\n"
        "class Changed(AsyncHalvingSearch):\n"
        "    def __init__(self, space, max_length, max_trials, num_rungs, divisor, seed):\n"
        "        super().__init__(space, max_length, max_trials, num_rungs, divisor=divisor + 1, seed=seed)\n"
    )
    capsys.readouterr()
    assert main(["e", "replay", str(number), "--method", "changed_halving:Changed", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["difference"]
    # Three results leave room for one promotion of three, and none of four.
    results = [event for event in _events(Recording.fetch(master.session, number)) if "validationCompleted" in event]
    assert told["event"] == results[2]
    assert told["recorded"]["trialOperation"]["validateAfter"]["length"] == "3"
    assert told["recorded"]["trialOperation"]["validateAfter"]["reasonNumbers"]["places"] == 1


def _events(recording: Recording) -> list[dict[str, Any]]:
    return [event_to_json(number, event) for batch in recording.answers() for number, event in batch.events]


def test_halving_by_a_runner_is_replayed_identically(halving: int, folder: Path, capsys: Capture) -> None:
    assert main(["e", "export", str(halving), "-o", "asha.detrec"]) == 0
    assert main(["e", "replay", "asha.detrec", "--method", METHOD, "--args", json.dumps(ASHA), "--reasons"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("Identical: ")


FLIPPED = """
from determined.methods.async_halving import AsyncHalvingSearch


class Flipped(AsyncHalvingSearch):
    def __init__(self, space, **arguments):
        super().__init__(space, **arguments, smaller_is_better=False)
"""


def test_a_flipped_comparison_is_found_at_the_operation_where_it_first_matters(
    recording: Recording, halving: int, folder: Path, capsys: Capture
) -> None:
    (folder / "flipped_halving.py").write_text(FLIPPED)
    recording.save(folder / "asha.detrec")
    command = ["e", "replay", "asha.detrec", "--method", "flipped_halving:Flipped", "--args", json.dumps(ASHA)]
    assert main([*command, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    place = told["difference"]
    # Of the first three results the best is promoted, and the worst where the comparison is the other way round.
    first = [event["validationCompleted"] for event in _events(recording) if "validationCompleted" in event][:3]
    assert place["event"]["validationCompleted"] == first[2]
    best, *_, worst = [result["requestId"] for result in sorted(first, key=lambda result: result["metric"])]
    assert place["fields"] == [{"name": "request_id", "recorded": best, "replayed": worst}]
    number = place["event"]["id"]
    assert told["events"] == number - 1
    assert main(command) == 1
    shown = capsys.readouterr().out
    assert f"Different at event {number} (trial " in shown
    assert f"> ValidateAfter(request_id={best}, length=3)" in re.sub(" +", " ", shown)
    assert f"  request_id: recorded '{best}', replayed '{worst}'" in shown
    assert main([*command, "--to", str(number - 1)]) == 0


def test_an_experiment_that_is_not_there_is_told_with_what_to_do(folder: Path, capsys: Capture) -> None:
    for code, *words in ((2, "replay"), (1, "export"), (1, "why"), (1, "what-if")):
        assert main(["e", *words, "99999"]) == code
        told = capsys.readouterr().err
        assert told == "Error: experiment 99999 not found; `det e list` shows the experiments that are there\n"
    assert list(folder.glob("*.detrec")) == []


def test_a_trial_that_is_not_there_is_told_as_before(random_search: int, folder: Path, capsys: Capture) -> None:
    missing = uuid.UUID(int=1)
    assert main(["e", "why", str(random_search), str(missing)]) == 1
    assert f"experiment {random_search} has no trial with request id {missing}" in capsys.readouterr().err


def test_a_recording_goes_into_a_folder_that_is_there(random_search: int, folder: Path, capsys: Capture) -> None:
    assert main(["e", "export", str(random_search), "-o", "nowhere/a.detrec"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("Error: nowhere/a.detrec cannot be written: No such file or directory; name a file")


def test_the_debugger_stops_at_the_first_difference(
    recording: Recording, folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[str] = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: stops.append(sys._getframe(1).f_locals["handler"].__name__))
    recording.save(folder / "asha.detrec")
    args = json.dumps({**ASHA, "divisor": 4, "num_rungs": 5})
    command = ["e", "replay", "asha.detrec", "--method", METHOD, "--args", args]
    assert main([*command, "--step"]) == 1
    assert stops == ["on_validation_completed"]
    told = capsys.readouterr().out
    assert re.match(r"Event \d+: trial \d+ reached 1 with metric \d\.\d+\.\n", told)
    assert "goes into AsyncHalvingSearch.on_validation_completed" in told
    assert main(["e", "replay", "asha.detrec", "--method", METHOD, "--args", json.dumps(ASHA), "--step", "5"]) == 0
    assert (
        main(["e", "replay", "asha.detrec", "--method", METHOD, "--args", json.dumps(ASHA), "--to", "9", "--step"]) == 0
    )
    assert len(stops) == 3


# Reasons, and why


def test_reasons_arrive_from_the_runner_with_their_numbers(recording: Recording) -> None:
    posted = [op for batch in recording.answers() for op in batch.operations if not isinstance(op, Progress)]
    assert all(op.reason for op in posted)
    assert any(isinstance(op.reason, Reason) and {"rank", "of", "metric"} <= op.reason.numbers.keys() for op in posted)


def test_the_decisions_over_http_are_those_of_the_recording(
    master: TrainedMaster, halving: int, recording: Recording
) -> None:
    every = list(decisions_of(recording))
    assert list(fetch_decisions(master.session, halving)) == every
    for trial in recording.trials()[:3]:
        own = [d for d in every if d.trial_id == trial.id]
        assert list(fetch_decisions(master.session, halving, trial.id)) == own
        assert list(fetch_decisions(master.session, halving, trial.request_id)) == own


def test_each_stop_and_promotion_is_explained_with_the_right_numbers(
    halving: int, recording: Recording, folder: Path, capsys: Capture
) -> None:
    """The numbers are counted again from the metrics, in the order in which the search heard of them."""
    heard: dict[int, list[tuple[int, int, float]]] = {}
    for batch in recording.answers():
        for number, event in batch.events:
            if type(event).__name__ == "ValidationCompleted":
                heard.setdefault(event.length, []).append((number, event.request_id.int, event.metric))  # type: ignore[union-attr]
    assert main(["e", "why", str(halving), "--json"]) == 0
    decisions = json.loads(capsys.readouterr().out)
    lengths = [1, 3, 9, 27, 81]
    kinds: dict[str, int] = {}
    for d in decisions:
        numbers = d["reasonNumbers"]
        if "rank" not in numbers:
            continue
        length = lengths[numbers.get("rung", 4)]
        results = [entry for entry in heard[length] if entry[0] <= d["cause"]["eventId"]]
        metric = next(value for _, rid, value in results if rid == uuid.UUID(d["requestId"]).int)
        rank = 1 + sum(value < metric for _, _, value in results)
        assert (numbers["rank"], numbers["of"]) == (rank, len(results)), d
        assert numbers.get("metric", metric) == metric
        kind = d["kind"] if length < 81 else "top"
        kinds[kind] = kinds.get(kind, 0) + 1
        if kind == "validateAfter":
            assert rank <= numbers["places"] == len(results) // 3
            assert int(d["length"]) == lengths[numbers["rung"] + 1] == numbers["next_length"]
        elif kind == "closeTrial":
            assert numbers["places"] == len(results) // 3
    trials = recording.trials()
    reached = {length: sum(any(v.length == length for v in t.validations) for t in trials) for length in lengths}
    assert kinds["validateAfter"] == sum(reached[length] for length in lengths[1:])
    assert kinds["closeTrial"] == TRIALS - reached[81]
    assert kinds["top"] == reached[81]


def test_one_trial_is_asked_why(halving: int, recording: Recording, folder: Path, capsys: Capture) -> None:
    stopped = next(t for t in recording.trials() if len(t.validations) == 1)
    recording.save(folder / "asha.detrec")
    told = []
    for where in (str(halving), "asha.detrec"):
        for name in (str(stopped.id), str(stopped.request_id)):
            assert main(["e", "why", where, name]) == 0
            told.append(capsys.readouterr().out)
    assert len(set(told)) == 1
    first, _, *table = told[0].splitlines()
    assert first.startswith(f"Trial {stopped.id} was closed: not promoted from rung 0: rank ")
    assert table[0].split()[0] == "Time"
    assert [("create" in line, "train to 1" in line, "close" in line) for line in table[2:5]] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert main(["e", "why", str(halving), str(stopped.id), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["last"]["reasonNumbers"]["of"] == TRIALS
    assert [d["kind"] for d in answer["decisions"]] == ["createTrial", "validateAfter", "closeTrial"]


def test_wrong_questions_are_answered_without_a_traceback(
    master: TrainedMaster, halving: int, random_search: int, folder: Path, capsys: Capture
) -> None:
    (folder / "other.detrec").write_text("hello")
    first_of_other = master.session.get(f"/api/v1/experiments/{random_search}")["experiment"]["trialIds"][0]
    for words, code, told in (
        (["why", str(halving), "999999"], 1, "999999"),
        (["why", str(halving), str(first_of_other)], 1, f"is not one of experiment {halving}"),
        (["why", str(halving), str(uuid.UUID(int=5))], 1, "has no trial with request id"),
        (["why", str(halving), "x"], 2, "'x' is no trial"),
        (["why", "999999"], 1, "999999"),
        (["why", "none.detrec"], 2, "No such file"),
        (["export", "999999"], 1, "999999"),
        (["export", str(halving), "-o", "none/a.detrec"], 2, "none"),
        (["replay", "other.detrec"], 2, "is no recorded experiment"),
        (["replay", str(halving)], 2, "name it with --method module:Class"),
        (["replay", "999999", "--method", METHOD], 2, "999999"),
        (["replay", str(halving), "--method", "none:X"], 2, "there is no module 'none'"),
        (["replay", str(halving), "--method", METHOD], 2, "it takes (space"),
        (["replay", str(halving), "--method", METHOD, "--args", "["], 2, "--args is no JSON"),
        (["replay", str(halving), "--args", "{}"], 2, "--args are for the method that --method names"),
    ):
        assert main(["e", *words]) == code, words
        out, err = capsys.readouterr()
        assert told in err, (words, err)
        assert "Traceback" not in out + err
        assert out == ""
    assert [path.name for path in folder.glob("*") if path.suffix == ".detrec"] == ["other.detrec"]


# The routes


def test_the_journal_can_be_read_from_any_place_on(master: TrainedMaster, halving: int, recording: Recording) -> None:
    path = f"/api/v1/experiments/{halving}/journal"
    rows = [line["result"] for line in master.session.stream(path)]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) > 2000
    assert [row["kind"] for row in rows] == [row.kind for row in recording.rows]
    later = [line["result"] for line in master.session.stream(path, {"after": len(rows) - 3})]
    assert later == rows[-3:]
    assert list(master.session.stream(path, {"after": len(rows)})) == []


def test_the_routes_refuse_strangers_runs_and_nonsense(master: TrainedMaster, halving: int) -> None:
    for name in ("journal", "decisions"):
        path = f"/api/v1/experiments/{halving}/{name}"
        with Session(master.url) as stranger, pytest.raises(errors.UnauthenticatedException):
            list(stranger.stream(path))
        with pytest.raises(errors.NotFoundException):
            list(master.session.stream(f"/api/v1/experiments/99999/{name}"))
    for params in ({"after": "x"}, {"after": -1}):
        with pytest.raises(errors.InvalidRequestException, match="after must be an integer"):
            list(master.session.stream(f"/api/v1/experiments/{halving}/journal", params))
    path = f"/api/v1/experiments/{halving}/decisions"
    with pytest.raises(errors.InvalidRequestException, match="exclude each other"):
        list(master.session.stream(path, {"trialId": 1, "requestId": str(uuid.UUID(int=1))}))
    with pytest.raises(errors.InvalidRequestException, match="requestId must be a UUID"):
        list(master.session.stream(path, {"requestId": "x"}))


def test_a_search_that_goes_on_can_be_recorded_and_replayed(master: TrainedMaster, folder: Path) -> None:
    """Nobody runs it: its first event waits for an answer."""
    number = master.create(CUSTOM)
    recording = Recording.fetch(master.session, number)
    assert recording.header.state in ("ACTIVE", "QUEUED")
    assert len(recording.unanswered()) == 1
    result = replay(recording, lambda: AsyncHalvingSearch(parse_space(SPACE), **ASHA))  # type: ignore[arg-type]
    assert result.is_identical
    assert (result.events, result.unanswered) == (0, 1)
    master.session.post(f"/api/v1/experiments/{number}/kill")
    assert master.wait(number) == "STATE_CANCELED"
    assert Recording.fetch(master.session, number).unanswered() == []
    with pytest.raises(Exception, match="name it with --method"):
        recorded_method(recording)

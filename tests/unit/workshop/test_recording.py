from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

from determined.domain.states import TrialState
from determined.errors import CorruptState, DeterminedError, InvalidInput
from determined.searcher import Table, simulate
from determined.testing import history
from determined.workshop.recording import Recording
from determined.workshop.recording_file import Header
from determined.workshop.recording_master import without_secrets
from tests.unit.workshop.recorded_search import CUSTOM, RANDOM, RecordedSearch, complete, hosted_search, loss
from tests.unit.workshop.search_methods import Halves

HISTORIES = sorted((Path(__file__).parents[2] / "histories" / "recorded").glob("*.jsonl"))


def random_search(**options: Any) -> Recording:
    return hosted_search(RANDOM, **options)


def custom_search(**options: Any) -> Recording:
    return RecordedSearch(Halves(), complete(CUSTOM), **options).run()


def same(one: Recording, other: Recording) -> bool:
    return (one.header, one.rows, one.reports) == (other.header, other.rows, other.reports)


def test_a_recording_comes_out_of_its_file_as_it_went_in(tmp_path: Path) -> None:
    recording = random_search()
    recording.save(tmp_path / "a.detrec")
    again = Recording.read(tmp_path / "a.detrec")
    assert same(again, recording)
    again.save(tmp_path / "b.detrec")
    assert (tmp_path / "a.detrec").read_bytes() == (tmp_path / "b.detrec").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.detrec", "b.detrec"]


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, why in (
        (tmp_path / "nowhere" / "a", "No such file or directory"),
        (tmp_path / "folder", "Is a directory"),
    ):
        with pytest.raises(InvalidInput, match=f"^{path} cannot be written: {why}; name a file in a folder"):
            random_search().save(path)
    assert [p.name for p in tmp_path.rglob("*")] == ["folder"]


def test_a_recorded_experiment_is_a_table_for_the_simulator(tmp_path: Path) -> None:
    recording = random_search()
    recording.save(tmp_path / "a.detrec")
    table = Table.of(tmp_path / "a.detrec")
    assert table.curves == Table.of(recording).curves == tuple(recording.curves())
    config = {
        "searcher": {"name": "grid", "metric": "loss", "max_length": 10},
        "hyperparameters": table.space().to_json(),
    }
    result = simulate(config=config, table=str(tmp_path / "a.detrec"))
    recorded = [trial.validations[-1].metric for trial in recording.trials()]
    assert result.best is not None
    assert result.best.metric == min(recorded)
    assert sorted(trial.last for trial in result.trials) == sorted(recorded)


def test_a_recording_that_cannot_be_read_or_holds_no_number_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "broken.detrec").write_text("no recording")
    random_search(metric=lambda hparams, length: None).save(tmp_path / "silent.detrec")
    for name, why in (
        ("broken", "is no recorded"),
        ("missing", "cannot be read"),
        ("silent", "at least one curve; tr"),
    ):
        with pytest.raises(InvalidInput, match=why):
            Table.of(tmp_path / f"{name}.detrec")


def test_metrics_that_are_no_finite_numbers_survive_the_file(tmp_path: Path) -> None:
    odd = iter([math.nan, math.inf, -math.inf, 0.1, 1e-320, 2**53 + 1, 0.5, 0.25])
    recording = random_search(metric=lambda hparams, length: next(odd))
    recording.save(tmp_path / "a.detrec")
    again = Recording.read(tmp_path / "a.detrec")
    assert [repr(t.validations) for t in again.trials()] == [repr(t.validations) for t in recording.trials()]
    assert [repr(r.metrics) for r in again.reports] == [repr(r.metrics) for r in recording.reports]
    assert math.isnan(again.trials()[0].validations[0].metric)


def test_what_a_method_saw_comes_back_in_batches(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Watched(Halves):
        def on_validation_completed(self, state: Any, request_id: Any, metric: Any, train_length: int) -> Any:
            seen.append((state.last_event_id, request_id, metric, train_length))
            return super().on_validation_completed(state, request_id, metric, train_length)

    recording = RecordedSearch(Watched(), complete(CUSTOM), batch=4).run()
    batches = list(recording.answers())
    events = [event for batch in batches for event in batch.events]
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    told = [(n - 1, e.request_id, e.metric, e.length) for n, e in events if type(e).__name__ == "ValidationCompleted"]  # type: ignore[union-attr]
    assert [(max(n, 0), *rest) for n, *rest in seen] == told
    assert max(len(batch.events) for batch in batches) >= 4
    assert [batch.seq for batch in batches] == sorted(batch.seq for batch in batches)
    assert recording.unanswered() == []


def test_trials_and_curves_hold_what_was_trained() -> None:
    recording = custom_search()
    trials = recording.trials()
    assert [trial.id for trial in trials] == [1, 2, 3, 4]
    assert {trial.state for trial in trials} == {TrialState.COMPLETED}
    curves = recording.curves()
    assert [dict(curve.hparams) for curve in curves] == [dict(trial.hparams) for trial in trials]
    for trial, curve in zip(trials, curves, strict=True):
        assert curve.lengths == tuple(float(v.length) for v in trial.validations)
        assert curve.metrics == tuple(loss(trial.hparams, int(length)) for length in curve.lengths)
        assert trial.created_at < trial.validations[0].at < (trial.ended_at or 0)
    assert any(len(curve.lengths) > 1 for curve in curves)


def test_validations_in_between_are_points_of_a_curve_in_the_unit_of_the_search() -> None:
    """Steps are batches, and the search counts epochs of three batches."""

    class InBatches(RecordedSearch):
        def report(self, trial_id: Any, run_id: Any, steps: int, metric: Any) -> None:
            super().report(trial_id, run_id, steps, metric + 1)
            super().report(trial_id, run_id, 3 * steps, metric)

    recording = InBatches(Halves(), complete(CUSTOM)).run()
    first = recording.trials()[0]
    assert [v.length for v in first.validations] == [10, 20, 40]
    [curve, *_] = recording.curves()
    assert list(curve.lengths) == pytest.approx([10 / 3, 20 / 3, 10.0, 40 / 3, 20.0, 40.0])
    assert curve.metrics[2] == first.validations[0].metric


def test_a_trial_without_metrics_has_no_curve() -> None:
    recording = random_search(metric=lambda hparams, length: None if hparams["x"] < 0.5 else hparams["x"])
    trials = recording.trials()
    failed = [trial for trial in trials if trial.hparams["x"] < 0.5]
    assert failed
    assert {trial.state for trial in failed} == {TrialState.ERROR}
    assert len(recording.curves()) == len(trials) - len(failed)


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: str(path.stem))
def test_recorded_journals_of_the_past_are_recordings(path: Path) -> None:
    old = history.load(path)
    config = complete(CUSTOM, max_restarts=old.settings.max_restarts)
    header = Header(software="0", experiment_id=old.settings.experiment_id, name="old", state="", config=config)
    recording = Recording(header, old.rows)
    answered = [number for batch in recording.answers() for number, _ in batch.events]
    assert answered == list(range(1, len(answered) + 1))
    assert {str(trial.id): trial.state.value for trial in recording.trials()} == {
        number: trial["state"] for number, trial in old.outcome["trials"].items()
    }


def test_a_recording_holds_no_secrets_and_its_configuration_can_be_read() -> None:
    s3 = {"type": "s3", "bucket": "b", "access_key": "SECRET1", "secret_key": "SECRET2"}
    login = {"username": "u", "password": "SECRET4"}
    environment = {"environment_variables": ["TOKEN=SECRET3"], "registry_auth": login}
    kept = without_secrets(complete(CUSTOM, checkpoint_storage=s3, environment=environment))
    assert "SECRET" not in json.dumps(kept)
    assert kept["checkpoint_storage"]["bucket"] == "b"
    recording = RecordedSearch(Halves(), kept).run()
    assert recording.config.searcher.metric == "loss"


# Damage


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "experiment-1.detrec"
    custom_search().save(path)
    return path


def damaged(path: Path, change: Any) -> str:
    """What is said of the file after a change of its text."""
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(change(lines))))
    with pytest.raises(DeterminedError) as caught:
        Recording.read(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, CorruptState)
    return str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
def test_a_file_that_is_cut_off_is_noticed(saved: Path, share: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DeterminedError, match=r"cut off|is no recorded experiment"):
        Recording.read(saved)


def test_every_cut_between_lines_is_noticed(saved: Path) -> None:
    count = len(gzip.decompress(saved.read_bytes()).splitlines())
    data = saved.read_bytes()
    for keep in range(1, count):
        saved.write_bytes(data)
        assert f"is cut off after line {keep}" in damaged(saved, lambda lines, keep=keep: lines[:keep])


def test_a_changed_digit_a_missing_and_a_doubled_line_are_noticed(saved: Path) -> None:
    data = saved.read_bytes()
    for change in (
        lambda ls: [*ls[:3], ls[3].replace(b"1", b"2", 1), *ls[4:]],
        lambda ls: [*ls[:3], *ls[4:]],
        lambda ls: [*ls[:3], ls[3], *ls[3:]],
    ):
        saved.write_bytes(data)
        assert "is not what its last line says" in damaged(saved, change)
    saved.write_bytes(data)
    assert "comes after the end" in damaged(saved, lambda ls: [*ls, ls[3]])
    saved.write_bytes(data)
    assert "line 4 is damaged" in damaged(saved, lambda ls: [*ls[:3], b"{]\n", *ls[4:]])


def test_flipped_bits_are_noticed(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    for place in range(40, len(data), 97):
        changed = bytearray(data)
        changed[place] ^= 0x10
        saved.write_bytes(changed)
        with pytest.raises(DeterminedError):
            Recording.read(saved)


def test_a_newer_format_asks_for_an_upgrade(saved: Path) -> None:
    told = damaged(saved, lambda ls: [ls[0].replace(b'"detrec":1', b'"detrec":2'), *ls[1:]])
    assert "format 2" in told
    assert "upgrade" in told


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", gzip.compress(b"", mtime=0), gzip.compress(b"hello\n", mtime=0), gzip.compress(b"[]", mtime=0)],
)
def test_other_files_are_no_recordings(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="is no recorded experiment; `det experiment export"):
        Recording.read(path)


def test_a_missing_file_and_a_folder_are_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.detrec cannot be read: No such file"):
        Recording.read(tmp_path / "none.detrec")
    with pytest.raises(InvalidInput, match="Is a directory"):
        Recording.read(tmp_path)


def test_a_journal_with_a_hole_is_refused() -> None:
    recording = custom_search()
    with pytest.raises(CorruptState, match="fact 3 of the recorded experiment 1 is missing: fact 4 comes in its place"):
        Recording(recording.header, [row for row in recording.rows if row.seq != 3])
    with pytest.raises(CorruptState, match="no facts"):
        Recording(recording.header, list(recording.reports))

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import shutil
import sys
import types
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from determined import searcher
from determined.domain.events import (
    ExitCause,
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
    ValidationCompleted,
)
from determined.domain.search_method import apply_event, dispatch
from determined.errors import CorruptState
from determined.searcher import answers, lineage
from determined.searcher.event import QueuedEvent
from determined.searcher.generation import MANIFEST, NewerFormat
from determined.searcher.store import SearchStore

Ops = list[searcher.Operation]
E = 5


@pytest.fixture(autouse=True)
def generations_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each save is a generation here; ``test_search_answers.py`` is about what is saved between two of them."""
    monkeypatch.setattr(answers, "MOST", 0)


class Recorder(searcher.SearchMethod):
    """Keeps one text as its state, in a file of a subfolder."""

    def __init__(self, text: str = "") -> None:
        self.text = text

    def initial_operations(self, state: searcher.SearcherState) -> Ops:
        return []

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
        return []

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> Ops:
        return []

    def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
        return []

    def on_trial_exited_early(
        self, state: searcher.SearcherState, request_id: uuid.UUID, exited_reason: searcher.ExitedReason
    ) -> Ops:
        return []

    def progress(self, state: searcher.SearcherState) -> float:
        return 0.0

    def save_method_state(self, path: Path) -> None:
        (path / "deep").mkdir()
        (path / "deep" / "text").write_text(self.text)

    def load_method_state(self, path: Path) -> None:
        self.text = (path / "deep" / "text").read_text()


class Search:
    """A store with a state that is kept up to date as a runner would do it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = SearchStore(folder, E)
        self.state = searcher.SearcherState()
        self.state.experiment_id = E
        self.state.last_event_id = 0
        self.store.start(Recorder(), self.state)
        self.save([], [])

    def save(self, events: list[SearcherEvent], operations: Ops, *, tidy: bool = True) -> None:
        queued = []
        for event in events:
            apply_event(self.state, event)
            self.state.last_event_id += 1
            queued.append(QueuedEvent(self.state.last_event_id, event))
        self.store.save(Recorder(f"after {self.state.last_event_id}"), self.state, queued, operations)
        if tidy:
            self.store.tidy()


def loaded(folder: Path) -> tuple[dict[str, Any], Ops, str]:
    method = Recorder()
    state, operations = SearchStore(folder, E).load(method)
    return state.to_dict(), operations, method.text


class Counting(Recorder):
    """Finds its state again from the events; counts how often it was saved."""

    deterministic = True
    saves = 0

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
        self.text += f"{request_id.int},"
        return [searcher.ValidateAfter(request_id, len(self.text))]

    def save_method_state(self, path: Path) -> None:
        type(self).saves += 1
        super().save_method_state(path)


class OtherCounting(Counting):
    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
        super().on_trial_created(state, request_id)
        return []


@pytest.mark.parametrize(("limit", "saves"), [(10_000, 0), (200, 1)])
def test_a_deterministic_method_is_saved_only_when_the_log_begins_anew(
    limit: int, saves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "_COMPACT_BYTES", limit)
    monkeypatch.setattr(Counting, "saves", 0)
    method, state, store = Counting(), searcher.SearcherState(), SearchStore(tmp_path, E)
    state.last_event_id = 0
    store.start(method, state)
    store.save(method, state, [], [])
    for number in range(1, 13):
        event = TrialCreated(uuid.UUID(int=number))
        operations = dispatch(method, state, event)
        state.last_event_id = number
        store.save(method, state, [QueuedEvent(number, event)], operations)
        resumed = Counting()
        found, answer = SearchStore(tmp_path, E).load(resumed)
        assert (resumed.text, found.to_dict(), answer) == (
            method.text,
            {**state.to_dict(), "experimentId": E},
            operations,
        )
    assert Counting.saves == saves
    assert len(list(tmp_path.glob("method_*"))) <= 2


def test_a_method_that_only_says_that_it_is_deterministic_is_refused(tmp_path: Path) -> None:
    method, state, store = Counting(), searcher.SearcherState(), SearchStore(tmp_path, E)
    state.last_event_id = 0
    store.start(method, state)
    event = TrialCreated(uuid.UUID(int=1))
    operations = dispatch(method, state, event)
    state.last_event_id = 1
    store.save(method, state, [QueuedEvent(1, event)], operations)
    with pytest.raises(CorruptState, match="answers events 1 to 1 in another way than before"):
        SearchStore(tmp_path, E).load(OtherCounting())


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """Three saves: events 1; 2 and 3; 4."""
    search = Search(tmp_path / "exp_5")
    search.save([InitialOperations()], [searcher.Create(uuid.UUID(int=1), {"x": 1})])
    search.save([TrialCreated(uuid.UUID(int=1)), TrialProgress(uuid.UUID(int=1), 0.5)], [searcher.Progress(0.5)])
    search.save([TrialClosed(uuid.UUID(int=1))], [searcher.Shutdown()])
    return search


ids = st.integers(1, 3).map(lambda n: uuid.UUID(int=n))
events: st.SearchStrategy[SearcherEvent] = st.one_of(
    st.builds(TrialCreated, ids),
    st.builds(TrialProgress, ids, st.floats(0, 10)),
    st.builds(ValidationCompleted, ids, st.floats(allow_nan=False), st.integers(1, 9)),
    st.builds(TrialExitedEarly, ids, st.sampled_from(ExitCause)),
    st.builds(TrialClosed, ids),
)


@given(batches=st.lists(st.tuples(st.lists(events, max_size=4), st.booleans()), max_size=6))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_loaded_is_what_was_saved_last(
    tmp_path: Path, batches: list[tuple[list[SearcherEvent], bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the log is compacted at any point, and when the process is replaced after any save."""
    folder = tmp_path / str(uuid.uuid4())
    search = Search(folder)
    for number, (batch, compact) in enumerate(batches):
        with monkeypatch.context() as patch:
            if compact:
                patch.setattr(lineage, "_COMPACT_BYTES", -1)
            search.save(batch, [searcher.Progress(0.25)], tidy=number % 2 == 0)
        assert loaded(folder)[0] == search.state.to_dict()
    expected = [searcher.Progress(0.25)] if batches else []
    assert loaded(folder) == (search.state.to_dict(), expected, f"after {search.state.last_event_id}")


def test_two_generations_are_kept(search: Search) -> None:
    names = {path.name for path in search.folder.iterdir()}
    assert names == {"event_3", "event_4", "event_id", "events.jsonl"}
    assert (search.folder / "event_id").read_text() == "4"


def test_a_process_that_never_came_to_tidying_leaves_the_work_to_the_next(search: Search) -> None:
    for _ in range(3):
        search.save([TrialProgress(uuid.UUID(int=1), 1.0)], [], tidy=False)
    names = {path.name for path in search.folder.iterdir()}
    assert names == {*(f"event_{number}" for number in range(3, 8)), "event_id", "events.jsonl"}
    assert (search.folder / "event_id").read_text() == "4"
    assert loaded(search.folder)[0] == search.state.to_dict()
    assert {path.name for path in search.folder.iterdir()} == {"event_6", "event_7", "event_id", "events.jsonl"}
    search.store.tidy()
    assert (search.folder / "event_id").read_text() == "7"


def test_compaction_leaves_only_the_parts_that_are_needed(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "_COMPACT_BYTES", 10)
    for _ in range(12):
        search.save([TrialProgress(uuid.UUID(int=1), 1.0)], [])
    generations = [path for path in search.folder.iterdir() if path.is_dir()]
    needed: set[str] = set()
    for path in generations:
        body = json.loads((path / MANIFEST).read_text())["body"]
        needed |= {part["name"] for part in (body["base"], body["log"]) if part}
    parts = {path.name for path in search.folder.glob("*.json*")}
    assert len(generations) == 2
    assert parts <= needed
    assert loaded(search.folder)[0] == search.state.to_dict()


def test_what_a_dead_process_left_behind_is_cleared_away(search: Search) -> None:
    (search.folder / ".saving").mkdir()
    (search.folder / ".saving" / "half").write_text("x")
    (search.folder / ".event_id.new").write_text("")
    with (search.folder / "events.jsonl").open("a") as f:
        f.write('{"id": 5, "trialCl')
    assert loaded(search.folder) == (search.state.to_dict(), [searcher.Shutdown()], "after 4")
    assert not (search.folder / ".saving").exists()
    store = SearchStore(search.folder, E)
    state, _ = store.load(Recorder())
    store.save(Recorder("next"), state, [QueuedEvent(5, TrialCreated(uuid.UUID(int=2)))], [])
    assert len(loaded(search.folder)[0]["trialsCreated"]) == 2


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_any_flipped_bit_in_the_newest_generation_leads_to_the_one_before(
    search: Search, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, file in enumerate(files_of(search.folder / "event_4")):
        size = file.stat().st_size
        for position in range(0, size, max(1, size // 40)):
            copy = tmp_path / f"{number}_{position}"
            shutil.copytree(search.folder, copy)
            damaged = copy / file.relative_to(search.folder)
            data = bytearray(damaged.read_bytes())
            data[position] ^= 0x04
            damaged.write_bytes(data)
            caplog.clear()
            state, operations, text = loaded(copy)
            assert (state["lastEventId"], operations, text) == (3, [searcher.Progress(0.5)], "after 3")
            assert "cannot be used" in caplog.text
            assert (copy / "damaged_event_4").is_dir()
            # The damage was set aside, so that it is not stumbled over again.
            assert loaded(copy)[0]["lastEventId"] == 3


def test_the_newest_generation_truncated_at_any_byte_leads_to_the_one_before(search: Search, tmp_path: Path) -> None:
    file = search.folder / "event_4" / MANIFEST
    for length in range(0, file.stat().st_size, 7):
        copy = tmp_path / str(length)
        shutil.copytree(search.folder, copy)
        (copy / "event_4" / MANIFEST).write_bytes(file.read_bytes()[:length])
        assert loaded(copy)[0]["lastEventId"] == 3


def test_an_event_log_truncated_within_the_last_batch_leads_to_the_state_before(search: Search) -> None:
    log = search.folder / "events.jsonl"
    log.write_bytes(log.read_bytes()[:-5])
    assert loaded(search.folder)[0]["lastEventId"] == 3


def test_a_damaged_event_log_leaves_nothing_and_the_message_says_what_to_do(search: Search) -> None:
    log = search.folder / "events.jsonl"
    log.write_bytes(b"x" + log.read_bytes()[1:])
    with pytest.raises(CorruptState) as refused:
        loaded(search.folder)
    message = str(refused.value)
    assert "event_4: events.jsonl has changed" in message
    assert "event_3: " in message
    assert "another searcher_dir" in message


def test_a_pointer_to_a_missing_generation_is_noticed(search: Search, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(search.folder / "event_4")
    assert loaded(search.folder)[0]["lastEventId"] == 3
    assert "event_4 is missing" in caplog.text
    assert (search.folder / "event_id").read_text() == "3"


@pytest.mark.parametrize("content", [None, "", "x", "1", "99999999999999999999999"])
def test_the_pointer_is_not_needed(search: Search, content: str | None) -> None:
    pointer = search.folder / "event_id"
    if content is None:
        pointer.unlink()
    else:
        pointer.write_text(content)
    assert loaded(search.folder)[0]["lastEventId"] == 4


@pytest.mark.parametrize("name", [MANIFEST, "deep/text"])
def test_a_link_in_place_of_a_file_is_refused(search: Search, tmp_path: Path, name: str) -> None:
    file = search.folder / "event_4" / name
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert loaded(search.folder)[0]["lastEventId"] == 3


def test_a_newer_format_is_refused_with_the_advice_to_upgrade(search: Search) -> None:
    file = search.folder / "event_4" / MANIFEST
    body = b'{"words": "of a later version"}'
    digest = hashlib.sha256(b"3\n" + body).hexdigest()
    file.write_bytes(b'{"format": 3, "sha256": "%s", "body": %s}' % (digest.encode(), body))
    with pytest.raises(NewerFormat, match="upgrade"):
        loaded(search.folder)
    assert (search.folder / "event_4").is_dir()


def test_the_states_of_another_experiment_are_refused(search: Search) -> None:
    with pytest.raises(CorruptState, match="belongs to experiment 5, not 6"):
        SearchStore(search.folder, 6).load(Recorder())


def test_a_withdrawn_state_is_as_if_it_had_never_been_saved(search: Search) -> None:
    search.store.withdraw()
    state, operations, text = loaded(search.folder)
    assert (state["lastEventId"], operations, text) == (3, [searcher.Progress(0.5)], "after 3")
    assert (search.folder / "refused_event_4").is_dir()


def test_the_same_event_can_be_saved_twice(search: Search) -> None:
    search.save([], [searcher.Shutdown(cancel=True)])
    assert loaded(search.folder)[1] == [searcher.Shutdown(cancel=True)]


def test_a_new_search_in_an_old_folder_sets_the_old_states_aside(
    search: Search, caplog: pytest.LogCaptureFixture
) -> None:
    Search(search.folder)
    with caplog.at_level(logging.WARNING):
        assert loaded(search.folder)[0]["lastEventId"] == 0
    assert (search.folder / "superseded_event_4").is_dir()


def test_a_state_that_was_made_elsewhere_is_kept_whole(tmp_path: Path) -> None:
    state = searcher.SearcherState()
    state.last_event_id = 7
    state.trials_created.add(uuid.UUID(int=3))
    SearchStore(tmp_path / "exp_5", E).save(Recorder("x"), state, [], [])
    assert loaded(tmp_path / "exp_5")[0]["trialsCreated"] == [str(uuid.UUID(int=3))]


def test_a_method_that_writes_a_file_under_a_reserved_name_is_told(tmp_path: Path) -> None:
    class Greedy(Recorder):
        def save_method_state(self, path: Path) -> None:
            (path / MANIFEST).write_text("mine")

    search = Search(tmp_path / "exp_5")
    with pytest.raises(ValueError, match="reserved"):
        search.store.save(Greedy(), search.state, [], [])
    assert loaded(tmp_path / "exp_5")[0]["lastEventId"] == 0


def reference_layout(folder: Path, operations: list[object], last: int = 12) -> None:
    """A state as the reference client saves it: each event a folder, and operations as a pickle."""
    state = searcher.SearcherState()
    state.last_event_id = last
    state.trials_created.add(uuid.UUID(int=3))
    generation = folder / f"event_{last}"
    generation.mkdir(parents=True)
    (generation / "state").write_text(json.dumps({**state.to_dict(), "experimentId": E}))
    (generation / "ops").write_bytes(pickle.dumps(operations))
    (generation / "deep").mkdir()
    (generation / "deep" / "text").write_text("theirs")
    (folder / "event_id").write_text(str(last))


def foreign(name: str, **fields: object) -> object:
    """An object that pickles as the reference client's operations do."""
    module = types.ModuleType("determined.searcher._search_method")
    kind = type(name, (), {"__module__": module.__name__})
    setattr(module, name, kind)
    sys.modules[module.__name__] = module
    obj = kind()
    vars(obj).update(fields)
    return obj


@pytest.fixture
def foreign_modules() -> Any:
    yield
    sys.modules.pop("determined.searcher._search_method", None)


@pytest.mark.usefixtures("foreign_modules")
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            ("Create", {"request_id": uuid.UUID(int=1), "hparams": '{"x": 1}', "checkpoint": None}),
            searcher.Create(uuid.UUID(int=1), '{"x": 1}'),
        ),
        (
            ("ValidateAfter", {"request_id": uuid.UUID(int=1), "length": 9}),
            searcher.ValidateAfter(uuid.UUID(int=1), 9),
        ),
        (("Close", {"request_id": uuid.UUID(int=1)}), searcher.Close(uuid.UUID(int=1))),
        (("Progress", {"progress": 0.5}), searcher.Progress(0.5)),
        (("Shutdown", {"cancel": False, "failure": True}), searcher.Shutdown(failure=True)),
    ],
)
def test_a_state_in_the_reference_layout_is_taken_over_when_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    theirs: tuple[str, dict[str, object]],
    ours: searcher.Operation,
) -> None:
    name, fields = theirs
    reference_layout(tmp_path / "exp_5", [foreign(name, **fields)])
    monkeypatch.setenv("DET_IMPORT_PICKLED_OPS", "1")
    state, operations, text = loaded(tmp_path / "exp_5")
    assert (state["lastEventId"], text, operations) == (12, "theirs", [ours])


def test_a_search_that_was_taken_over_goes_on_in_our_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "exp_5"
    reference_layout(folder, [])
    monkeypatch.setenv("DET_IMPORT_PICKLED_OPS", "1")
    store = SearchStore(folder, E)
    state, _ = store.load(Recorder())
    monkeypatch.delenv("DET_IMPORT_PICKLED_OPS")
    for n in range(3):
        event = TrialClosed(uuid.UUID(int=n))
        apply_event(state, event)
        state.last_event_id += 1
        store.save(Recorder("ours"), state, [QueuedEvent(state.last_event_id, event)], [])
    assert loaded(folder) == (state.to_dict(), [], "ours")
    assert (folder / "event_12" / "ops").exists()


def test_pickled_operations_are_not_read_unless_asked_for(tmp_path: Path) -> None:
    reference_layout(tmp_path / "exp_5", [])
    with pytest.raises(CorruptState, match="DET_IMPORT_PICKLED_OPS=1"):
        loaded(tmp_path / "exp_5")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must not be run",)


def test_nothing_but_operations_comes_out_of_a_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reference_layout(tmp_path / "exp_5", [Evil()])
    monkeypatch.setenv("DET_IMPORT_PICKLED_OPS", "1")
    with pytest.raises(CorruptState, match="no search operation"):
        loaded(tmp_path / "exp_5")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"\x80", b"garbage", pickle.dumps(3), pickle.dumps([3])])
def test_a_damaged_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    reference_layout(tmp_path / "exp_5", [])
    (tmp_path / "exp_5" / "event_12" / "ops").write_bytes(content)
    monkeypatch.setenv("DET_IMPORT_PICKLED_OPS", "1")
    with pytest.raises(CorruptState):
        loaded(tmp_path / "exp_5")


def test_in_the_reference_layout_only_the_generation_of_the_pointer_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "exp_5"
    reference_layout(folder, [])
    shutil.copytree(folder / "event_12", folder / "event_13")
    (folder / "event_13" / "state").write_text("half writ")
    monkeypatch.setenv("DET_IMPORT_PICKLED_OPS", "1")
    assert loaded(folder)[0]["lastEventId"] == 12

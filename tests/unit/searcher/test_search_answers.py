"""What is saved between two generations: a line for each answer."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from determined import searcher
from determined.domain.events import SearcherEvent, TrialCreated, TrialProgress, ValidationCompleted
from determined.domain.search_method import apply_event, dispatch
from determined.errors import CorruptState
from determined.methods.ending import Ending
from determined.searcher import answers, generation, lineage
from determined.searcher.event import QueuedEvent
from determined.searcher.generation import MANIFEST
from determined.searcher.store import SearchStore

Ops = list[searcher.Operation]
E = 5


class Plain(searcher.SearchMethod):
    """Its state is a list of numbers, and is not kept unless a subclass says how."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def initial_operations(self, state: searcher.SearcherState) -> Ops:
        return []

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
        self.heard.append(request_id.int)
        return [searcher.ValidateAfter(request_id, len(self.heard))]

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


class InFiles(Plain):
    """Kept in two files, one of which is no text."""

    def save_method_state(self, path: Path) -> None:
        (path / "deep").mkdir()
        (path / "deep" / "heard").write_text(json.dumps(self.heard))
        (path / "bytes").write_bytes(b"\xff\x00" * len(self.heard))

    def load_method_state(self, path: Path) -> None:
        self.heard = json.loads((path / "deep" / "heard").read_text())
        assert (path / "bytes").read_bytes() == b"\xff\x00" * len(self.heard)
        assert sorted(p.name for p in path.iterdir() if p.name != MANIFEST) == ["bytes", "deep"]


class InSnapshot(Plain):
    def snapshot(self) -> dict[str, Any]:
        return {"heard": self.heard}

    def restore(self, snapshot: Any) -> None:
        self.heard = list(snapshot["heard"])


class Deterministic(Plain):
    deterministic = True


class Large(InFiles):
    """More than a line can hold."""

    def save_method_state(self, path: Path) -> None:
        super().save_method_state(path)
        (path / "deep" / "large").write_bytes(b"x" * answers.MOST_OF_METHOD)


class Odd(InFiles):
    """With an empty folder, which no line can hold."""

    def save_method_state(self, path: Path) -> None:
        super().save_method_state(path)
        (path / "deep" / "empty").mkdir()

    def load_method_state(self, path: Path) -> None:
        super().load_method_state(path)
        assert (path / "deep" / "empty").is_dir() or not self.heard


KINDS: list[type[Plain]] = [InFiles, InSnapshot, Deterministic, Large, Odd]


class Search:
    """A method and its store, as a runner has them."""

    def __init__(self, folder: Path, kind: type[Plain] = InFiles) -> None:
        self.folder, self.kind = folder, kind
        self.method, self.store = kind(), SearchStore(folder, E)
        self.state = searcher.SearcherState()
        self.state.experiment_id, self.state.last_event_id = E, 0
        self.store.start(self.method, self.state)
        self.operations: Ops = []
        self.store.save(self.method, self.state, [], [])
        self.store.tidy()

    def hear(self, *events: SearcherEvent) -> None:
        """Handle a batch and save the answer."""
        queued, self.operations = [], []
        for event in events:
            self.operations += dispatch(self.method, self.state, event)
            self.state.last_event_id = (self.state.last_event_id or 0) + 1
            queued.append(QueuedEvent(self.state.last_event_id, event))
        self.store.save(self.method, self.state, queued, self.operations)
        self.store.tidy()

    def resume(self) -> None:
        """Go on in another process."""
        method, store = self.kind(), SearchStore(self.folder, E)
        state, operations = store.load(method)
        assert state.to_dict() == self.state.to_dict()
        assert operations == self.operations
        assert method.heard == self.method.heard
        self.method, self.state, self.store = method, state, store

    @property
    def log(self) -> Path:
        """The file with the answers since the newest generation."""
        (path,) = self.folder.glob("answers_*.jsonl")
        return path


def created(number: int) -> TrialCreated:
    return TrialCreated(uuid.UUID(int=number))


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """Four saves after the first: events 1; 2 and 3; 4; 5."""
    search = Search(tmp_path / "exp_5")
    for batch in ([created(1)], [created(2), TrialProgress(uuid.UUID(int=1), 0.5)], [created(3)], [created(4)]):
        search.hear(*batch)
    return search


@pytest.mark.parametrize("kind", KINDS)
@given(
    batches=st.lists(
        st.tuples(st.lists(st.integers(1, 9).map(created), max_size=3), st.sampled_from(["", "resume", "compact"])),
        max_size=9,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_loaded_is_what_was_saved_last(
    kind: type[Plain],
    batches: list[tuple[list[SearcherEvent], str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether it is a line or a generation, and when the process is replaced after any save."""
    monkeypatch.setattr(answers, "MOST", 3)
    search = Search(tmp_path / str(uuid.uuid4()), kind)
    for events, how in batches:
        with monkeypatch.context() as patch:
            if how == "compact":
                patch.setattr(lineage, "_COMPACT_BYTES", -1)
            search.hear(*events)
        if how == "resume":
            search.resume()
    search.resume()
    assert len(list(search.folder.glob("event_*/"))) <= 3


@pytest.mark.parametrize(("kind", "generations"), [(InFiles, 1), (InSnapshot, 1), (Deterministic, 1), (Large, 2)])
def test_small_methods_are_saved_in_lines(kind: type[Plain], generations: int, tmp_path: Path) -> None:
    search = Search(tmp_path, kind)
    for number in range(1, 6):
        search.hear(created(number))
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == generations
    assert not list(tmp_path.glob(".saving"))
    search.resume()


def test_the_rule_that_ends_a_search_is_saved_in_lines_too(tmp_path: Path) -> None:
    method, store, state = Ending(InSnapshot()), SearchStore(tmp_path, E), searcher.SearcherState()
    state.last_event_id = 0
    store.start(method, state)
    store.save(method, state, [], [])
    operations = dispatch(method, state, created(1))
    state.last_event_id = 1
    store.save(method, state, [QueuedEvent(1, created(1))], operations)
    resumed = Ending(InSnapshot())
    assert SearchStore(tmp_path, E).load(resumed)[1] == operations
    assert resumed.rule == method.rule
    assert (tmp_path / "event_0").is_dir()


def test_after_so_many_answers_there_is_a_generation_and_what_is_not_needed_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MOST", 4)
    search = Search(tmp_path)
    for number in range(1, 22):
        search.hear(created(number))
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith("answers_")}
    assert names == {"event_15", "event_20", "event_id", "events.jsonl"}
    assert (tmp_path / "event_id").read_text() == "20"
    wanted = {json.loads((tmp_path / n / MANIFEST).read_text())["body"]["answers"] for n in ("event_15", "event_20")}
    assert {path.name for path in tmp_path.glob("answers_*")} == wanted
    # Each event is in the log of the generations, or in a line since the newest.
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 20
    search.resume()


def test_an_answer_that_was_cut_off_at_any_byte_was_never_given(
    search: Search, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = search.log.read_bytes()
    start = data.rindex(b"\n", 0, len(data) - 1) + 1
    for length in range(start, len(data), 5):
        copy = tmp_path / str(length)
        shutil.copytree(search.folder, copy)
        (copy / search.log.name).write_bytes(data[:length])
        method = InFiles()
        store = SearchStore(copy, E)
        state, _ = store.load(method)
        assert (state.last_event_id, method.heard) == (4, [1, 2, 3])
        # The next one takes its place.
        apply_event(state, created(9))
        state.last_event_id = 5
        store.save(method, state, [QueuedEvent(5, created(9))], [searcher.Shutdown()])
        assert SearchStore(copy, E).load(InFiles())[1] == [searcher.Shutdown()]
    assert caplog.records == []


def test_a_flipped_bit_costs_the_answers_from_there_on_and_they_are_kept_for_people(
    search: Search, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = search.log.read_bytes()
    ends = [position for position, byte in enumerate(data) if byte == ord("\n")]
    handled = [0, 1, 3, 4]
    for position in range(0, len(data) - 1, 37):
        if position in ends:
            continue
        copy = tmp_path / str(position)
        shutil.copytree(search.folder, copy)
        damaged = bytearray(data)
        damaged[position] ^= 0x04
        (copy / search.log.name).write_bytes(damaged)
        caplog.clear()
        state, _ = SearchStore(copy, E).load(InFiles())
        assert state.last_event_id == handled[sum(end < position for end in ends)]
        assert f"damaged after the answer to event {state.last_event_id}" in caplog.text
        (kept,) = copy.glob("damaged_answers_*")
        assert kept.read_bytes() == damaged
        # It is not stumbled over again.
        caplog.clear()
        assert SearchStore(copy, E).load(InFiles())[0].last_event_id == state.last_event_id
        assert caplog.records == []


def test_a_line_that_is_missing_ends_what_can_be_read(search: Search) -> None:
    lines = search.log.read_bytes().splitlines(keepends=True)
    search.log.write_bytes(b"".join([lines[0], *lines[2:]]))
    assert SearchStore(search.folder, E).load(InFiles())[0].last_event_id == 1


def test_answers_of_another_generation_are_not_read(search: Search) -> None:
    text = search.log.read_bytes()
    # A name like it, and content that belongs to the other name.
    manifest = search.folder / "event_0" / MANIFEST
    Search(search.folder)
    assert manifest.exists()
    newest = json.loads(manifest.read_text())["body"]["answers"]
    (search.folder / newest).write_bytes(text)
    assert SearchStore(search.folder, E).load(InFiles())[0].last_event_id == 0


def test_a_link_in_place_of_the_answers_is_not_followed(search: Search, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    log = search.log
    log.rename(elsewhere)
    before = elsewhere.read_bytes()
    log.symlink_to(elsewhere)
    store, method = SearchStore(search.folder, E), InFiles()
    state, _ = store.load(method)
    assert state.last_event_id == 0
    apply_event(state, created(9))
    state.last_event_id = 1
    store.save(method, state, [QueuedEvent(1, created(9))], [])
    assert elsewhere.read_bytes() == before


@pytest.mark.parametrize("resumed", [False, True])
def test_a_withdrawn_answer_is_as_if_it_had_never_been_saved(search: Search, resumed: bool) -> None:
    if resumed:
        search.resume()
    search.store.withdraw()
    method = InFiles()
    state, operations = SearchStore(search.folder, E).load(method)
    assert (state.last_event_id, method.heard) == (4, [1, 2, 3])
    assert operations == [searcher.ValidateAfter(uuid.UUID(int=3), 3)]
    (refused,) = search.folder.glob("refused_*")
    assert json.loads(refused.read_text())["body"]["last_event_id"] == 5


def test_a_damaged_generation_leaves_the_last_answer_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(answers, "MOST", 4)
    search = Search(tmp_path)
    for number in range(1, 7):
        search.hear(created(number))
    (tmp_path / "event_5" / MANIFEST).write_text("{}")
    method = InFiles()
    store = SearchStore(tmp_path, E)
    state, operations = store.load(method)
    assert (state.last_event_id, method.heard) == (4, [1, 2, 3, 4])
    assert operations == [searcher.ValidateAfter(uuid.UUID(int=4), 4)]
    assert "Going on from the one before it, event_0" in caplog.text
    # What was answered after the damaged one may be of use to people, also when the search has long gone on.
    (kept,) = tmp_path.glob("damaged_answers_5_*.jsonl")
    assert json.loads(kept.read_text())["body"]["last_event_id"] == 6
    for number in range(9):
        search.method, search.state, search.store = method, state, store
        search.hear(created(10 + number))
    assert kept.exists()


def test_a_method_that_only_says_that_it_is_deterministic_is_refused(tmp_path: Path) -> None:
    class Other(Deterministic):
        def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
            return []

    search = Search(tmp_path, Deterministic)
    search.hear(created(1))
    search.hear(created(2))
    with pytest.raises(CorruptState, match="answers events 1 to 1 in another way than before"):
        SearchStore(tmp_path, E).load(Other())


def test_a_method_that_writes_a_file_under_a_reserved_name_is_told(tmp_path: Path) -> None:
    class Greedy(InFiles):
        def save_method_state(self, path: Path) -> None:
            if self.heard:
                (path / MANIFEST).write_text("mine")

    search = Search(tmp_path, Greedy)
    with pytest.raises(ValueError, match="reserved"):
        search.hear(created(1))
    assert SearchStore(tmp_path, E).load(Plain())[0].last_event_id == 0


def test_bytes_are_kept_as_they_are(search: Search) -> None:
    line = json.loads(search.log.read_bytes().splitlines()[-1])["body"]
    assert base64.b64decode(line["blobs"]["bytes"]) == b"\xff\x00" * 4
    assert json.loads(line["texts"]["deep/heard"]) == [1, 2, 3, 4]


def test_an_answer_that_could_not_be_read_again_is_saved_in_another_way(tmp_path: Path) -> None:
    """Half of a character is something that JSON can say, and not every reader takes."""
    search = Search(tmp_path)
    search.hear(created(1))
    search.hear(ValidationCompleted(uuid.UUID(int=1), "\ud800", 1))
    search.hear(created(2))
    search.resume()
    assert len(list(tmp_path.glob("event_*/"))) == 2


def test_what_has_no_answers_can_be_read_by_earlier_versions(tmp_path: Path) -> None:
    generation.seal(tmp_path, E, 1, [])
    assert json.loads((tmp_path / MANIFEST).read_text())["format"] == 1
    assert generation.read(tmp_path, E).last_event_id == 1


def test_a_search_of_an_older_version_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its generations name no file for answers."""
    search = Search(tmp_path)
    manifest = tmp_path / "event_0" / MANIFEST
    body = json.loads(manifest.read_text())["body"]
    del body["answers"]
    text = json.dumps(body).encode()
    sealed = b'{"format": 1, "sha256": "%s", "body": %s}' % (generation._digest(1, text).encode(), text)
    manifest.write_bytes(sealed)
    with caplog.at_level(logging.WARNING):
        search.resume()
    for number in range(1, 4):
        search.hear(created(number))
    assert sorted(path.name for path in tmp_path.glob("event_*/")) == ["event_0", "event_1"]
    search.resume()
    assert caplog.records == []

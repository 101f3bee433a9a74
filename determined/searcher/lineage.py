"""What the generations of a search stand on: a base, and the log of the events since.

Both lie beside the generations and are written anew only when the log has outgrown them, so that a save costs the same
however long the search is. The base holds the searcher state and, for a method that calls itself deterministic, the
method's state too: such a method is brought up to date by handing it the logged events again. One that does not say how
it is saved never gets a base: its log goes back to the first event.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from determined import files
from determined.domain import search_method as contract
from determined.domain.events import SearcherEvent
from determined.domain.operations import Operation
from determined.domain.search_method import SearcherState, dispatch
from determined.errors import CorruptState
from determined.searcher.answers import Answer
from determined.searcher.event import QueuedEvent
from determined.searcher.event_log import EventLog, Part, read_events, read_part
from determined.searcher.generation import Manifest, inventory, names_of
from determined.searcher.method import is_found_from_events, load_from, save_into
from determined.wire.searcher import operations_digest

_COMPACT_BYTES = 4 * 2**20
_PATTERNS = ("base_*.json", "events*.jsonl", "method_*", "answers_*.jsonl")


class Lineage:
    """The base and the log that the next generation will stand on.

    Attributes:
        base: the state at the beginning of the log; None for an empty one.
        method: files of a deterministic method as it was there; None when each generation holds the method itself.
        log: the events since; None when the next save has to begin a new one.
    """

    def __init__(self, folder: Path, experiment_id: int) -> None:
        self.folder = folder
        self._experiment_id = experiment_id
        self.base: Part | None = None
        self.method: list[Part] | None = None
        self.log: EventLog | None = None

    def start(self, state: SearcherState, is_deterministic: bool) -> None:
        """Begin with a new search, or with a state that was made elsewhere."""
        self.base = self.method = self.log = None
        if state.last_event_id <= 0 and not state.trial_progress:
            self.log = EventLog(self.folder / "events.jsonl")
            self.method = [] if is_deterministic else None

    def record(self, method: contract.SearchMethod, state: SearcherState, events: Sequence[QueuedEvent]) -> EventLog:
        """Add events to the log, whose file is to be synced; ``method`` and ``state`` have handled them."""
        is_deterministic = method.deterministic
        is_same_kind = self.log is not None and (self.method is not None) == is_deterministic
        if self.log is not None and is_same_kind and (self.log.length <= self._limit() or is_found_from_events(method)):
            self.log.append(events)
            return self.log
        last = state.last_event_id
        data = json.dumps({**state.to_dict(), "experimentId": self._experiment_id}).encode()
        path = self.folder / f"base_{last}.json"
        files.write_file(path, data, "runner.state.base")
        self.method = self._write_method(method, state) if is_deterministic else None
        self.base = Part(path.name, len(data), hashlib.sha256(data).hexdigest())
        self.log = EventLog(self.folder / f"events_{last}.jsonl")
        return self.log

    def resume(self, manifest: Manifest) -> SearcherState:
        """Go on from what a generation stands on.

        Returns:
            The searcher state of the generation.
        Raises:
            CorruptState: something that it needs is missing or damaged.
        """
        log = manifest.log or Part("events.jsonl", 0, "")
        state = self._base_state(manifest)
        self.log = EventLog.resume(self.folder, log, state)
        for part in manifest.method or ():
            read_part(self.folder, part)
        self.base, self.method = manifest.base, manifest.method
        return state

    def bring(
        self,
        method: contract.SearchMethod,
        manifest: Manifest,
        operations: Sequence[Operation],
        answers: Sequence[Answer] = (),
    ) -> None:
        """Bring a deterministic method to where it was saved, by the events that it had handled.

        Args:
            operations: the generation's answer to its last batch of events.
            answers: that were saved since.
        Raises:
            CorruptState: the method gives another answer than it gave then.
        """
        assert manifest.method is not None
        if manifest.base is not None:
            load_from(method, self.folder / f"method_{_event_of(manifest.base)}")
        state = self._base_state(manifest)
        log = manifest.log or Part("events.jsonl", 0, "")
        events = read_events(read_part(self.folder, log), log.name)
        _hear(method, state, events, manifest.answered, manifest.last_event_id, operations)
        for answer in answers:
            _hear(method, state, answer.read_events(), answer.answered, answer.last_event_id, answer.read_operations())

    def parts(self) -> set[str]:
        """Names beside the generations that the next one will need."""
        names = {self.log.path.name} if self.log is not None and self.log.length else set()
        if self.base is not None:
            names.add(self.base.name)
        return names | names_of(self.method)

    def remove_unused(self, needed: set[str]) -> None:
        """Remove bases and logs that no generation needs."""
        for pattern in _PATTERNS:
            for path in self.folder.glob(pattern):
                if path.name not in needed:
                    files.remove(path, "runner.state.unused")

    def _limit(self) -> int:
        size = (self.base.size if self.base else 0) + sum(part.size for part in self.method or ())
        return max(_COMPACT_BYTES, 4 * size)

    def _base_state(self, manifest: Manifest) -> SearcherState:
        state = SearcherState()
        state.experiment_id = self._experiment_id
        if manifest.base is not None:
            state.from_dict(json.loads(read_part(self.folder, manifest.base)))
        return state

    def _write_method(self, method: contract.SearchMethod, state: SearcherState) -> list[Part]:
        home = self.folder / f"method_{state.last_event_id}"
        # What a process that died in the middle left here belongs to no generation.
        files.remove(home, "runner.state.clear")
        files.make_folder(home, "runner.state.folder")
        with files.action("runner.state.method"):
            save_into(method, state, home, self._experiment_id)
        files.sync_tree(home, "runner.state.files")
        return [Part(f"{home.name}/{part.name}", part.size, part.sha256) for part in inventory(home)]


def _hear(
    method: contract.SearchMethod,
    state: SearcherState,
    events: Iterable[tuple[int, SearcherEvent]],
    answered: int,
    last: int,
    operations: Sequence[Operation],
) -> None:
    """Hand events to a method again; its answers to those after ``answered`` were these operations."""
    answer: list[Operation] = []
    for event_id, event in events:
        answers = dispatch(method, state, event)
        state.last_event_id = event_id
        if event_id > answered:
            answer += answers
    if answered < last and operations_digest(answer) != operations_digest(operations):
        raise CorruptState(
            f"{type(method).__name__} says that it is deterministic, but answers events {answered + 1} to {last} in "
            "another way than before. Resume with the code and the arguments that the search was started with."
        )


def parts_of(manifests: Iterable[Manifest]) -> set[str]:
    """Names beside the generations that they need."""
    return set().union(*(manifest.needs() for manifest in manifests))


def _event_of(base: Part) -> int:
    return int(base.name.removeprefix("base_").removesuffix(".json"))

"""The saved states of one search: generations of a folder ``exp_<E>``, and the answers since the newest intact one.

To save is to append a line to those answers, and only then may operations be sent. From time to time, or where a line
cannot hold the method's files, it is a generation: append the events, fill a temporary folder, seal it, give it its
name. So whatever is on the disk, the newest intact answer is one that the master can be told about (again).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from determined import files
from determined.domain import search_method as contract
from determined.domain.operations import Operation
from determined.domain.search_method import SearcherState, apply_event
from determined.errors import CorruptState
from determined.searcher import generation
from determined.searcher.answers import MOST_OF_METHOD, Answer, AnswerLog, answer_of
from determined.searcher.event import QueuedEvent
from determined.searcher.generation import MANIFEST, Manifest, NewerFormat
from determined.searcher.legacy import is_legacy, read_legacy
from determined.searcher.lineage import Lineage, parts_of
from determined.searcher.method import load_from, packed, packed_folder, save_into

POINTER = "event_id"
KEPT = 2
_TEMPORARY = ".saving"
_NAME = re.compile(r"event_(\d+)(?:\.(\d+))?", re.ASCII)
logger = logging.getLogger("determined.searcher")


class SearchStore:
    """Saves and loads the states of one experiment's search.

    Args:
        folder: ``exp_<E>``; one runner at a time works in it.
        experiment_id: states of another experiment are refused.
    """

    def __init__(self, folder: Path, experiment_id: int) -> None:
        self.folder = folder
        self._experiment_id = int(experiment_id)
        self._kept: list[tuple[Path, Manifest]] = []
        self._lineage = Lineage(folder, self._experiment_id)
        self._answers: AnswerLog | None = None
        self._since: list[QueuedEvent] = []
        self._is_tidy = True

    def is_empty(self) -> bool:
        """Whether nothing has been saved yet."""
        return not self._generations()

    def start(self, method: contract.SearchMethod, state: SearcherState) -> None:
        """Prepare for the first save of a new search; what an earlier one left in the folder is set aside."""
        for folder in self._generations():
            self._set_aside(folder, "superseded")
        self._kept, self._answers, self._since = [], None, []
        self._lineage.start(state, method.deterministic)

    def save(
        self,
        method: contract.SearchMethod,
        state: SearcherState,
        events: Sequence[QueuedEvent],
        operations: Sequence[Operation],
    ) -> None:
        """Keep an answer, as a line or as one more generation; on disk when this returns.

        Args:
            state: already brought up to date with ``events``.
            events: handled since the last save.
            operations: the answer to them.
        """
        if not self._append(method, state, events, operations):
            self._make_generation(method, state, events, operations)

    def _append(
        self,
        method: contract.SearchMethod,
        state: SearcherState,
        events: Sequence[QueuedEvent],
        operations: Sequence[Operation],
    ) -> bool:
        """Keep an answer as a line, if a line can hold it and there is a generation that it can follow."""
        lineage, log = self._lineage, self._answers
        if log is None or log.is_full or (lineage.method is not None) != method.deterministic:
            return False
        contents: dict[str, bytes] | None = None
        if lineage.method is None:
            contents = packed(method)
            if contents is None:
                contents = self._written(method, state)
            if contents is None or sum(map(len, contents.values())) > MOST_OF_METHOD:
                return False
        if not log.append(answer_of(state.last_event_id, events, operations, contents)):
            return False
        self._since += events
        return True

    def _written(self, method: contract.SearchMethod, state: SearcherState) -> dict[str, bytes] | None:
        """The files that a method writes, if they are small."""
        temporary = self._make_temporary()
        with files.action("runner.state.method"):
            save_into(method, state, temporary, self._experiment_id)
        generation.refuse_reserved(temporary)
        contents = packed_folder(temporary, MOST_OF_METHOD)
        files.remove(temporary, "runner.state.clear")
        return contents

    def _make_temporary(self) -> Path:
        temporary = self.folder / _TEMPORARY
        files.remove(temporary, "runner.state.clear")
        with files.action("runner.state.folder"):
            temporary.mkdir()
        return temporary

    def _make_generation(
        self,
        method: contract.SearchMethod,
        state: SearcherState,
        events: Sequence[QueuedEvent],
        operations: Sequence[Operation],
    ) -> None:
        files.make_folder(self.folder, "runner.state.home")
        lineage = self._lineage
        log = lineage.record(method, state, [*self._since, *events])
        temporary = self._make_temporary()
        with files.action("runner.state.parts"):
            if not self._kept or self._kept[-1][1].parts() != lineage.parts():
                # The name of a new base or log has to be on the disk before that of a generation that needs them.
                files.sync(self.folder)
        if lineage.method is None:
            with files.action("runner.state.method"):
                save_into(method, state, temporary, self._experiment_id)
        last = state.last_event_id
        # A log that begins here does not hold the events that are answered here.
        answered = events[0].id - 1 if events and log.length else last
        manifest = generation.seal(
            temporary,
            self._experiment_id,
            last,
            operations,
            lineage.base,
            log.part(),
            lineage.method,
            answered,
            [log.path] if (events or self._since) and log.length else [],
            AnswerLog.new_name(last),
        )
        final = self._free_name(f"event_{max(last, 0)}")
        files.move(temporary, final, "runner.state")
        self._kept.append((final, manifest))
        self._answers, self._since, self._is_tidy = AnswerLog(self.folder / manifest.answers), [], False

    def tidy(self) -> None:
        """Point to the newest generation and remove those that are not needed any more.

        Nothing depends on it, so it may be done when the answer is on its way, and again after any number of saves.
        """
        if self._kept and not self._is_tidy:
            self._point_to(self._kept[-1][1].last_event_id)
            self._remove_old()
            self._is_tidy = True

    def load(self, method: contract.SearchMethod) -> tuple[SearcherState, list[Operation]]:
        """Bring method and state back to the newest intact generation, and to the last answer since.

        Returns:
            The state, and the operations that were saved with it and may not have been sent.

        Raises:
            CorruptState: no generation is intact; the message says what is wrong with each, and what to do.
        """
        files.remove(self.folder / _TEMPORARY, "runner.state.clear")
        problems: list[str] = []
        for folder in self._generations():
            try:
                state, operations, manifest = self._load_one(folder)
            except NewerFormat:
                raise
            except (CorruptState, ValueError, KeyError, TypeError) as e:
                problems.append(f"{folder.name}: {e}")
                continue
            self._recover(folder, state, problems)
            answers = self._read_answers(manifest)
            for answer in answers:
                self._follow(state, answer)
            if manifest is not None and manifest.method is not None:
                self._lineage.bring(method, manifest, operations, answers)
            elif answers:
                temporary = self._make_temporary()
                answers[-1].unpack(temporary)
                load_from(method, temporary)
                files.remove(temporary, "runner.state.clear")
            else:
                load_from(method, folder)
            return state, answers[-1].read_operations() if answers else operations
        raise CorruptState(self._nothing_usable(problems))

    def _read_answers(self, manifest: Manifest | None) -> list[Answer]:
        """What was saved since a generation."""
        self._answers, self._since = None, []
        if manifest is None or not manifest.answers:
            return []
        self._answers, answers = AnswerLog.read(self.folder / manifest.answers)
        if self._answers.is_damaged:
            last = answers[-1].last_event_id if answers else manifest.last_event_id
            kept = self._free_name(f"damaged_{manifest.answers}")
            logger.warning(
                f"{self._answers.path} is damaged after the answer to event {last}. Going on from there; all of it is "
                f"kept as {kept.name}."
            )
            self._answers.set_aside(kept)
        if answers:
            # What a process wrote that died before it had synced it is answered (again) now.
            files.sync(self._answers.path)
        return answers

    def _follow(self, state: SearcherState, answer: Answer) -> None:
        for event_id, event in answer.read_events():
            apply_event(state, event)
            self._since.append(QueuedEvent(event_id, event))
        state.last_event_id = answer.last_event_id

    def withdraw(self) -> None:
        """Take back the newest answer, whose operations the master refused as a whole."""
        if self._answers is not None and self._answers.count:
            refused = self._free_name(f"refused_event_{self._kept[-1][1].last_event_id}_{self._answers.count}")
            files.write_file(refused, self._answers.drop_last(), "runner.state.refused", sync=False)
        elif len(self._kept) > 1:
            folder, _ = self._kept.pop()
            self._set_aside(folder, "refused")
            self._point_to(self._kept[-1][1].last_event_id)
        else:
            return
        # Nothing is saved before the search is loaded again; if it were, it would need a base of its own.
        self._lineage.log, self._answers, self._since = None, None, []

    def _load_one(self, folder: Path) -> tuple[SearcherState, list[Operation], Manifest | None]:
        if not (folder / MANIFEST).exists() and is_legacy(folder):
            return (*self._load_legacy(folder), None)
        manifest = generation.read(folder, self._experiment_id)
        state = self._lineage.resume(manifest)
        self._kept = [(folder, manifest)]
        state.last_event_id = manifest.last_event_id
        state.experiment_id = self._experiment_id
        return state, manifest.read_operations(), manifest

    def _load_legacy(self, folder: Path) -> tuple[SearcherState, list[Operation]]:
        # That layout keeps every generation, and only its pointer says which of them is whole.
        if self._pointer() != _number(folder):
            raise CorruptState(f"the file {POINTER} does not name it")
        state, experiment_id, operations = read_legacy(folder)
        if experiment_id != self._experiment_id:
            raise CorruptState(f"it belongs to experiment {experiment_id}, not {self._experiment_id}")
        self._kept, self._lineage = [], Lineage(self.folder, self._experiment_id)
        return state, operations

    def _recover(self, chosen: Path, state: SearcherState, problems: Sequence[str]) -> None:
        """Leave the folder as if the chosen generation had been the last one saved."""
        # Its name may be that of a process that died before it synced it.
        files.sync(self.folder)
        found = self._generations()
        for folder in found[: found.index(chosen)]:
            self._set_aside(folder, "damaged")
            # What was answered after it may be of use to whoever can mend it.
            for log in self.folder.glob(f"answers_{_number(folder)}_*.jsonl"):
                self._set_aside(log, "damaged")
        missing = (self._pointer() or 0) > state.last_event_id
        if problems or missing:
            what = "; ".join(problems) or f"event_{self._pointer()} is missing"
            logger.warning(
                f"The newest saved state in {self.folder} cannot be used ({what}). "
                f"Going on from the one before it, {chosen.name}."
            )
            self._point_to(state.last_event_id)
        for folder in found[found.index(chosen) + 1 :]:
            self._keep_or_remove(folder)
        self._remove_unused_parts()

    def _keep_or_remove(self, folder: Path) -> None:
        if not (folder / MANIFEST).exists():
            return
        if len(self._kept) < KEPT:
            try:
                self._kept.insert(0, (folder, generation.read(folder, self._experiment_id)))
            except CorruptState:
                logger.debug(f"{folder} is damaged; it is not needed")
            else:
                return
        files.remove(folder, "runner.state.remove")

    def _remove_old(self) -> None:
        if len(self._kept) > KEPT:
            self._kept, old = self._kept[-KEPT:], self._kept[:-KEPT]
            for folder, _ in old:
                files.remove(folder, "runner.state.remove")
            self._remove_unused_parts()

    def _remove_unused_parts(self) -> None:
        if self._kept:
            self._lineage.remove_unused(parts_of(manifest for _, manifest in self._kept))

    def _generations(self) -> list[Path]:
        """Folders with the name of a generation, newest first."""
        if not self.folder.is_dir():
            return []
        named = [(match, path) for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        ordered = sorted(named, key=lambda entry: (int(entry[0][1]), int(entry[0][2] or 0)), reverse=True)
        return [path for _, path in ordered]

    def _pointer(self) -> int | None:
        try:
            return int((self.folder / POINTER).read_text())
        except (OSError, ValueError):
            return None

    def _point_to(self, event_id: int) -> None:
        # The newest intact generation counts, whatever this says; it serves people and other clients.
        pointer = self.folder / POINTER
        files.replace_file(pointer, str(event_id).encode(), "runner.state.pointer", sync=False)

    def _set_aside(self, folder: Path, why: str) -> None:
        files.move(folder, self._free_name(f"{why}_{folder.name}"), f"runner.state.{why}")

    def _free_name(self, name: str) -> Path:
        path, number = self.folder / name, 1
        while path.exists():
            number += 1
            path = self.folder / f"{name}.{number}"
        return path

    def _nothing_usable(self, problems: Sequence[str]) -> str:
        if not problems:
            return f"{self.folder} holds no saved state"
        listed = "".join(f"\n  - {problem}" for problem in problems)
        return (
            f"none of the saved states in {self.folder} can be used:{listed}\n"
            "Restore the folder from a backup, or start a new search with another searcher_dir "
            f"(`det e kill {self._experiment_id}` ends the present one)."
        )


def _number(folder: Path) -> int:
    match = _NAME.fullmatch(folder.name)
    assert match is not None
    return int(match[1])

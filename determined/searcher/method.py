"""What users subclass: the contract of a search method, plus how its state gets into a folder and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from determined import files
from determined.domain import search_method as contract
from determined.domain.search_method import SearcherState
from determined.errors import CorruptState
from determined.methods.ending import Ending, EndRule

STATE_FILE = "state"
METHOD_FILE = "method_state.json"
RULE_FILE = "end_rule.json"

_PURPOSES: Mapping[str, str] = {
    "initial_operations": "called once at the start; returns the operations that create the first trials",
    "on_trial_created": "called when a trial starts for the first time; returns operations, usually []",
    "on_validation_completed": "called with the metric after each ValidateAfter; returns what to do next",
    "on_trial_closed": "called when a trial is over; returns operations, at last [Shutdown()]",
    "on_trial_exited_early": "called when a trial failed, was killed or refused its hyperparameters",
    "progress": "returns how far the search has come, from 0 to 1",
}


class SearchMethod(contract.SearchMethod):
    """Base class of search methods.

    Subclass it and write the six handlers. Each handler but ``progress`` returns a list of operations. A method
    with state of its own also says how to keep it, in one of two ways: ``save_method_state`` and
    ``load_method_state`` write and read files, or ``snapshot`` and ``restore`` pass JSON-able values.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> SearchMethod:
        """Refuse a class without all handlers, and say what the missing ones are for."""
        missing = [h for h in _PURPOSES if h in getattr(cls, "__abstractmethods__", ())]
        if missing:
            lines = "\n".join(f"  {name}: {_PURPOSES[name]}" for name in missing)
            raise TypeError(f"{cls.__name__} cannot be used as a search method yet; please add:\n{lines}")
        return super().__new__(cls)

    def save_method_state(self, path: Path) -> None:
        """Write the method's own state into files below a folder.

        Called once per batch of events. The folder is empty and temporary, so do not remember its path. By default
        what ``snapshot`` gives is written; a method without a snapshot writes nothing.
        """
        save_snapshot(self, Path(path))

    def load_method_state(self, path: Path) -> None:
        """Read back what ``save_method_state`` wrote; called on a newly constructed method."""
        load_snapshot(self, Path(path))

    def save(self, state: SearcherState, path: Path, *, experiment_id: int) -> None:
        """Write a searcher state and the method's own state into a folder."""
        write_state(Path(path), state, experiment_id)
        self.save_method_state(Path(path))

    def load(self, path: Path) -> tuple[SearcherState, int]:
        """Read back what ``save`` wrote.

        Returns:
            The searcher state and the id of its experiment.

        Raises:
            CorruptState: the folder does not hold a readable state.
        """
        state, experiment_id = read_state(Path(path))
        self.load_method_state(Path(path))
        return state, experiment_id


def saves_itself(method: contract.SearchMethod) -> bool:
    """Whether a method says how its state is saved, in any of the ways there are."""
    if isinstance(method, Ending):
        return saves_itself(method.method)
    return type(method).snapshot is not contract.SearchMethod.snapshot or _writes_files(method)


def _writes_files(method: contract.SearchMethod) -> bool:
    """Whether a method writes files by itself, which nobody else can know."""
    kind, base = type(method), SearchMethod
    return isinstance(method, base) and (
        kind.save is not base.save or kind.save_method_state is not base.save_method_state  # type: ignore[attr-defined]
    )


def is_found_from_events(method: contract.SearchMethod) -> bool:
    """Whether the events are all that is needed to have a method again: it is deterministic, and cannot be saved."""
    return method.deterministic and not saves_itself(method)


def write_state(folder: Path, state: SearcherState, experiment_id: int) -> None:
    """Write a searcher state into a folder."""
    described = {**state.to_dict(), "experimentId": experiment_id}
    files.write_file(folder / STATE_FILE, json.dumps(described).encode(), "runner.state.events", sync=False)


def read_state(folder: Path) -> tuple[SearcherState, int]:
    """The searcher state that a folder holds, and the id of its experiment.

    Raises:
        CorruptState: it is missing or unreadable.
    """
    file = folder / STATE_FILE
    try:
        described = json.loads(file.read_bytes())
        state = SearcherState()
        state.from_dict(described)
        return state, int(described["experimentId"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise CorruptState(f"{file} is not a readable searcher state: {e}") from e


def save_snapshot(method: contract.SearchMethod, folder: Path) -> None:
    """Write what a method's ``snapshot`` gives, if anything."""
    values = method.snapshot()
    if values is not None:
        files.write_file(folder / METHOD_FILE, json.dumps(dict(values)).encode(), "runner.state.snapshot", sync=False)


def load_snapshot(method: contract.SearchMethod, folder: Path) -> None:
    """Hand a method what ``save_snapshot`` wrote, if anything."""
    file = folder / METHOD_FILE
    if file.exists():
        method.restore(json.loads(file.read_bytes()))


def save_into(method: contract.SearchMethod, state: SearcherState, folder: Path, experiment_id: int) -> None:
    """Have any kind of search method save its own state, through ``save`` when a subclass has replaced that."""
    if isinstance(method, Ending):
        content = json.dumps(msgspec.to_builtins(method.rule)).encode()
        files.write_file(folder / RULE_FILE, content, "runner.state.rule", sync=False)
        save_into(method.method, state, folder, experiment_id)
    elif not isinstance(method, SearchMethod):
        save_snapshot(method, folder)
    elif type(method).save is SearchMethod.save:
        method.save_method_state(folder)
    else:
        method.save(state, folder, experiment_id=experiment_id)


def packed(method: contract.SearchMethod) -> dict[str, bytes] | None:
    """The files that ``save_into`` would write, for a method that writes none by itself; None for another."""
    if isinstance(method, Ending):
        inner = packed(method.method)
        return None if inner is None else {RULE_FILE: json.dumps(msgspec.to_builtins(method.rule)).encode(), **inner}
    if _writes_files(method):
        return None
    values = method.snapshot()
    return {} if values is None else {METHOD_FILE: json.dumps(dict(values)).encode()}


def packed_folder(folder: Path, most_bytes: int) -> dict[str, bytes] | None:
    """The files in a folder; None if they are more than so many bytes, or it holds anything else."""
    contents: dict[str, bytes] = {}
    size = 0
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or (path.is_dir() and any(path.iterdir()))):
            return None
        if path.is_file():
            size += path.stat().st_size
            if size > most_bytes:
                return None
            contents[path.relative_to(folder).as_posix()] = path.read_bytes()
    return contents


def save_whole(method: contract.SearchMethod, state: SearcherState, folder: Path, experiment_id: int) -> None:
    """Have any kind of search method save its own state beside a complete searcher state."""
    if isinstance(method, SearchMethod):
        method.save(state, folder, experiment_id=experiment_id)
    else:
        write_state(folder, state, experiment_id)
        save_into(method, state, folder, experiment_id)


def load_from(method: contract.SearchMethod, folder: Path) -> None:
    """Undo ``save_into``."""
    if isinstance(method, Ending):
        if (folder / RULE_FILE).exists():
            method.rule = msgspec.json.decode((folder / RULE_FILE).read_bytes(), type=EndRule)
        load_from(method.method, folder)
    elif not isinstance(method, SearchMethod):
        load_snapshot(method, folder)
    elif type(method).load is SearchMethod.load:
        method.load_method_state(folder)
    else:
        method.load(folder)

"""Reads states that the reference client saved, so that a search can be moved from one to the other.

Its saved operations are a pickle, and reading a pickle may run any code. So that happens only when the user asks
for it, and even then nothing but operations and UUIDs can come out.
"""

from __future__ import annotations

import io
import os
import pickle
import uuid
from pathlib import Path
from typing import Any

from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.domain.search_method import SearcherState
from determined.errors import CorruptState
from determined.searcher.method import STATE_FILE, read_state

OPERATIONS_FILE = "ops"
SWITCH = "DET_IMPORT_PICKLED_OPS"
_HOMES = ("determined.searcher", "determined.searcher._search_method")


def is_legacy(folder: Path) -> bool:
    """Whether a folder holds a state in the reference client's layout."""
    return (folder / STATE_FILE).is_file() and (folder / OPERATIONS_FILE).is_file()


def read_legacy(folder: Path) -> tuple[SearcherState, int, list[Operation]]:
    """The state, its experiment's id, and the operations that were last saved.

    Raises:
        CorruptState: the switch is not set, or the folder is damaged.
    """
    state, experiment_id = read_state(folder)
    file = folder / OPERATIONS_FILE
    if os.environ.get(SWITCH) != "1":
        raise CorruptState(
            f"{file} was saved by another client as a Python pickle, and reading a pickle can run code; "
            f"if you trust this folder, set {SWITCH}=1 and run again to take the search over"
        )
    return state, experiment_id, _read_operations(file)


class _Record:
    """Takes the attributes of whatever operation the pickle names."""


class _CreateRecord(_Record):
    pass


class _ValidateAfterRecord(_Record):
    pass


class _CloseRecord(_Record):
    pass


class _ProgressRecord(_Record):
    pass


class _ShutdownRecord(_Record):
    pass


_RECORDS: dict[str, type[_Record]] = {
    "Create": _CreateRecord,
    "ValidateAfter": _ValidateAfterRecord,
    "Close": _CloseRecord,
    "Progress": _ProgressRecord,
    "Shutdown": _ShutdownRecord,
}


class _Unpickler(pickle.Unpickler):
    """Knows operations and UUIDs, and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _HOMES and name in _RECORDS:
            return _RECORDS[name]
        if (module, name) == ("uuid", "UUID"):
            return uuid.UUID
        if (module, name) == ("uuid", "SafeUUID"):
            return uuid.SafeUUID
        raise pickle.UnpicklingError(f"{module}.{name} is no search operation")


def _read_operations(file: Path) -> list[Operation]:
    try:
        records = _Unpickler(io.BytesIO(file.read_bytes())).load()
        return [_operation(record) for record in records]
    except (OSError, pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError) as e:
        raise CorruptState(f"{file} does not hold saved search operations: {e}") from e
    except (IndexError, ImportError, MemoryError, OverflowError, RecursionError) as e:
        raise CorruptState(f"{file} is damaged: {e}") from e


def _operation(record: object) -> Operation:
    fields = vars(record)
    if isinstance(record, _CreateRecord):
        return Create(fields["request_id"], fields["hparams"], fields.get("checkpoint"))
    if isinstance(record, _ValidateAfterRecord):
        return ValidateAfter(fields["request_id"], fields["length"])
    if isinstance(record, _CloseRecord):
        return Close(fields["request_id"])
    if isinstance(record, _ProgressRecord):
        return Progress(fields["progress"])
    if isinstance(record, _ShutdownRecord):
        return Shutdown(bool(fields.get("cancel", False)), bool(fields.get("failure", False)))
    raise TypeError(f"{type(record).__name__} is no search operation")

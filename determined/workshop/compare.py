"""Two operations side by side: which fields differ, exactly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from determined.domain.operations import Close, Create, Operation, Progress, ValidateAfter
from determined.domain.reasons import Explanation, numbers_of


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field that is not the same; a side that does not have it has None."""

    name: str
    recorded: Any
    replayed: Any


def fields_of(op: Operation | None) -> Mapping[str, Any]:
    """What an operation says, by field; hyperparameters one by one. Its reason is left out."""
    if op is None:
        return {}
    if isinstance(op, Create):
        fields: dict[str, Any] = {"operation": "Create", "request_id": str(op.request_id)}
        fields |= {f"hparams.{name}": value for name, value in json.loads(op.hparams).items()}
        source = {"checkpoint": op.checkpoint, "source_trial": op.source_trial and str(op.source_trial)}
        return fields | {name: value for name, value in source.items() if value is not None}
    if isinstance(op, ValidateAfter):
        return {"operation": "ValidateAfter", "request_id": str(op.request_id), "length": op.length}
    if isinstance(op, Close):
        return {"operation": "Close", "request_id": str(op.request_id)}
    if isinstance(op, Progress):
        return {"operation": "Progress", "progress": float(op.progress)}
    return {"operation": "Shutdown", "cancel": op.cancel, "failure": op.failure}


def difference(recorded: Operation | None, replayed: Operation | None) -> tuple[FieldDifference, ...]:
    """The fields that differ, none for equal operations. Numbers are equal only if they are written the same."""
    ours, theirs = fields_of(recorded), fields_of(replayed)
    return tuple(
        FieldDifference(name, ours.get(name), theirs.get(name))
        for name in dict.fromkeys((*ours, *theirs))
        if _text(ours.get(name)) != _text(theirs.get(name))
    )


def reason_of(op: Operation | None) -> str | Explanation | None:
    """The reason that an operation carries."""
    return getattr(op, "reason", None)


def same_reason(recorded: Operation, replayed: Operation) -> bool:
    """Whether two operations say the same for themselves, in words and in numbers."""
    ours, theirs = reason_of(recorded), reason_of(replayed)
    return ours == theirs and _text(dict(numbers_of(ours))) == _text(dict(numbers_of(theirs)))


def describe(op: Operation | None) -> str:
    """An operation in one line, without its reason."""
    if op is None:
        return "(nothing)"
    fields = fields_of(op)
    rest = ", ".join(f"{name}={_shown(value)}" for name, value in _in_short(fields))
    return f"{fields['operation']}({rest})"


def _in_short(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if name != "operation":
            yield name.removeprefix("hparams."), value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _text(value: Any) -> str:
    # As text, NaN is equal to itself, and 1 is not 1.0.
    return json.dumps(value, sort_keys=True)

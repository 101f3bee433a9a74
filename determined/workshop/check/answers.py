"""Operations without request ids: trials are called a, b, c ... in the order of their creation, so answers compare."""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from determined.domain.events import InitialOperations, SearcherEvent
from determined.domain.operations import Close, Create, Operation, Progress, ValidateAfter
from determined.domain.operations import Shutdown as ShutdownOperation

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FLOAT = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?")


def letter(index: int) -> str:
    """The name of the trial that was created as number ``index``, from 0: a .. z, aa, ab ..."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("a") + rest) + name
    return name


@dataclass(frozen=True, slots=True)
class Order:
    """An operation in terms of trial names.

    Attributes:
        verb: Create, ValidateAfter, Close or Shutdown.
        known: whether the trial had been created before.
        detail: hyperparameters and checkpoint, or flags, as text.
    """

    verb: str
    trial: str = ""
    known: bool = False
    length: int = 0
    detail: str = ""
    reason: str = ""

    @property
    def shape(self) -> Order:
        """The same without what chance may decide."""
        return dataclasses.replace(self, detail="" if self.verb == "Create" else self.detail, reason="")

    def __str__(self) -> str:
        return self.told(_FLOAT.sub(lambda found: f"{float(found[0]):.4g}", self.detail))

    def told(self, detail: str) -> str:
        """The operation as text, with this for its detail."""
        inside = [self.trial, str(self.length) if self.verb == "ValidateAfter" else "", detail]
        return f"{self.verb}({', '.join(part for part in inside if part)})"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method answered to one event.

    Attributes:
        operations: as they came, progress included.
        progress: None when the method was not asked for it.
    """

    operations: tuple[Operation, ...]
    orders: tuple[Order, ...]
    progress: float | None = None

    def is_like(self, other: Answer, *, shape_only: bool) -> bool:
        """Whether two copies of a method said the same."""
        if shape_only:
            return [o.shape for o in self.orders] == [o.shape for o in other.orders]
        return self.orders == other.orders and self.progress == other.progress

    def difference(self, other: Answer) -> tuple[str, str]:
        """Both as text, with as much as it takes to see where they differ."""
        if [str(o) for o in self.orders] != [str(o) for o in other.orders]:
            return _listed(map(str, self.orders)), _listed(map(str, other.orders))
        if [o.detail for o in self.orders] != [o.detail for o in other.orders]:
            return _listed(o.told(o.detail) for o in self.orders), _listed(o.told(o.detail) for o in other.orders)
        for mine, its in zip(self.orders, other.orders, strict=True):
            if mine.reason != its.reason:
                return f"{mine} with the reason {mine.reason!r}", f"{its} with the reason {its.reason!r}"
        return f"progress {self.progress!r}", f"progress {other.progress!r}"


class Names:
    """The names of one copy's trials; each copy may choose request ids of its own."""

    def __init__(self) -> None:
        self.ids: list[uuid.UUID] = []
        self.index: dict[uuid.UUID, int] = {}

    def of(self, request_id: uuid.UUID) -> str:
        """The name of a trial; an unknown one is called by its id."""
        number = self.index.get(request_id)
        return f"?{str(request_id)[:8]}" if number is None else letter(number)

    def translate(self, event: SearcherEvent, to: Names) -> SearcherEvent:
        """An event about one of these trials, for a copy that calls it otherwise."""
        if isinstance(event, InitialOperations) or to is self:
            return event
        return msgspec.structs.replace(event, request_id=to.ids[self.index[event.request_id]])

    def answer(self, operations: Iterable[Operation]) -> Answer:
        """Read an answer, and name the trials that it creates."""
        operations = tuple(operations)
        orders: list[Order] = []
        progress: float | None = None
        for op in operations:
            if isinstance(op, Progress):
                progress = op.progress
            else:
                orders.append(self._order(op))
        return Answer(operations, tuple(orders), progress)

    def _order(self, op: Create | ValidateAfter | Close | ShutdownOperation) -> Order:
        reason = _UUID.sub(lambda found: self.of(uuid.UUID(found[0])), str(op.reason)) if op.reason else ""
        if isinstance(op, ShutdownOperation):
            flags = ", ".join(f"{name}=True" for name in ("cancel", "failure") if getattr(op, name))
            return Order("Shutdown", detail=flags, reason=reason)
        known = op.request_id in self.index
        if isinstance(op, Create):
            if not known:
                self.index[op.request_id] = len(self.ids)
                self.ids.append(op.request_id)
            return Order("Create", self.of(op.request_id), known, detail=self._point(op), reason=reason)
        if isinstance(op, ValidateAfter):
            return Order("ValidateAfter", self.of(op.request_id), known, op.length, reason=reason)
        return Order("Close", self.of(op.request_id), known, reason=reason)

    def _point(self, op: Create) -> str:
        parts = [f"{name}={json.dumps(value)}" for name, value in sorted(json.loads(op.hparams).items())]
        if op.checkpoint is not None:
            parts.append(f"checkpoint={op.checkpoint}")
        if op.source_trial is not None:
            parts.append(f"source_trial={self.of(op.source_trial)}")
        return ", ".join(parts)


def _listed(orders: Iterable[str]) -> str:
    return f"[{', '.join(orders)}]"

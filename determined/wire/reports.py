"""What trials report, and what they are told, on the wire."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from determined.errors import InvalidInput
from determined.wire.answers import Answer
from determined.wire.requests import Int32, decode
from determined.wire.values import restore

Steps = Annotated[int, Meta(ge=0, le=2**63 - 1)]
INVALID_HP_REASONS: Final = ("EXITED_REASON_INVALID_HP", "EXITED_REASON_INIT_INVALID_HP")
OTHER_REASONS: Final = ("EXITED_REASON_UNSPECIFIED",)


class MetricsBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The values of a report. Non-finite numbers come as text."""

    avg_metrics: dict[str, Any]
    batch_metrics: list[Any] | None = None


class ReportedMetrics(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A report of metrics at a number of steps by one run of a trial."""

    trial_id: Int32 | None = None
    trial_run_id: Int32
    steps_completed: Steps
    metrics: MetricsBody


class GroupedMetrics(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A report under a group name of the trial's choice."""

    group: Annotated[str, Meta(min_length=1, max_length=128)]
    metrics: ReportedMetrics


class OperationLength(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Names an operation by its length."""

    length: Steps


class CompletedOperation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The report that an operation is done."""

    op: OperationLength
    searcher_metric: Any = None


class EarlyExit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The notice that a trial is about to end by itself."""

    reason: str = OTHER_REASONS[0]

    def is_invalid_hp(self) -> bool:
        """Whether the hyperparameters are to blame.

        Raises:
            InvalidInput: there is no such reason.
        """
        if self.reason in INVALID_HP_REASONS:
            return True
        if self.reason not in OTHER_REASONS:
            allowed = ", ".join((*INVALID_HP_REASONS, *OTHER_REASONS))
            raise InvalidInput(f"reason {self.reason[:80]!a} is not one of those that end a trial (allowed: {allowed})")
        return False


class RunnerMetadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the training script says it is doing."""

    state: Annotated[str, Meta(max_length=1024)] = ""


class _Length(Answer, frozen=True, kw_only=True):
    request_id: str = ""
    length: str


class _Operation(Answer, frozen=True, kw_only=True):
    validate_after: _Length


class CurrentOperation(Answer, frozen=True, kw_only=True):
    """What a trial shall do; ``completed`` true when there is nothing to do."""

    op: _Operation
    completed: bool


class CompletionTaken(Answer, frozen=True, kw_only=True):
    """A completed operation is on record; ``done`` true when the trial gets no other, so that it need not ask."""

    done: bool


class Preemption(Answer, frozen=True, kw_only=True):
    """Whether the run shall save its work and exit."""

    preempt: bool


class RendezvousInfo(Answer, frozen=True, kw_only=True):
    """The members of a run."""

    addresses: Sequence[str]
    rank: int
    slots: Sequence[int]


class Rendezvous(Answer, frozen=True, kw_only=True):
    """The members of a run, once all of them are there."""

    rendezvous_info: RendezvousInfo


def current_operation(length: int, completed: bool) -> CurrentOperation:
    """The answer to a trial that asks for work."""
    return CurrentOperation(op=_Operation(validate_after=_Length(length=str(length))), completed=completed)


def progress(body: bytes) -> float:
    """The length in a progress report: a bare number; the client leaves out a zero.

    Raises:
        InvalidInput: it is no finite number.
    """
    data = decode(body) if body.strip() else 0
    if isinstance(data, dict):
        data = data.get("progress", 0 if not data else None)
    value = restore(data)
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e308 < value < 1e308:
        raise InvalidInput(f"progress must be a finite number, got {body[:40]!r}")
    return float(value)


def _number(text: str) -> float | None:
    try:
        return float(text) if text.isascii() and len(text) <= 40 else None
    except ValueError:
        return None


def searcher_metric(done: CompletedOperation) -> Any:
    """The reported metric, with non-finite numbers as floats.

    Raises:
        InvalidInput: there is none.
    """
    if done.searcher_metric is None:
        raise InvalidInput("searcherMetric is missing or null; report the metric's value")
    return restore(done.searcher_metric)


def metrics_of(report: ReportedMetrics) -> tuple[dict[str, Any], list[Any] | None]:
    """The values with non-finite numbers as floats.

    Raises:
        InvalidInput: a metric called ``epoch`` is no number.
    """
    averages = restore(report.metrics.avg_metrics)
    epoch = averages.get("epoch", 0)
    if isinstance(epoch, bool) or not isinstance(epoch, (int, float)) or math.isinf(epoch):
        raise InvalidInput(f"the metric 'epoch' must be a number, got {str(epoch)[:40]!a}; rename it")
    return averages, restore(report.metrics.batch_metrics)

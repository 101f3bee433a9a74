"""Requests of search runners; the operations and events themselves are in ``searcher``."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from determined.domain.records import Experiment
from determined.errors import InvalidInput, NotFound
from determined.wire.answers import Answer
from determined.wire.requests import Int32
from determined.wire.trials import BestMetric

MAX_SUMMARY_BYTES = 64 * 1024


class EventReference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An event that operations answer; only its id counts."""

    id: Int32


class PostOperations(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A batch of operations.

    Attributes:
        triggered_by_event: what it answers; None for operations that no event caused.
        epoch: of the search runner, None when it did not attach.
        summary: where the search stands in its method's words, when that has changed.
    """

    experiment_id: Int32 = 0
    searcher_operations: Annotated[list[Any], Meta(max_length=250_000)] = []
    triggered_by_event: EventReference | None = None
    epoch: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    summary: dict[str, Any] | None = None

    @property
    def words(self) -> bytes | None:
        """The summary as it is kept.

        Raises:
            InvalidInput: it is too long.
        """
        if self.summary is None:
            return None
        words = msgspec.json.encode({"event": self.trigger, "summary": self.summary})
        if len(words) > MAX_SUMMARY_BYTES:
            raise InvalidInput(f"summary: {len(words)} bytes of JSON (allowed: {MAX_SUMMARY_BYTES}); tell less")
        return words

    @property
    def trigger(self) -> int | None:
        """Id of the event that the batch answers."""
        return None if self.triggered_by_event is None else self.triggered_by_event.id


class Attach(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A search runner takes over.

    Attributes:
        runner: a name that this runner has chosen for itself, so that a repeated request is no second runner's; "" when
            it gives none.
    """

    runner: Annotated[str, Meta(max_length=128)] = ""


class SearcherEvents(Answer, frozen=True, kw_only=True):
    """Queued events, by id; or one with id -1 that says why there are none."""

    searcher_events: list[dict[str, Any]]


class Attached(Answer, frozen=True, kw_only=True):
    """The number of the search runner that has taken over."""

    epoch: int


def best_metric(experiment: Experiment) -> BestMetric:
    """The best metric of an experiment.

    Raises:
        NotFound: nothing has been validated yet.
    """
    if experiment.best_metric is None:
        raise NotFound(f"experiment {experiment.id} has no validation of {experiment.metric!r} yet")
    return BestMetric(metric=experiment.best_metric)

"""A search as it goes on: one summary after each change, pushed by the master."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from determined.common.api import errors
from determined.common.api.session import Session
from determined.domain.states import ExperimentState
from determined.errors import Unavailable
from determined.wire.values import restore

RETRIES = 5
RETRY_STATUSES = (502, 503, 504)
_BACKOFF_S = 0.5
_PREFIX = "STATE_"

logger = logging.getLogger("determined.experimental")


@dataclass(frozen=True, slots=True)
class TrialCounts:
    """How many trials there are, and in what state."""

    total: int = 0
    queued: int = 0
    running: int = 0
    idle: int = 0
    completed: int = 0
    errored: int = 0
    canceled: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """A search at one moment.

    Attributes:
        state: name without prefix; an ACTIVE one may be QUEUED, STARTING or RUNNING.
        progress: 0 to 1, or None when the search does not say.
        best_metric: of ``best_trial_id``; None before the first validation.
        units_done: training done by all trials together, in the unit of the search.
        waiting_for: what keeps the search from going on; "" for nothing.
        message: what the master has to say about it; "" for nothing.
    """

    id: int
    name: str = ""
    state: str = ""
    progress: float | None = None
    searcher_type: str = ""
    metric_name: str = ""
    smaller_is_better: bool = True
    trials: TrialCounts = field(default_factory=TrialCounts)
    best_trial_id: int | None = None
    best_metric: Any = None
    best_hparams: Mapping[str, Any] | None = None
    units_done: float | None = None
    waiting_for: str = ""
    message: str = ""

    @property
    def is_terminal(self) -> bool:
        """The search is over."""
        return is_terminal(self.state)


def bare_state(name: object) -> str:
    """The name of a state without its prefix on the wire."""
    return str(name or "").removeprefix(_PREFIX)


def is_terminal(state: str) -> bool:
    """Whether an experiment in this state, named without prefix, is over."""
    return state in ExperimentState.__members__ and ExperimentState[state].is_terminal


def summary_from_json(value: Mapping[str, Any]) -> Summary:
    """The summary in one line of the stream; what is absent gets its default."""
    counts = value.get("trials") or {}
    return Summary(
        id=int(value.get("id") or 0),
        name=str(value.get("name") or ""),
        state=bare_state(value.get("state")),
        progress=_number(value.get("progress")),
        searcher_type=str(value.get("searcherType") or ""),
        metric_name=str(value.get("metricName") or ""),
        smaller_is_better=bool(value.get("smallerIsBetter", True)),
        trials=TrialCounts(**{name: int(counts.get(name) or 0) for name in TrialCounts.__dataclass_fields__}),
        best_trial_id=None if not value.get("bestTrialId") else int(value["bestTrialId"]),
        best_metric=restore(value.get("bestMetric")),
        best_hparams=value.get("bestHparams"),
        units_done=_number(value.get("unitsDone")),
        waiting_for=str(value.get("waitingFor") or ""),
        message=str(value.get("message") or ""),
    )


def watch(session: Session, experiment_id: int) -> Generator[Summary, None, None]:
    """Summaries of an experiment: one now, one after each change, the last with a terminal state.

    A master that goes away for a while is waited for: up to five tries, further and further apart, since the last
    summary.

    Raises:
        NotFoundException: no such experiment.
        Unavailable: the master did not come back.
    """
    failures = 0
    while True:
        try:
            stream = session.stream(f"/api/v1/experiments/{experiment_id}/watch", {"follow": True})
            with contextlib.closing(stream):
                for line in stream:
                    failures = 0
                    summary = summary_from_json(line["result"])
                    yield summary
                    if summary.is_terminal:
                        return
            # A master that stops ends its streams in good order.
            raise errors.MasterNotFoundException(
                f"the master at {session.master_url} ended the watch of experiment {experiment_id} before its end"
            )
        except Unavailable as error:
            if failures >= RETRIES:
                raise
            logger.info("%s; trying again", error)
            time.sleep(_BACKOFF_S * 2**failures)
            failures += 1


def look(session: Session, experiment_id: int) -> Summary:
    """One summary of an experiment, as it is now.

    Raises:
        NotFoundException: no such experiment.
    """
    stream = session.stream(f"/api/v1/experiments/{experiment_id}/watch", {"follow": False})
    with contextlib.closing(stream):
        for line in stream:
            return summary_from_json(line["result"])
    raise errors.EmptyResultException(f"the master at {session.master_url} gave no summary of {experiment_id}")


def _number(value: Any) -> float | None:
    number = restore(value)
    return float(number) if isinstance(number, (int, float)) and not isinstance(number, bool) else None

"""What reads ask for, and what they answer with beside the records themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from determined.domain.ids import ExperimentId
from determined.domain.records import Checkpoint, JournalRow, Metrics
from determined.domain.states import ExperimentState


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: ``limit`` None for all, 0 for none; a negative ``offset`` counts from the end."""

    offset: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """``key`` is a name of the list's sort keys (see ``orders.py``); ties are broken by id, ascending.

    Rows that have no value come last in both directions.
    """

    key: str = "ID"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class ExperimentFilter:
    """All given conditions must hold.

    ``name`` and ``description`` are parts to search for, upper and lower case being the same; an experiment must
    have every one of ``labels``; ``min_id`` and ``max_id`` are included.
    """

    name: str = ""
    description: str = ""
    labels: tuple[str, ...] = ()
    archived: bool | None = None
    states: tuple[ExperimentState, ...] = ()
    usernames: tuple[str, ...] = ()
    user_ids: tuple[int, ...] = ()
    project_id: int | None = None
    ids: tuple[int, ...] | None = None
    not_ids: tuple[int, ...] = ()
    min_id: int | None = None
    max_id: int | None = None


@dataclass(frozen=True, slots=True)
class LogFilter:
    """All given conditions must hold; ``at <= before`` and ``at > after``, in seconds since the epoch.

    ``text`` is searched as a part of the line, upper and lower case being the same.
    """

    levels: tuple[str, ...] = ()
    rank_ids: tuple[int, ...] = ()
    stdtypes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    agent_ids: tuple[str, ...] = ()
    container_ids: tuple[str, ...] = ()
    allocation_ids: tuple[str, ...] = ()
    before: float | None = None
    after: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointView:
    """A checkpoint with the reports at the same steps of its trial (None where there is none)."""

    checkpoint: Checkpoint
    training: Metrics | None
    validation: Metrics | None
    hparams: str


@dataclass(frozen=True, slots=True)
class EngineState:
    """What restores an engine: the parts of its snapshot, and the journal after the newest of them."""

    parts: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)
    journal: Sequence[JournalRow] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows of one page, where it starts, and how many rows there are in all."""

    rows: Sequence[Any]
    start: int
    total: int


class TrialRow(NamedTuple):
    """A trial as tables and charts show it; ``state`` and ``phase`` as text.

    ``best_steps`` are the steps of the report that holds ``best_metric``.
    """

    id: int
    state: str
    phase: str | None
    units: float
    total_batches: int
    best_metric: float | None
    best_steps: int | None
    latest_metric: float | None
    checkpoint_count: int
    restarts: int
    created_at: float
    ended_at: float | None
    hparams: str


class SearcherPoint(NamedTuple):
    """One finite value of the searched metric, out of the report of that id."""

    report_id: int
    trial_id: int
    steps: int
    metric: float


@dataclass(frozen=True, slots=True)
class TallyQuery:
    """Which experiment to count the trials of.

    Attributes:
        longest: what a trial trains to that is not stopped before; None for what the longest has trained to.
    """

    experiment_id: ExperimentId
    smaller_is_better: bool
    longest: float | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """The trials of an experiment, counted.

    Attributes:
        states: how many there are of each state.
        longest: what the longest trained, or as the query told; by ``units``, or by ``total_batches`` where there are
            none.
        short: how many of those that are COMPLETED trained less.
        best: the best metric of each of up to ``STRETCHES`` stretches of trials, equally long and in their order.
    """

    states: Mapping[str, int]
    longest: float
    short: int
    best: Sequence[float]


STRETCHES = 40

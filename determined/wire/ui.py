"""What the web UI reads, on the wire. Large answers are columns; times are in seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from determined.wire.answers import Answer


class UiTrials(Answer, frozen=True, kw_only=True):
    """The trials of an experiment, counted; ``stopped`` ones were closed before they reached the longest length."""

    total: int
    running: int
    completed: int
    stopped: int
    errored: int
    canceled: int


class UiExperiment(Answer, frozen=True, kw_only=True):
    """An experiment as a list shows it.

    ``planned`` is how many trials there will be, null where nobody knows. ``spark`` is the best metric so far along the
    trials, at most 40 values. ``slots`` is how many its runs hold now.
    """

    id: int
    name: str
    state: str
    progress: float | None
    trials: UiTrials
    planned: int | None
    searcher: str
    metric: str
    smaller_is_better: bool
    best: float | None
    best_trial: int | None
    spark: Sequence[float]
    slots: int
    user: str
    started_at: float
    ended_at: float | None
    archived: bool
    labels: Sequence[str]
    description: str
    # Only where one experiment is read.
    seq: int | UnsetType = UNSET
    unit: str | UnsetType = UNSET
    max_length: int | UnsetType | None = UNSET
    config: msgspec.Raw | UnsetType = UNSET
    message: str | UnsetType = UNSET
    has_code: bool | UnsetType = UNSET


class UiConfig(Answer, frozen=True, kw_only=True):
    """A configuration as it was submitted, without its secrets; "" where none was."""

    config: str


class UiExperiments(Answer, frozen=True, kw_only=True):
    """A page of experiments; ``counts`` are those of all states, whatever states were asked for."""

    total: int
    counts: Mapping[str, int]
    experiments: Sequence[UiExperiment]


class UiOperation(Answer, frozen=True, kw_only=True):
    """What the search method asked for."""

    kind: str
    trial: int | None
    length: int | None
    reason: str
    numbers: Mapping[str, Any]


class UiDecision(Answer, frozen=True, kw_only=True):
    """An event, and what the search method said to it.

    ``number`` is its place among all decisions, from 0 on; ``more`` is how many operations are not shown.
    """

    number: int
    event: int
    at: float | None
    kind: str
    trial: int | None
    said: str
    operations: Sequence[UiOperation]
    more: int


class UiDecisions(Answer, frozen=True, kw_only=True):
    """Decisions, newest first; ``last`` is the newest event that is answered, ``entries`` counts all decisions."""

    seq: int
    last: int
    entries: int
    decisions: Sequence[UiDecision]


class UiRung(Answer, frozen=True, kw_only=True):
    """A length, and who brought which result to it: trial, metric and one of promoted, waiting, ended, running.

    ``counts`` tells how many there are of each of the four, also where fewer are listed.
    """

    length: int
    counts: Mapping[str, int]
    results: Sequence[tuple[int, float | None, str]]
    cut: float | None


class UiBracket(Answer, frozen=True, kw_only=True):
    """The rungs of a bracket, lowest first."""

    bracket: int | None
    rungs: Sequence[UiRung]


class UiRungs(Answer, frozen=True, kw_only=True):
    """The state of all rungs when an event had been answered."""

    event: int
    brackets: Sequence[UiBracket]


class UiSummary(Answer, frozen=True, kw_only=True):
    """What the search method says of itself, and after which event it said so; null where it says nothing."""

    event: int | None
    summary: Mapping[str, Any] | None


class UiLogLine(Answer, frozen=True, kw_only=True):
    """A line of a trial's log."""

    trial: int
    id: int
    time: float
    level: str
    text: str


class UiLogs(Answer, frozen=True, kw_only=True):
    """Lines of many trials, oldest first; ``searched`` of the ``trials`` were looked at, those that logged last.

    Lines of all logs are numbered in the order in which they came; those up to ``last`` were there.
    """

    lines: Sequence[UiLogLine]
    searched: int
    trials: int
    last: int


class UiCodes(Answer, frozen=True, kw_only=True):
    """A column of texts as places in ``values``."""

    codes: Sequence[int]
    values: Sequence[str]


class UiColumns(Answer, frozen=True, kw_only=True):
    """The columns of trials."""

    id: Sequence[int]
    state: UiCodes
    units: Sequence[float]
    best: Sequence[float | None]
    latest: Sequence[float | None]
    best_units: Sequence[float | None]
    checkpoints: Sequence[int]
    restarts: Sequence[int]
    started_at: Sequence[float]
    ended_at: Sequence[float | None]
    end: UiCodes


class UiHparam(Answer, frozen=True, kw_only=True):
    """A hyperparameter: numbers in ``values``, or categories as ``codes`` into ``values``, -1 for none."""

    name: str
    kind: str
    values: Sequence[Any]
    codes: Sequence[int] | UnsetType = UNSET


class UiTrialTable(Answer, frozen=True, kw_only=True):
    """The trials of an experiment, column by column."""

    seq: int
    count: int
    columns: UiColumns
    hparams: Sequence[UiHparam]


class UiMetricGroup(Answer, frozen=True, kw_only=True):
    """Metrics over the units at which they were reported."""

    units: Sequence[float]
    metrics: Mapping[str, Sequence[float | None]]


class UiTrialMetrics(Answer, frozen=True, kw_only=True):
    """What a trial reported, by group."""

    groups: Mapping[str, UiMetricGroup]


def with_details(row: UiExperiment, **details: Any) -> UiExperiment:
    """A row with what is shown of one experiment only."""
    return msgspec.structs.replace(row, **details)

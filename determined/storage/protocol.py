"""The contract of the store: writes are data, grouped in units that happen wholly or not at all.

A unit is what one cause changes: its journal row, the events it enqueues, and every table that people query.
Units are applied in the order of ``write`` calls; several may share one transaction (group commit). The future of
a unit resolves only after the commit that made it durable, and in order. When a unit fails, nothing of it remains;
other units of the same group are not harmed. The mutations of a unit are applied in order, so a row comes after the
experiment, trial or run that it belongs to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec

from determined.domain.ids import ExperimentId, RunId, TrialId, UserId
from determined.domain.records import (
    Checkpoint,
    EventRow,
    Experiment,
    JournalRow,
    LogRecord,
    Metrics,
    Run,
    Token,
    Trial,
    User,
)
from determined.domain.states import CheckpointState, ExperimentState, RunPhase, TrialState


class _Mutation(msgspec.Struct, frozen=True):
    pass


class PutUser(_Mutation, frozen=True):
    """Insert or replace a user (by id). Raises ``Conflict`` when the name belongs to another id."""

    user: User


class PutToken(_Mutation, frozen=True):
    """Insert a login."""

    token: Token


class DropToken(_Mutation, frozen=True):
    """Remove a login; no matter whether it exists."""

    digest: str


class InsertExperiment(_Mutation, frozen=True):
    """A new experiment. Raises ``Conflict`` when (owner, client_key) exists with a non-empty key."""

    experiment: Experiment


class UpdateExperiment(_Mutation, frozen=True):
    """What the engine decides about an experiment; always the same columns."""

    id: ExperimentId
    state: ExperimentState
    progress: float | None
    ended_at: float | None
    message: str


class PatchExperiment(_Mutation, frozen=True):
    """What people edit: any of name, description, labels, notes, archived, config, epoch, state (deletion)."""

    id: ExperimentId
    changes: Mapping[str, Any]


class DeleteExperiment(_Mutation, frozen=True):
    """Remove the experiment and every row that belongs to it."""

    id: ExperimentId


class InsertTrial(_Mutation, frozen=True):
    """A new trial; counts in its experiment's ``num_trials``."""

    trial: Trial


class UpdateTrial(_Mutation, frozen=True):
    """What the engine decides about a trial; always the same columns."""

    id: TrialId
    state: TrialState
    run_id: RunId
    phase: RunPhase | None
    restarts: int
    closed: bool
    ended_at: float | None


class UpdateTrialUnits(_Mutation, frozen=True):
    """A progress report."""

    id: TrialId
    units: float


class UpdateRunnerState(_Mutation, frozen=True):
    """What the training script says it is doing."""

    id: TrialId
    runner_state: str


class PutRun(_Mutation, frozen=True):
    """Insert or replace a run, keeping the stored ``lines``."""

    run: Run


class PutMetrics(_Mutation, frozen=True):
    """Store a report, replacing one of the same (trial, run, group, steps).

    When reports of older runs reach as far (steps >= these in the same group, > in the others), those are archived. The
    trial's and the experiment's summaries (total batches, best, latest) follow, recomputed after archiving.
    """

    metrics: Metrics
    smaller_is_better: bool


class PutCheckpoint(_Mutation, frozen=True):
    """Store a checkpoint, replacing one of the same uuid; counts and sizes of trial and experiment follow."""

    checkpoint: Checkpoint


class SetCheckpointState(_Mutation, frozen=True):
    """Mark a checkpoint, e.g. DELETED; counts and sizes follow."""

    uuid: str
    state: CheckpointState


class SetCheckpointMetadata(_Mutation, frozen=True):
    """Replace a checkpoint's metadata (JSON text of an object)."""

    uuid: str
    metadata: str


class AppendLogs(_Mutation, frozen=True):
    """Append lines to a trial's log; ``lines_known`` becomes the run's count of delivered lines (None: not counted)."""

    records: tuple[LogRecord, ...]
    allocation_id: str = ""
    lines_known: int | None = None


class AppendJournal(_Mutation, frozen=True):
    """One fact. Raises ``Conflict`` when the sequence number exists."""

    row: JournalRow


class AppendEvent(_Mutation, frozen=True):
    """One event of the queue."""

    row: EventRow


class PutBatch(_Mutation, frozen=True):
    """Remember what was posted in answer to an event, to tell a replay from a divergence."""

    experiment_id: ExperimentId
    trigger: int
    digest: str


class PutState(_Mutation, frozen=True):
    """A part of the engine's snapshot: "experiment", "method", or a trial id as text."""

    experiment_id: ExperimentId
    part: str
    seq: int
    body: bytes


class DropState(_Mutation, frozen=True):
    """A part of the snapshot that is not needed any more."""

    experiment_id: ExperimentId
    part: str


Mutation = (
    PutUser
    | PutToken
    | DropToken
    | InsertExperiment
    | UpdateExperiment
    | PatchExperiment
    | DeleteExperiment
    | InsertTrial
    | UpdateTrial
    | UpdateTrialUnits
    | UpdateRunnerState
    | PutRun
    | PutMetrics
    | PutCheckpoint
    | SetCheckpointState
    | SetCheckpointMetadata
    | AppendLogs
    | AppendJournal
    | AppendEvent
    | PutBatch
    | PutState
    | DropState
)


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


class Store(Protocol):
    """Durable state. Called from one event loop; reads see every unit whose future has resolved."""

    async def open(self) -> None:
        """Bring the schema up to date and become the only writer."""

    async def close(self) -> None:
        """Finish what was submitted and release everything."""

    def write(self, unit: Sequence[Mutation], lane: int | None = None) -> asyncio.Future[None]:
        """Submit a unit. The future fails when nothing of the unit was stored.

        Units of one lane (the service passes the experiment's id) build on each other: once one of them fails, those
        behind it fail with ``StorageFailed`` too, until ``reopen_lane``. Other lanes, and units without one, go on.

        Raises (from the future):
            StorageFailed: the store could not commit, is closed, or the lane is closed.
            Conflict: something exists already.
            NotFound: something to change, or what a new row belongs to, does not exist.
            InvalidInput: a value that cannot be stored.
        """

    def reopen_lane(self, lane: int) -> None:
        """Accept units of this lane again, from the next ``write`` on; no matter whether it was closed."""

    # Identity and counters
    async def get_meta(self, key: str, default: str) -> str:
        """The value of a key; stores and returns ``default`` the first time."""

    async def next_ids(self) -> tuple[int, int, int]:
        """The next unused experiment id, trial id and user id (ids of deleted rows are not reused)."""

    # Users
    async def find_user(self, username: str) -> User | None: ...
    async def get_user(self, user_id: UserId) -> User: ...
    async def list_users(self) -> Sequence[User]: ...
    async def find_token(self, digest: str) -> Token | None: ...

    # Experiments
    async def get_experiment(self, experiment_id: ExperimentId) -> Experiment: ...
    async def find_by_client_key(self, owner_id: UserId, client_key: str) -> Experiment | None: ...
    async def list_experiments(self, where: ExperimentFilter, order: Order, page: Page) -> Listing: ...
    async def list_unfinished(self) -> Sequence[Experiment]:
        """Experiments with something left to do: those that go on, are being deleted or are uncollected; by id."""

    async def count_states(self, where: ExperimentFilter) -> Mapping[ExperimentState, int]:
        """How many experiments of each state match."""

    async def load_engine(self, experiment_id: ExperimentId) -> EngineState: ...
    async def find_state(self, experiment_id: ExperimentId, part: str) -> bytes | None:
        """What ``PutState`` has stored of one part; None if there is no such part."""

    async def read_journal(
        self, experiment_id: ExperimentId, after: int, limit: int, kinds: Sequence[str] = ()
    ) -> Sequence[JournalRow]:
        """Facts with a sequence number above ``after``, in order; of all kinds if none is named."""

    async def get_journal(self, experiment_id: ExperimentId, seqs: Sequence[int]) -> Sequence[JournalRow]:
        """Those of the numbered facts that exist, in order."""

    async def journal_end(self, experiment_id: ExperimentId) -> int:
        """Sequence number of the newest fact; 0 for none."""

    # The queue
    async def read_events(self, experiment_id: ExperimentId, after: int, limit: int) -> Sequence[EventRow]:
        """Events with an id above ``after``, in order."""

    async def get_events(self, experiment_id: ExperimentId, ids: Sequence[int]) -> Sequence[EventRow]:
        """Those of the numbered events that exist, in order."""

    async def find_batch(self, experiment_id: ExperimentId, trigger: int) -> str | None:
        """Digest of what was posted in answer to this event."""

    # Trials
    async def get_trial(self, trial_id: TrialId) -> Trial: ...
    async def list_trials(
        self, experiment_id: ExperimentId, states: Sequence[TrialState], order: Order, page: Page
    ) -> Listing: ...
    async def trial_ids(self, experiment_id: ExperimentId) -> Sequence[int]: ...
    async def trial_rows(
        self, experiment_id: ExperimentId, trial_ids: Sequence[int] | None = None
    ) -> Sequence[TrialRow]:
        """An experiment's trials by id: all, or those named."""

    async def tallies(self, wanted: Sequence[TallyQuery]) -> Sequence[Tally]:
        """The trials of each of some experiments, counted."""

    async def list_runs(self, trial_id: TrialId) -> Sequence[Run]: ...
    async def find_run(self, allocation_id: str) -> Run | None: ...

    # Metrics and checkpoints
    async def get_metrics(self, ids: Sequence[int]) -> Mapping[int, Metrics]: ...
    async def list_metrics(
        self, trial_ids: Sequence[TrialId], groups: Sequence[str], after_id: int, limit: int
    ) -> Sequence[Metrics]:
        """Live and archived reports by id, for streams."""

    async def list_trial_metrics(self, trial_id: TrialId) -> Sequence[Metrics]:
        """Live reports of a trial, by (steps, time, id)."""

    async def searcher_points(self, trial_ids: Sequence[int], after_id: int = 0) -> Sequence[SearcherPoint]:
        """The searched metric in live validations of some trials, where it is finite, by (trial, steps, id).

        Args:
            after_id: only of reports with a higher id.
        """

    async def last_report(self) -> int:
        """The largest id of a report of metrics; 0 for none."""

    async def get_checkpoint(self, uuid: str) -> CheckpointView: ...
    async def list_checkpoints(
        self,
        experiment_id: ExperimentId | None,
        trial_id: TrialId | None,
        states: Sequence[CheckpointState],
        order: Order,
        page: Page,
    ) -> Listing:
        """``CheckpointView`` rows of an experiment or of a trial."""

    async def best_checkpoints(self, trial_ids: Sequence[TrialId]) -> Mapping[int, CheckpointView]:
        """For each trial its COMPLETED checkpoint with the best searcher metric at the same steps."""

    async def warm_starts(self, uuids: Sequence[str]) -> frozenset[str]:
        """Those of the checkpoints that some trial, of any experiment, starts or started from."""

    # Logs
    async def read_logs(
        self, trial_id: TrialId, where: LogFilter, after_id: int, limit: int | None, descending: bool
    ) -> Sequence[LogRecord]: ...
    async def log_fields(self, trial_id: TrialId) -> Mapping[str, Sequence[str]]:
        """The values that occur, as text, for each list of ``LogFilter`` (by its name)."""

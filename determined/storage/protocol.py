"""The contract of the store: writes are data, grouped in units that happen wholly or not at all.

A unit is what one cause changes: its journal row, the events it enqueues, and every table that people query.
Units are applied in the order of ``write`` calls; several may share one transaction (group commit). The future of
a unit resolves only after the commit that made it durable, and in order. When a unit fails, nothing of it remains;
other units of the same group are not harmed. The mutations of a unit are applied in order, so a row comes after the
experiment, trial or run that it belongs to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from determined.domain.ids import ExperimentId, TrialId, UserId
from determined.domain.records import EventRow, Experiment, JournalRow, LogRecord, Metrics, Run, Token, Trial, User
from determined.domain.states import CheckpointState, ExperimentState, TrialState
from determined.storage.mutations import (
    AppendEvent,
    AppendJournal,
    AppendLogs,
    DeleteExperiment,
    DropState,
    DropToken,
    InsertExperiment,
    InsertTrial,
    Mutation,
    PatchExperiment,
    PutBatch,
    PutCheckpoint,
    PutMetrics,
    PutRun,
    PutState,
    PutToken,
    PutUser,
    SetCheckpointMetadata,
    SetCheckpointState,
    UpdateExperiment,
    UpdateRunnerState,
    UpdateTrial,
    UpdateTrialUnits,
)
from determined.storage.views import (
    STRETCHES,
    CheckpointView,
    EngineState,
    ExperimentFilter,
    Listing,
    LogFilter,
    Order,
    Page,
    SearcherPoint,
    Tally,
    TallyQuery,
    TrialRow,
)

__all__ = [
    "STRETCHES",
    "AppendEvent",
    "AppendJournal",
    "AppendLogs",
    "CheckpointView",
    "DeleteExperiment",
    "DropState",
    "DropToken",
    "EngineState",
    "ExperimentFilter",
    "InsertExperiment",
    "InsertTrial",
    "Listing",
    "LogFilter",
    "Mutation",
    "Order",
    "Page",
    "PatchExperiment",
    "PutBatch",
    "PutCheckpoint",
    "PutMetrics",
    "PutRun",
    "PutState",
    "PutToken",
    "PutUser",
    "SearcherPoint",
    "SetCheckpointMetadata",
    "SetCheckpointState",
    "Store",
    "Tally",
    "TallyQuery",
    "TrialRow",
    "UpdateExperiment",
    "UpdateRunnerState",
    "UpdateTrial",
    "UpdateTrialUnits",
]


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
    async def new_lines(self, trial_ids: Sequence[int], after_id: int, limit: int) -> Sequence[LogRecord]:
        """Lines of some trials with an id above ``after_id``, by id. Whichever trial they are of, ids rise."""

    async def last_line(self) -> int:
        """The largest id that a line of a log was ever given; 0 for none."""

    async def last_lines(self, experiment_id: ExperimentId, trials: Collection[int] | None = None) -> Mapping[int, int]:
        """For each trial of an experiment, or each of those named, the id of its last line; 0 for none."""

    async def log_fields(self, trial_id: TrialId) -> Mapping[str, Sequence[str]]:
        """The values that occur, as text, for each list of ``LogFilter`` (by its name)."""

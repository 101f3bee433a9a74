"""A store in memory that gives the same answers as the durable one: for tests, and for runs that need no file."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from determined.domain.ids import ExperimentId, TrialId, UserId
from determined.domain.records import EventRow, Experiment, JournalRow, LogRecord, Metrics, Run, Token, Trial, User
from determined.domain.states import CheckpointState, ExperimentState, TrialState
from determined.errors import DeterminedError, InvalidInput
from determined.storage import memory_columns as columns
from determined.storage import memory_queries as q
from determined.storage.faults import lane_closed, store_closed
from determined.storage.memory_apply import apply
from determined.storage.memory_tables import Tables
from determined.storage.orders import CHECKPOINT_KEYS, EXPERIMENT_KEYS, TRIAL_KEYS, UNFINISHED, check_order
from determined.storage.protocol import (
    CheckpointView,
    EngineState,
    ExperimentFilter,
    Listing,
    LogFilter,
    Mutation,
    Order,
    Page,
    SearcherPoint,
    Tally,
    TallyQuery,
    TrialRow,
)


class MemoryStore:
    """Implements ``Store`` with dictionaries. Units are applied at once; what was stored survives ``close``."""

    def __init__(self) -> None:
        self._tables = Tables()
        self._meta: dict[str, str] = {}
        self._closed_lanes: set[int] = set()
        self._open = False

    async def open(self) -> None:
        """Begin to accept units."""
        self._open = True

    async def close(self) -> None:
        """Refuse units from now on."""
        self._open = False

    def write(self, unit: Sequence[Mutation], lane: int | None = None) -> asyncio.Future[None]:
        """See ``Store.write``."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._apply(unit, lane)
        except (DeterminedError, TypeError, ValueError) as error:
            self._tables.take_back()
            if lane is not None and self._open:
                self._closed_lanes.add(lane)
            known = isinstance(error, DeterminedError)
            future.set_exception(error if known else InvalidInput(f"a value cannot be stored: {error}"))
        else:
            self._tables.keep()
            future.set_result(None)
        return future

    def _apply(self, unit: Sequence[Mutation], lane: int | None) -> None:
        if not self._open:
            raise store_closed()
        if lane in self._closed_lanes and lane is not None:
            raise lane_closed(lane)
        for mutation in unit:
            apply(mutation, self._tables)

    def reopen_lane(self, lane: int) -> None:
        """See ``Store.reopen_lane``."""
        self._closed_lanes.discard(lane)

    # Identity and counters
    async def get_meta(self, key: str, default: str) -> str:
        """The value of a key; stores and returns ``default`` the first time."""
        return self._meta.setdefault(key, default)

    async def next_ids(self) -> tuple[int, int, int]:
        """The next unused experiment id, trial id and user id."""
        high = self._tables.high
        return high.get("experiments", 0) + 1, high.get("trials", 0) + 1, high.get("users", 0) + 1

    # Users
    async def find_user(self, username: str) -> User | None:
        """The user of that name."""
        return next((u for u in self._tables.users.values() if u.username == username), None)

    async def get_user(self, user_id: UserId) -> User:
        """The user with that id."""
        return q.get("user", self._tables.users, user_id)

    async def list_users(self) -> Sequence[User]:
        """Every user, by id."""
        return [user for _, user in sorted(self._tables.users.items())]

    async def find_token(self, digest: str) -> Token | None:
        """The login with that digest."""
        return self._tables.tokens.get(digest)

    # Experiments
    async def get_experiment(self, experiment_id: ExperimentId) -> Experiment:
        """The experiment with that id."""
        return q.get("experiment", self._tables.experiments, experiment_id)

    async def find_by_client_key(self, owner_id: UserId, client_key: str) -> Experiment | None:
        """The experiment that its owner submitted under this key."""
        found = self._tables.by_client_key.get((owner_id, client_key))
        return None if found is None else self._tables.experiments[found]

    async def list_experiments(self, where: ExperimentFilter, order: Order, page: Page) -> Listing:
        """One page of the experiments that match."""
        check_order("experiments", order, EXPERIMENT_KEYS)
        users = self._tables.users
        rows = [e for e in self._tables.experiments.values() if q.experiment_matches(e, where, users)]
        return q.listing(rows, q.experiment_key(order.key, users), lambda e: e.id, order, page)

    async def count_states(self, where: ExperimentFilter) -> Mapping[ExperimentState, int]:
        """How many experiments of each state match."""
        return columns.count_states(self._tables, where)

    async def list_unfinished(self) -> Sequence[Experiment]:
        """Experiments with something left to do: those that go on, are being deleted or are uncollected; by id."""
        return [e for _, e in sorted(self._tables.experiments.items()) if e.state in UNFINISHED or e.uncollected]

    async def load_engine(self, experiment_id: ExperimentId) -> EngineState:
        """The parts of the snapshot and the journal after the newest of them."""
        parts = dict(self._tables.parts_of.get(experiment_id, {}))
        newest = max((seq for seq, _ in parts.values()), default=-1)
        rows = self._tables.journal_of.get(experiment_id, {})
        return EngineState(parts, q.after(rows, newest, None))

    async def find_state(self, experiment_id: ExperimentId, part: str) -> bytes | None:
        """What is stored of one part."""
        found = self._tables.parts_of.get(experiment_id, {}).get(part)
        return None if found is None else found[1]

    async def read_journal(
        self, experiment_id: ExperimentId, after: int, limit: int, kinds: Sequence[str] = ()
    ) -> Sequence[JournalRow]:
        """Facts with a sequence number above ``after``, in order; of all kinds if none is named."""
        rows = q.after(self._tables.journal_of.get(experiment_id, {}), after, None)
        return [row for row in rows if not kinds or row.kind in kinds][: max(0, limit)]

    async def get_journal(self, experiment_id: ExperimentId, seqs: Sequence[int]) -> Sequence[JournalRow]:
        """Those of the numbered facts that exist, in order."""
        rows = self._tables.journal_of.get(experiment_id, {})
        return [rows[seq] for seq in sorted(set(seqs)) if seq in rows]

    async def journal_end(self, experiment_id: ExperimentId) -> int:
        """Sequence number of the newest fact; 0 for none."""
        return max(self._tables.journal_of.get(experiment_id, ()), default=0)

    # The queue
    async def read_events(self, experiment_id: ExperimentId, after: int, limit: int) -> Sequence[EventRow]:
        """Events with an id above ``after``, in order."""
        return q.after(self._tables.events_of.get(experiment_id, {}), after, limit)

    async def get_events(self, experiment_id: ExperimentId, ids: Sequence[int]) -> Sequence[EventRow]:
        """Those of the numbered events that exist, in order."""
        rows = self._tables.events_of.get(experiment_id, {})
        return [rows[number] for number in sorted(set(ids)) if number in rows]

    async def find_batch(self, experiment_id: ExperimentId, trigger: int) -> str | None:
        """Digest of what was posted in answer to this event."""
        return self._tables.batches_of.get(experiment_id, {}).get(trigger)

    # Trials
    async def get_trial(self, trial_id: TrialId) -> Trial:
        """The trial with that id."""
        return q.get("trial", self._tables.trials, trial_id)

    async def list_trials(
        self, experiment_id: ExperimentId, states: Sequence[TrialState], order: Order, page: Page
    ) -> Listing:
        """One page of an experiment's trials."""
        check_order("trials", order, TRIAL_KEYS)
        trials = [self._tables.trials[i] for i in self._tables.trials_of.get(experiment_id, ())]
        rows = [t for t in trials if not states or t.state in states]
        return q.listing(rows, q.TRIAL_SORT[order.key], lambda t: t.id, order, page)

    async def trial_ids(self, experiment_id: ExperimentId) -> Sequence[int]:
        """Ids of an experiment's trials, ascending."""
        return sorted(self._tables.trials_of.get(experiment_id, ()))

    async def trial_rows(
        self, experiment_id: ExperimentId, trial_ids: Sequence[int] | None = None
    ) -> Sequence[TrialRow]:
        """An experiment's trials by id: all, or those named."""
        return columns.trial_rows(self._tables, experiment_id, trial_ids)

    async def tallies(self, wanted: Sequence[TallyQuery]) -> Sequence[Tally]:
        """The trials of each of some experiments, counted."""
        return [columns.tally(self._tables, query) for query in wanted]

    async def list_runs(self, trial_id: TrialId) -> Sequence[Run]:
        """A trial's runs, by run id."""
        runs = [self._tables.runs[a] for a in self._tables.runs_of.get(trial_id, ())]
        return sorted(runs, key=lambda run: (run.run_id, run.allocation_id))

    async def find_run(self, allocation_id: str) -> Run | None:
        """The run of that name."""
        return self._tables.runs.get(allocation_id)

    # Metrics and checkpoints
    async def get_metrics(self, ids: Sequence[int]) -> Mapping[int, Metrics]:
        """Those of the named reports that exist."""
        return {i: self._tables.metrics[i] for i in ids if i in self._tables.metrics}

    async def list_metrics(
        self, trial_ids: Sequence[TrialId], groups: Sequence[str], after_id: int, limit: int
    ) -> Sequence[Metrics]:
        """Live and archived reports by id; no groups means all."""
        rows = [m for t in set(trial_ids) for m in self._tables.reports(t)]
        found = [m for m in rows if m.id > after_id and (not groups or m.group in groups)]
        return sorted(found, key=lambda m: m.id)[: max(0, limit)]

    async def list_trial_metrics(self, trial_id: TrialId) -> Sequence[Metrics]:
        """Live reports of a trial, by (steps, time, id)."""
        live = [m for m in self._tables.reports(trial_id) if not m.archived]
        return sorted(live, key=lambda m: (m.steps, m.at, m.id))

    async def searcher_points(self, trial_ids: Sequence[int], after_id: int = 0) -> Sequence[SearcherPoint]:
        """The searched metric in live validations of some trials, where it is finite, by (trial, steps, id)."""
        return columns.searcher_points(self._tables, trial_ids, after_id)

    async def last_report(self) -> int:
        """The largest id of a report of metrics; 0 for none."""
        return max(self._tables.metrics, default=0)

    async def get_checkpoint(self, uuid: str) -> CheckpointView:
        """A checkpoint with its reports."""
        return q.view(self._tables, q.get("checkpoint", self._tables.checkpoints, uuid))

    async def list_checkpoints(
        self,
        experiment_id: ExperimentId | None,
        trial_id: TrialId | None,
        states: Sequence[CheckpointState],
        order: Order,
        page: Page,
    ) -> Listing:
        """One page of checkpoints."""
        check_order("checkpoints", order, CHECKPOINT_KEYS)
        rows = [
            q.view(self._tables, c)
            for c in self._tables.checkpoints.values()
            if experiment_id in (None, c.experiment_id)
            and trial_id in (None, c.trial_id)
            and (not states or c.state in states)
        ]
        return q.listing(rows, q.CHECKPOINT_SORT[order.key], lambda v: v.checkpoint.uuid, order, page)

    async def best_checkpoints(self, trial_ids: Sequence[TrialId]) -> Mapping[int, CheckpointView]:
        """For each trial its COMPLETED checkpoint with the best searcher metric at the same steps."""
        found = {trial_id: q.best_checkpoint(self._tables, trial_id) for trial_id in trial_ids}
        return {trial_id: best for trial_id, best in found.items() if best is not None}

    async def warm_starts(self, uuids: Sequence[str]) -> frozenset[str]:
        """Those of the checkpoints that some trial, of any experiment, starts or started from."""
        used = {trial.warm_start for trial in self._tables.trials.values()}
        return frozenset(uuid for uuid in uuids if uuid in used)

    # Logs
    async def read_logs(
        self, trial_id: TrialId, where: LogFilter, after_id: int, limit: int | None, descending: bool
    ) -> Sequence[LogRecord]:
        """Lines of a trial that match, with an id above ``after_id``."""
        logs = self._tables.logs_of.get(trial_id, {})
        found = [r for i, r in sorted(logs.items(), reverse=descending) if i > after_id and q.log_matches(r, where)]
        return found if limit is None else found[: max(0, limit)]

    async def new_lines(self, trial_ids: Sequence[int], after_id: int, limit: int) -> Sequence[LogRecord]:
        """Lines of some trials with an id above ``after_id``, by id."""
        logs = (self._tables.logs_of.get(trial_id, {}) for trial_id in set(trial_ids))
        return [r for _, r in sorted((i, r) for lines in logs for i, r in lines.items() if i > after_id)][:limit]

    async def last_line(self) -> int:
        """The largest id that a line of a log was ever given; 0 for none."""
        return self._tables.high.get("logs", 0)

    async def last_lines(self, experiment_id: ExperimentId, trials: Collection[int] | None = None) -> Mapping[int, int]:
        """For each trial of an experiment, or each of those named, the id of its last line; 0 for none."""
        there = await self.trial_ids(experiment_id)
        return {t: max(self._tables.logs_of.get(t, ()), default=0) for t in there if trials is None or t in trials}

    async def log_fields(self, trial_id: TrialId) -> Mapping[str, Sequence[str]]:
        """The values that occur, for each list of ``LogFilter``."""
        return q.log_values(self._tables.logs_of.get(trial_id, {}).values())

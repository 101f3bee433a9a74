"""An unfinished experiment out of the store: snapshot, journal after it, queue, live runs."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from determined.domain.config import ConfigDefaults, ExperimentConfig, parse_config
from determined.domain.ids import ExperimentId, TrialId
from determined.domain.records import Experiment, JournalRow, Run
from determined.domain.states import TrialState
from determined.engine import snapshot
from determined.engine.experiment import Settings
from determined.errors import CorruptState
from determined.master.service.lane import Lane, kind_of
from determined.storage.protocol import Order, Page, Store
from determined.storage.views import EngineState
from determined.wire import journal

EVENTS_AT_ONCE = 5000
MOST_FACTS = 2**31 - 1


def settings_of(experiment_id: ExperimentId, config: ExperimentConfig, warm_start: str | None) -> Settings:
    """What the engine needs to know of a configuration. ``warm_start``: where its trials begin."""
    return Settings(
        experiment_id=experiment_id,
        max_restarts=config.max_restarts,
        slots_per_trial=config.resources.slots_per_trial,
        warm_start=warm_start,
    )


def config_of(record: Experiment) -> ExperimentConfig:
    """The configuration of a stored experiment; it is complete, so the defaults do not matter."""
    complete = json.loads(record.config)
    storage = complete.get("checkpoint_storage", {})
    return parse_config(complete, ConfigDefaults(checkpoint_storage=storage, name=record.name, seed=0))


async def load_lane(store: Store, record: Experiment) -> Lane:
    """Restore an experiment as it was after its last committed unit."""
    config = config_of(record)
    saved = await store.load_engine(record.id)
    parts = {name: body for name, (_, body) in saved.parts.items()}
    settings = settings_of(record.id, config, record.warm_start)
    rows = await _after_snapshot(store, record.id, saved)
    engine = snapshot.restore(settings, parts, (journal.from_row(r) for r in rows))
    seqs = [seq for seq, _ in saved.parts.values()] + [r.seq for r in rows]
    lane = Lane(record=record, config=config, engine=engine, seq=max(seqs, default=0), epoch=record.epoch)
    lane.published = lane.seq
    lane.unsaved = len(rows)
    lane.answered = engine.answered
    await _load_queue(store, lane)
    await _load_runs(store, lane)
    await _load_counts(store, lane)
    return lane


async def _after_snapshot(store: Store, experiment_id: ExperimentId, saved: EngineState) -> Sequence[JournalRow]:
    """The facts after the engine's snapshot; states of search methods were once kept under later numbers than that."""
    taken, _ = saved.parts.get(snapshot.HEAD, (-1, b""))
    if all(seq <= taken for seq, _ in saved.parts.values()):
        return saved.journal
    return await store.read_journal(experiment_id, taken, MOST_FACTS)


async def _load_queue(store: Store, lane: Lane) -> None:
    after = lane.engine.answered
    while after < lane.engine.last_event:
        rows = await store.read_events(lane.id, after, EVENTS_AT_ONCE)
        if not rows:
            raise CorruptState(f"experiment {lane.id}: event {after + 1} is missing from the store; restore a backup")
        lane.queue.extend((r.id, msgspec.Raw(r.body)) for r in rows)
        after = rows[-1].id


async def _load_runs(store: Store, lane: Lane) -> None:
    for trial in lane.engine.trials.values():
        if trial.run is None or not trial.run.has_process:
            continue
        runs: list[Run] = [r for r in await store.list_runs(trial.id) if r.run_id == trial.run.run_id]
        if not runs:
            raise CorruptState(f"run {trial.run.run_id} of trial {trial.id} is missing from the store")
        lane.runs[trial.id] = runs[0]


async def _load_counts(store: Store, lane: Lane) -> None:
    for state in (TrialState.COMPLETED, TrialState.CANCELED, TrialState.ERROR):
        listing = await store.list_trials(lane.id, (state,), Order(), Page(limit=0))
        if listing.total:
            lane.counts[kind_of(state, None)] = listing.total
    for trial in lane.engine.trials.values():
        phase = None if trial.run is None else trial.run.phase
        lane.count(TrialId(trial.id), kind_of(trial.state, phase))

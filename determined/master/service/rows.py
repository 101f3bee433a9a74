"""From the engine's effects to the rows that make them durable; one unit per fact."""

from __future__ import annotations

import random

import msgspec

from determined.domain import facts
from determined.domain.facts import Fact
from determined.domain.ids import TrialId, allocation_id
from determined.domain.records import EventRow, LogRecord, Run, Trial
from determined.engine import effects as fx
from determined.engine import snapshot
from determined.engine.effects import Effect
from determined.master.service.lane import Lane
from determined.storage import protocol as db
from determined.storage.protocol import Mutation
from determined.wire import journal
from determined.wire.searcher import event_to_json

SNAPSHOT_EVERY = 256
"""Facts between two snapshots; a restart replays at most so many per experiment."""
CUSTOM_TRIAL_SEED = 42
"""Trials of custom searches all get this seed, as they always have."""

_encode = msgspec.json.Encoder().encode
Events = list[tuple[int, msgspec.Raw]]


def unit_of(lane: Lane, fact: Fact, effects: list[Effect]) -> tuple[list[Mutation], Events]:
    """The rows of one fact, and the events among them as wire JSON."""
    unit: list[Mutation] = [db.AppendJournal(row=journal.to_row(lane.id, lane.seq, fact))]
    events: Events = []
    for effect in effects:
        if isinstance(effect, fx.EventEnqueued):
            raw = msgspec.Raw(_encode(event_to_json(effect.event_id, effect.event)))
            events.append((effect.event_id, raw))
            row = EventRow(experiment_id=lane.id, id=effect.event_id, seq=lane.seq, body=bytes(raw))
            unit.append(db.AppendEvent(row=row))
        else:
            mutation = _mutation(lane, fact, effect)
            if mutation is not None:
                unit.append(mutation)
    if lane.unsaved >= SNAPSHOT_EVERY:
        unit += _snapshot(lane)
    return unit, events


def _mutation(lane: Lane, fact: Fact, effect: Effect) -> Mutation | None:
    if isinstance(effect, fx.TrialChanged):
        return db.UpdateTrial(
            id=effect.trial_id,
            state=effect.state,
            run_id=effect.run_id,
            phase=effect.phase,
            restarts=effect.restarts,
            closed=effect.closed,
            ended_at=fact.at if effect.state.is_terminal else None,
        )
    if isinstance(effect, fx.TrialAdvanced):
        return db.UpdateTrialUnits(id=effect.trial_id, units=effect.units)
    if isinstance(effect, fx.TrialAdded):
        return db.InsertTrial(trial=_new_trial(lane, fact, effect))
    if isinstance(effect, fx.ExperimentChanged):
        engine = lane.engine
        return db.UpdateExperiment(
            id=lane.id,
            state=engine.state,
            progress=engine.progress,
            ended_at=engine.ended_at,
            message=engine.message,
        )
    if isinstance(effect, fx.EventsAcknowledged) and isinstance(fact, facts.OperationsPosted):
        return db.PutBatch(experiment_id=lane.id, trigger=effect.event_id, digest=fact.digest)
    if isinstance(effect, fx.RunStart) and isinstance(fact, facts.SlotsGranted):
        return db.PutRun(run=_new_run(lane, fact))
    if isinstance(effect, fx.RunEnded):
        return _ended_run(lane, fact, effect)
    if isinstance(effect, fx.ExperimentEnded):
        return db.PatchExperiment(id=lane.id, changes={"uncollected": True})
    if isinstance(effect, fx.LogWritten):
        return db.AppendLogs(records=(_log_record(lane, fact, effect),))
    return None


def _new_trial(lane: Lane, fact: Fact, effect: fx.TrialAdded) -> Trial:
    seed = CUSTOM_TRIAL_SEED
    if not lane.is_custom:
        seed = random.Random(f"{lane.config.seed}/{effect.request_id}").randrange(2**31)
    trial = Trial(
        id=effect.trial_id,
        experiment_id=lane.id,
        request_id=effect.request_id,
        state=effect.state,
        hparams=effect.hparams,
        seed=seed,
        created_at=fact.at,
        warm_start=effect.warm_start,
    )
    lane.remember_new_trial(trial)
    return trial


def _new_run(lane: Lane, fact: facts.SlotsGranted) -> Run:
    trial = lane.engine.trials[fact.trial_id]
    return Run(
        allocation_id=allocation_id(lane.id, trial.request_id, fact.run_id),
        experiment_id=lane.id,
        trial_id=fact.trial_id,
        run_id=fact.run_id,
        agent=fact.agent,
        slot_ids=fact.slot_ids,
        granted_at=fact.at,
    )


def _ended_run(lane: Lane, fact: Fact, effect: fx.RunEnded) -> Mutation | None:
    run = lane.runs.get(effect.trial_id)
    if run is None:
        return None
    ended = msgspec.structs.replace(run, ended_at=fact.at, code=effect.code, reason=effect.reason)
    return db.PutRun(run=ended)


def _log_record(lane: Lane, fact: Fact, effect: fx.LogWritten) -> LogRecord:
    run = lane.runs.get(effect.trial_id)
    return LogRecord(
        trial_id=effect.trial_id,
        run_id=effect.run_id,
        allocation_id="" if run is None else run.allocation_id,
        at=fact.at,
        text=effect.text,
        level=effect.level,
        source="master",
    )


def _snapshot(lane: Lane) -> list[Mutation]:
    lane.unsaved = 0
    parts = snapshot.take(lane.engine)
    return [db.PutState(experiment_id=lane.id, part=part, seq=lane.seq, body=body) for part, body in parts.items()]


def trial_of(fact: Fact) -> TrialId | None:
    """The trial that a fact is about, if it is about one."""
    return getattr(fact, "trial_id", None)

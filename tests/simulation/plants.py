"""Bugs to plant, in the engine and around it, so that the simulation can show that it would notice them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from determined.domain import facts
from determined.domain.events import TrialProgress
from determined.domain.states import RunPhase
from determined.engine import effects as fx
from determined.engine import experiment, operations, reports, runs, slots, snapshot
from determined.engine.core import Core
from determined.engine.experiment import Experiment
from determined.engine.trial import LiveRun, Trial, judge_exit
from determined.errors import StaleRun
from determined.wire.searcher import operations_digest
from tests.simulation import runner
from tests.simulation.disk import Disk, Unit
from tests.simulation.launcher import Launcher
from tests.simulation.master import Master
from tests.simulation.processes import Script
from tests.simulation.requests import Requests
from tests.simulation.runner import SimulatedRunner

Patch = pytest.MonkeyPatch
_HANDLERS: dict[Any, Any] = experiment._HANDLERS


def event_ids_from_memory(patch: Patch) -> None:
    """After a restart, ids of events are counted from what memory holds, not from the journal."""
    real = Disk.load

    def load(self: Disk, *, from_start: bool = False) -> Experiment:
        engine = real(self, from_start=from_start)
        engine.last_event = max(engine.answered, engine.last_event - 1)
        return engine

    patch.setattr(Disk, "load", load)


def apply_a_repeated_batch_again(patch: Patch) -> None:
    """A batch that was applied, and whose answer was lost, is applied once more."""
    patch.setattr(operations, "_check_trigger", lambda engine, trigger: None)


def apply_half_a_batch(patch: Patch) -> None:
    """Of a long batch the end is lost."""
    real = operations._apply
    patch.setattr(operations, "_apply", lambda engine, ops, first: real(engine, ops[:9], first))


def forget_names_of_reports(patch: Patch) -> None:
    """A report of progress that is sent again is a new one."""

    def on_progress(engine: Core, fact: facts.ProgressReported) -> None:
        trial, _ = engine.current_run(fact.trial_id, fact.run_id)
        engine.out.rest.append(fx.TrialAdvanced(trial.id, fact.units))
        engine.enqueue(TrialProgress(trial.request_id, fact.units))

    patch.setitem(_HANDLERS, facts.ProgressReported, on_progress)


def remember_one_name_only(patch: Patch) -> None:
    """A report that comes again after its successor is a new one."""
    real = reports.on_progress

    def on_progress(engine: Core, fact: facts.ProgressReported) -> None:
        _, run = engine.current_run(fact.trial_id, fact.run_id)
        run.reports = run.reports[-1:]
        real(engine, fact)

    patch.setitem(_HANDLERS, facts.ProgressReported, on_progress)


def redo_nothing_after_a_restart(patch: Patch) -> None:
    """What was ordered and not done stays undone."""
    patch.setattr(Experiment, "resume", lambda self, at: [])


def hear_any_run(patch: Patch) -> None:
    """The engine listens to every run of a trial that has one."""

    def current_run(self: Core, trial_id: Any, run_id: Any) -> tuple[Trial, LiveRun]:
        trial = self.trials.get(trial_id)
        if trial is None or trial.run is None or trial.run.phase is RunPhase.QUEUED:
            raise StaleRun("there is none")
        return trial, trial.run

    patch.setattr(Core, "current_run", current_run)


def take_any_caller_for_the_current_run(patch: Patch) -> None:
    """The master does not look at which run a call comes from."""
    real = Requests._who

    def who(self: Requests, call: Any) -> dict[str, Any]:
        about = real(self, call)
        trial = self.master.engine.trials.get(about["trial_id"])
        return about if trial is None else {**about, "run_id": trial.runs}

    patch.setattr(Requests, "_who", who)


def answer_before_the_commit(patch: Patch) -> None:
    """Reports and answers are acknowledged while they are on their way to the disk."""
    real = Master.submit

    def submit(self: Master, fact: Any, done: Any = None, source: Any = None, extra: Any = None) -> None:
        real(self, fact, None, source, extra)
        if done is not None:
            done(None)

    patch.setattr(Master, "submit", submit)


def store_half_a_unit(patch: Patch) -> None:
    """Events may be stored although the fact that made them is not."""
    real = Master.die

    def die(self: Master, stored: int = 0) -> None:
        cut: list[Unit] = self._pending[stored:]
        real(self, stored)
        for unit in cut:
            for effect in unit.effects:
                if isinstance(effect, fx.EventEnqueued):
                    self.disk._store(unit.fact, effect)

    patch.setattr(Master, "die", die)


def snapshot_without_trials(patch: Patch) -> None:
    """Snapshots hold the experiment but not its trials."""
    real = snapshot.take
    patch.setattr(snapshot, "take", lambda engine: {k: v for k, v in real(engine).items() if k == snapshot.HEAD})


def start_runs_anew(patch: Patch) -> None:
    """A restarted master takes live runs for lost ones."""
    patch.setattr(Launcher, "adopt", lambda self, key: False)


def forget_who_holds_slots(patch: Patch) -> None:
    """A restarted master takes the slots of live runs for free ones."""
    patch.setattr(slots.SlotPool, "hold", lambda self, request, slot_ids: None)


def go_on_from_the_first_checkpoint(patch: Patch) -> None:
    """A run that follows another begins where the trial first saved."""

    def remember(self: Trial, uuid: str, steps: int) -> None:
        if self.checkpoint is None:
            self.checkpoint, self.checkpoint_steps = uuid, steps

    patch.setattr(Trial, "remember_checkpoint", remember)


def restart_once_too_often(patch: Patch) -> None:
    """One more than ``max_restarts``."""
    real = judge_exit
    patch.setattr(runs, "judge_exit", lambda trial, run, code, most: real(trial, run, code, most + 1))


def count_losses_as_failures(patch: Patch) -> None:
    """A run that was lost counts against its trial."""
    real = judge_exit
    patch.setattr(
        runs, "judge_exit", lambda trial, run, code, most: real(trial, run, 1 if code is None else code, most)
    )


def refuse_a_repeated_completion(patch: Patch) -> None:
    """The answer to a completion was lost, and the report that comes again is refused."""
    patch.setattr(reports, "_is_repeat", lambda trial, fact: False)


def send_before_saving(patch: Patch) -> None:
    """The runner saves its state only once its answer has been taken."""
    real_save, real_send = SimulatedRunner.save_state, runner._send
    late: list[Any] = []

    def save(self: SimulatedRunner, experiment_id: int, ops: list[Any]) -> None:
        late.append(ops)
        self.saves.answers[self.state.last_event_id] = operations_digest(ops)

    def send(me: SimulatedRunner, epoch: int) -> Script:
        yield from real_send(me, epoch)
        while late:
            real_save(me, 1, late.pop())

    patch.setattr(SimulatedRunner, "save_state", save)
    patch.setattr(runner, "_send", send)


def hear_the_last_event_again(patch: Patch) -> None:
    """A runner that is started again does not know that it has handled the newest event."""
    real = SimulatedRunner.load_state

    def load(self: SimulatedRunner, experiment_id: Any) -> tuple[int, list[Any]]:
        found = real(self, experiment_id)
        self.state.last_event_id = max(self.state.last_event_id - 1, 0)
        return found

    patch.setattr(SimulatedRunner, "load_state", load)


def do_not_answer_again(patch: Patch) -> None:
    """A runner that is started again takes its newest answer for delivered."""
    patch.setattr(SimulatedRunner, "_resubmit", lambda self, session, experiment_id, known, ops: None)


def forget_the_method(patch: Patch) -> None:
    """A runner that is started again goes on with a new method."""
    real = SimulatedRunner.load_state

    def load(self: SimulatedRunner, experiment_id: Any) -> tuple[int, list[Any]]:
        kept = dict(self.search_method.snapshot() or {})
        found = real(self, experiment_id)
        self.search_method.restore({**(self.search_method.snapshot() or {}), "loss": kept["loss"]})
        return found

    patch.setattr(SimulatedRunner, "load_state", load)


PLANTS: Mapping[str, Callable[[Patch], None]] = {
    plant.__name__: plant
    for plant in (
        event_ids_from_memory,
        apply_a_repeated_batch_again,
        apply_half_a_batch,
        forget_names_of_reports,
        remember_one_name_only,
        redo_nothing_after_a_restart,
        hear_any_run,
        take_any_caller_for_the_current_run,
        answer_before_the_commit,
        store_half_a_unit,
        snapshot_without_trials,
        start_runs_anew,
        forget_who_holds_slots,
        go_on_from_the_first_checkpoint,
        restart_once_too_often,
        count_losses_as_failures,
        refuse_a_repeated_completion,
        send_before_saving,
        hear_the_last_event_again,
        do_not_answer_again,
        forget_the_method,
    )
}

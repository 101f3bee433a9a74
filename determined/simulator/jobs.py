"""What the process of a simulated trial does: it starts, trains, validates, saves, fails, waits for work, and exits."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from determined.domain import facts
from determined.domain.states import TrialState
from determined.errors import InvalidInput
from determined.simulator.metrics import number_in
from determined.simulator.model import Failure, FailureKind, Hparams, TrialModel
from determined.simulator.process import NEVER, Act, Process, checkpoint_id
from determined.simulator.result import Best

if TYPE_CHECKING:
    from determined.simulator.world import World

KILLED = 137
"""Exit code of a process that was killed."""
_EXIT_CODES = {FailureKind.ERRORED: 1, FailureKind.INVALID_HP: 0, FailureKind.STOPPED: 0, FailureKind.LOST: None}
_ENDS = (FailureKind.INVALID_HP, FailureKind.STOPPED)


class Hazards:
    """Draws what slows a job down or ends it. Nothing is drawn for what cannot happen."""

    def __init__(self, model: TrialModel, rng: random.Random) -> None:
        self.model = model
        self.rng = rng
        # A probability within a time unit, at any moment of it: the waiting time is exponential.
        self.rates = [
            (-math.log1p(-probability), kind)
            for probability, kind in (
                (model.drop_probability, FailureKind.LOST),
                (model.error_probability, FailureKind.ERRORED),
            )
            if probability
        ]
        self.is_safe = not (self.rates or model.invalid_probability or model.failure)

    def slowed(self, pace: float) -> float:
        """What a unit takes in a job."""
        std = self.model.straggler_std
        return pace * (1.0 + abs(self.rng.gauss(0.0, std))) if std else pace

    def failure(self, process: Process, duration: float) -> tuple[float, FailureKind | None]:
        """After what time a job fails, and how: the first of everything that would happen to it."""
        planned: list[tuple[float, FailureKind]] = []
        is_first = process.run_id == 1 and not process.lengths
        if self.model.invalid_probability and is_first and self.rng.random() < self.model.invalid_probability:
            planned.append((0.0, FailureKind.INVALID_HP))
        for rate, kind in self.rates:
            after = self.rng.expovariate(rate)
            if after < duration:
                planned.append((after, kind))
        if self.model.failure is not None and (told := self.model.failure(process.hparams, process.order)) is not None:
            failure = told if isinstance(told, Failure) else Failure(told)
            planned.append((failure.after * duration, FailureKind(failure.kind)))
        return min(planned, key=lambda plan: plan[0], default=(NEVER, None))


def go_on(world: World, process: Process) -> None:
    """A process asks for its next operation: it takes it up, or exits, or waits for it."""
    if process.act is Act.EXIT and process.due:
        return
    trial = world.search.engine.trials[process.trial_id]
    if not trial.complete and trial.length is not None:
        world.workers.idle.pop(process.trial_id, None)
        process.begin_work(world.now)
        _begin_job(world, process, trial.length)
    elif trial.closed or trial.state is not TrialState.ACTIVE:
        leave(world, process, 0)
    elif process.trial_id not in world.workers.idle:
        process.end_work(world.now)
        world.workers.rest(process)


def leave(world: World, process: Process, code: int | None) -> None:
    """A process exits now; with code 0 in good order."""
    at, trial_id, run_id = world.now, process.trial_id, process.run_id
    if code == 0:
        world.tell(facts.ExitAcknowledged(at=at, trial_id=trial_id, run_id=run_id))
    world.tell(facts.RunExited(at=at, trial_id=trial_id, run_id=run_id, code=code))


def order_exit(world: World, process: Process, code: int) -> None:
    """Let a process exit at once, but only after the engine has said all that it has to say now."""
    if process.act is Act.EXIT and process.due:
        # It is on its way out; being killed is the stronger order.
        process.exit_code = max(process.exit_code, code)
        return
    if process.trial_id not in world.workers.idle:
        _count_partial_work(world, process)
    process.exit_code = code
    world.schedule(process, Act.EXIT, world.now)


def start(world: World, process: Process) -> None:
    """A process passes its start line."""
    world.tell(facts.RunSeen(at=world.now, trial_id=process.trial_id, run_id=process.run_id))
    go_on(world, process)


def _begin_job(world: World, process: Process, length: int) -> None:
    if world.model.from_scratch:
        process.position = 0.0
    process.order, process.base, process.began = length, process.position, world.now
    hazards = world.hazards
    process.job_pace = hazards.slowed(process.pace)
    work = max(length - process.base, 0.0)
    process.fails_at, process.failure = NEVER, None
    if not hazards.is_safe:
        after, process.failure = hazards.failure(process, work * process.job_pace)
        process.fails_at = world.now + after
    step = min(world.model.report_every or work, work)
    process.next_position = process.base + step
    due, act = process.began + step * process.job_pace, Act.REPORT if step < work else Act.TRAINED
    if due >= process.fails_at:
        due, act = process.fails_at, Act.FAIL
    world.schedule(process, act, due)


def _on_trained(world: World, process: Process) -> None:
    at, trained = world.now, process.next_position - process.position
    if trained:
        process.position = process.next_position
        process.units += trained
        world.units += trained
        world.reports += 1
        world.search.report(
            facts.ProgressReported(at=at, trial_id=process.trial_id, run_id=process.run_id, units=process.position)
        )
    if world.model.validation_time:
        world.schedule(process, Act.VALIDATED, at + world.model.validation_time)
    else:
        _on_validated(world, process)


def _on_validated(world: World, process: Process) -> None:
    trial = world.search.engine.trials[process.trial_id]
    if trial.complete or trial.length != process.order:
        # The method has changed its mind meanwhile. The master refuses the report, and the script fails of that.
        leave(world, process, 1)
        return
    model, length = world.model, process.order
    _save(world, process, int(process.position))
    metric = world.plan.curve(process.hparams, _whole(process.position))
    if type(metric) is not float:
        metric = _number(metric, process.hparams, _whole(process.position))
    # There are few, and the garbage collector soon leaves tuples of numbers alone.
    process.lengths += (length,)
    process.metrics += (metric,)
    _compare(world, process, metric)
    told = metric
    if model.completes_with is not None:
        told = model.completes_with(metric, checkpoint_id(process.trial_id, process.saved) if process.saved else "")
    world.tell(
        facts.OperationCompleted(
            at=world.now, trial_id=process.trial_id, run_id=process.run_id, length=length, metric=told
        )
    )
    go_on(world, process)


def _number(metric: Any, hparams: Hparams, length: float) -> float:
    number = number_in(metric)
    if number is None:
        raise InvalidInput(
            f"the curve of {dict(hparams)!r:.120} gave {metric!r:.80} at length {length:g}, which is no metric; it has "
            "to give a number (completes_with of a TrialModel can make something else of it)"
        )
    return number


def _compare(world: World, process: Process, metric: float) -> None:
    if not math.isfinite(metric):
        return
    sign = 1 if world.plan.smaller_is_better else -1
    if process.best is None or sign * metric < sign * process.best:
        process.best = metric
    if not world.best or sign * metric < sign * world.best[-1].metric:
        world.best.append(Best(world.now, world.units, metric, process.request_id, process.order))


def _save(world: World, process: Process, length: int) -> None:
    if world.model.from_scratch or length <= process.saved:
        return
    process.saved = length
    name = checkpoint_id(process.trial_id, length)
    world.tell(
        facts.CheckpointReported(
            at=world.now, trial_id=process.trial_id, run_id=process.run_id, uuid=name, steps=length
        )
    )


def _on_fail(world: World, process: Process) -> None:
    _count_partial_work(world, process)
    kind = process.failure
    assert kind is not None
    if kind in _ENDS:
        process.outcome = kind.value
    if kind is FailureKind.INVALID_HP:
        world.tell(facts.EarlyExitReported(at=world.now, trial_id=process.trial_id, run_id=process.run_id))
    _save_in_passing(world, process)
    code = _EXIT_CODES[kind]
    # Code 0 would be an exit in good order if it were acknowledged.
    world.tell(facts.RunExited(at=world.now, trial_id=process.trial_id, run_id=process.run_id, code=code))


def _on_exit(world: World, process: Process) -> None:
    if process.exit_code == 0:
        _save(world, process, int(process.position))
    else:
        _save_in_passing(world, process)
    leave(world, process, process.exit_code)


def _save_in_passing(world: World, process: Process) -> None:
    """The checkpoints that a process had saved while it trained; only the newest one matters."""
    every = world.model.checkpoint_every
    if every is not None:
        _save(world, process, int(process.position // every * every))


def _count_partial_work(world: World, process: Process) -> None:
    """What was trained since the last report, when training stops in between."""
    if process.act not in (Act.REPORT, Act.TRAINED, Act.FAIL):
        return
    reached = min(process.base + (world.now - process.began) / process.job_pace, process.next_position)
    trained = max(reached - process.position, 0.0)
    process.position += trained
    process.units += trained
    world.units += trained


def _whole(length: float) -> float:
    """An int where the number is one: tables and curve functions look lengths up."""
    return int(length) if length == int(length) else length


ACTS: Mapping[Act, Callable[[World, Process], None]] = {
    Act.START: start,
    Act.TRAINED: _on_trained,
    Act.VALIDATED: _on_validated,
    Act.FAIL: _on_fail,
    Act.EXIT: _on_exit,
}

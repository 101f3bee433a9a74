"""One experiment as a state machine: ``handle(fact) -> [effect]`` is the only way in.

A refused fact raises and leaves everything as it was: each handler checks before it changes. The cost of a fact
does not depend on the number of trials, except for changes of the experiment's own state, which reach each live one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from determined.domain import facts
from determined.domain.facts import DeadlineKind, Fact
from determined.domain.states import RunPhase
from determined.engine import commands, operations, reports, runs
from determined.engine import effects as fx
from determined.engine.core import PREEMPTION_GRACE_S, Core, Settings
from determined.engine.effects import Effect
from determined.engine.operations import AlreadyAnswered
from determined.engine.output import Output
from determined.engine.reports import EARLY_EXIT_GRACE_S
from determined.engine.trial import LiveRun, Trial

__all__ = ["EARLY_EXIT_GRACE_S", "PREEMPTION_GRACE_S", "AlreadyAnswered", "Experiment", "Settings"]


class Experiment(Core):
    """The engine of one experiment; its attributes are for reading only."""

    def handle(self, fact: Fact) -> list[Effect]:
        """Take in one fact.

        Returns:
            What is to be done, in order. Rows (``TrialChanged`` ...) appear at most once each.
        Raises:
            DeterminedError: the fact is refused; nothing has changed.
        """
        self.at = fact.at
        try:
            _HANDLERS[type(fact)](self, fact)
        except BaseException:
            self.out = Output()
            raise
        if not self.trials:
            self.finish_if_over()
        out = self.out
        if out.changed or out.added or out.woken or out.experiment_changed:
            return out.take()
        # Half of all facts change no row.
        rest, out.rest = out.rest, []
        return rest

    def resume(self, at: float) -> list[Effect]:
        """What has to be done again after a restart: everything that was ordered and not seen to be done."""
        self.at = at
        for trial in self.trials.values():
            if trial.run is None:
                continue
            if trial.run.has_process:
                self._take_up(trial, trial.run)
            else:
                wanted = fx.SlotsWanted(trial.id, trial.run.run_id, self.settings.slots_per_trial)
                self.out.rest.append(wanted)
        return self.out.take()

    def _take_up(self, trial: Trial, run: LiveRun) -> None:
        started = run.phase is RunPhase.RUNNING
        self.out.rest.append(fx.RunFound(trial.id, run.run_id, run.slot_ids, *trial.start_from, started))
        if run.invalid_hp:
            self.set_deadline(trial, run, DeadlineKind.EARLY_EXIT, EARLY_EXIT_GRACE_S)
        if run.killed:
            self.out.rest.append(fx.RunKill(trial.id, run.run_id))
        elif run.preempted:
            self.out.rest.append(fx.RunPreempt(trial.id, run.run_id))
            if not run.in_no_hurry:
                self.set_deadline(trial, run, DeadlineKind.PREEMPTION, PREEMPTION_GRACE_S)


_HANDLERS: dict[type[Any], Callable[[Core, Any], None]] = {
    facts.ExperimentCreated: commands.on_created,
    facts.ExperimentCommanded: commands.on_commanded,
    facts.MethodFailed: commands.on_method_failed,
    facts.TrialKillRequested: commands.on_kill_trial,
    facts.TrialCancelRequested: commands.on_cancel_trial,
    facts.OperationsPosted: operations.on_operations,
    facts.SlotsGranted: runs.on_granted,
    facts.RunSeen: runs.on_seen,
    facts.PreemptionRequested: runs.on_preemption_requested,
    facts.DeadlinePassed: runs.on_deadline,
    facts.RunExited: runs.on_exited,
    facts.ProgressReported: reports.on_progress,
    facts.OperationCompleted: reports.on_completed,
    facts.EarlyExitReported: reports.on_early_exit,
    facts.ExitAcknowledged: reports.on_acknowledged,
    facts.MetricsReported: reports.on_metrics,
    facts.CheckpointReported: reports.on_checkpoint,
}

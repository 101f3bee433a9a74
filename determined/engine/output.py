"""Collects what one fact makes the engine say, each row once and in an order that can be carried out as it stands."""

from __future__ import annotations

from determined.domain.ids import TrialId
from determined.engine import effects as fx
from determined.engine.effects import Effect
from determined.engine.trial import Trial


class Output:
    """The effects of one fact in the making.

    Attributes:
        added: rows of new trials.
        changed: trials whose row differs; the row is made last, from what they have come to.
        woken: trials whose next operation may be another now.
        experiment_changed: the experiment's row differs.
        rest: events and actions, in the order in which they were decided.
    """

    __slots__ = ("added", "changed", "experiment_changed", "rest", "woken")

    def __init__(self) -> None:
        self.added: list[Effect] = []
        self.changed: dict[TrialId, Trial] = {}
        self.woken: dict[TrialId, None] = {}
        self.experiment_changed = False
        self.rest: list[Effect] = []

    def take(self) -> list[Effect]:
        """Everything: new rows before their changes, and both before what refers to them; this is empty afterwards.

        The same object serves all facts: there are many, and most fill one or two of its parts.
        """
        out, self.added = self.added, []
        if self.changed:
            # Most facts change one trial: loops cost less than lists of one member.
            for trial in self.changed.values():
                run = trial.run
                phase = None if run is None else run.phase
                out.append(fx.TrialChanged(trial.id, trial.state, trial.runs, phase, trial.restarts, trial.closed))
            self.changed.clear()
        if self.experiment_changed:
            out.append(_EXPERIMENT_CHANGED)
            self.experiment_changed = False
        if self.woken:
            for trial_id in self.woken:
                out.append(fx.OperationChanged(trial_id))
            self.woken.clear()
        out += self.rest
        self.rest = []
        return out


_EXPERIMENT_CHANGED = fx.ExperimentChanged()

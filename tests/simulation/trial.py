"""Model trials: they train in units, report, save, and end in one of several ways, all as their hyperparameters say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from determined.errors import DeterminedError, StorageFailed, Unavailable
from tests.simulation.clock import Clock
from tests.simulation.disk import TrialRow, Violation, demand
from tests.simulation.launcher import Run, Spec
from tests.simulation.processes import Call, Exit, Script, Sleep, patiently

if TYPE_CHECKING:
    from tests.simulation.network import Network

CALL_S, POLL_S, HOLD_S = 30.0, 70.0, 60.0
_PRIME = 2**31 - 1


@dataclass(frozen=True)
class Model:
    """What training makes, and what a checkpoint holds: each unit depends on all that came before it."""

    steps: int
    weights: int

    def trained(self, learning: int) -> Model:
        return Model(self.steps + 1, (self.weights * 48271 + learning + self.steps) % _PRIME)

    @property
    def loss(self) -> float:
        return self.weights / _PRIME


@dataclass
class Storage:
    """Files of checkpoints, and what trials know for certain; outlives everybody.

    Attributes:
        completed: by trial, the greatest length whose completion the master has acknowledged to it.
    """

    files: dict[str, Model] = field(default_factory=dict)
    completed: dict[int, int] = field(default_factory=dict)
    units: int = 0


class Training:
    """One run of a trial.

    Args:
        hparams: ``x`` is what is learnt; ``way`` how the trial ends (fail, invalid, leave) once it has trained ``at``
            units; ``every`` how many units lie between two checkpoints.
        hang_s: how long it takes to notice that it should leave.
    """

    def __init__(self, clock: Clock, storage: Storage, spec: Spec, row: TrialRow, hang_s: float) -> None:
        self.clock = clock
        self.storage = storage
        self.spec = spec
        self.hparams = json.loads(row.hparams)
        self.hang_s = hang_s
        self.should_leave = False
        self.model = Model(0, int(self.hparams["x"]))
        if spec.checkpoint is not None:
            saved = storage.files[spec.checkpoint]
            demand(spec.steps in (0, saved.steps), f"{spec.key} is told to go on from {spec.steps}, not {saved.steps}")
            self.model = Model(spec.steps, saved.weights)
        self.saved = self.model.steps
        self.newest = spec.checkpoint

    def main(self) -> Script:
        """The training script."""
        yield Sleep(self.clock.random.uniform(0.1, 1.0))
        yield from self._ask("seen")
        yield from self._pretend()
        while True:
            length = yield from self._ask("operation", None, POLL_S)
            if length is None:
                yield from self._leave()
            done = self.storage.completed.get(self.spec.trial_id, -1)
            demand(length > done, f"{self.spec.key} is to train to {length}, but has completed {done}")
            yield from self._train(length)
            yield from self._save()
            yield from self._ask("metrics", ("validation", self.model.steps, self.model.loss))
            metric = {"loss": self.model.loss, "checkpoint": self.newest}
            yield from self._ask("completed", (length, metric))
            self.storage.completed[self.spec.trial_id] = max(length, done)

    def watch(self) -> Script:
        """The thread that waits for the signal to leave."""
        while not self.should_leave:
            try:
                self.should_leave = yield Call("preemption", self.spec.key, HOLD_S, POLL_S)
            except (Unavailable, StorageFailed):
                yield Sleep(self.clock.random.uniform(0.1, 2.0))
            except DeterminedError as e:
                raise Violation(f"run {self.spec.key} lives, and may not ask for its signal: {e}") from e

    def _train(self, length: int) -> Script:
        while self.model.steps < length:
            done = self.storage.completed.get(self.spec.trial_id, 0)
            demand(self.model.steps >= done, f"{self.spec.key} trains unit {self.model.steps} of {done} completed ones")
            yield Sleep(self.clock.random.uniform(0.5, 2.0))
            self.model = self.model.trained(int(self.hparams["x"]))
            self.storage.units += 1
            yield from self._ask("metrics", ("training", self.model.steps, self.model.loss))
            # Names are unique, as those of the Core API are.
            name = f"{self.spec.run_id}-{self.clock.random.getrandbits(64):016x}"
            yield from self._ask("progress", (float(self.model.steps), name))
            yield from self._pretend()
            if self.model.steps - self.saved >= self.hparams.get("every", 3):
                yield from self._save()
            if self.should_leave:
                yield Sleep(self.hang_s)
                yield from self._save()
                yield from self._leave()

    def _pretend(self) -> Script:
        """End as the hyperparameters say, once it is time."""
        way = self.hparams.get("way")
        if way is None or self.model.steps < self.hparams.get("at", 0):
            return
        if way == "invalid":
            yield from self._ask("early_exit")
            yield Sleep(self.hang_s)
            raise Exit(self.clock.random.choice((0, 1)))
        raise Exit(1 if way == "fail" else 0)

    def _save(self) -> Script:
        if self.newest is not None and self.saved == self.model.steps:
            return
        yield Sleep(self.clock.random.uniform(0.05, 0.3))
        uuid = str(UUID(int=self.clock.random.getrandbits(128)))
        self.storage.files[uuid] = self.model
        yield from self._ask("checkpoint", (uuid, self.model.steps))
        self.newest, self.saved = uuid, self.model.steps

    def _leave(self) -> Script:
        yield from self._ask("ack")
        yield Sleep(self.clock.random.uniform(0.01, 0.5))
        raise Exit(0)

    def _ask(self, kind: str, body: Any = None, timeout_s: float = CALL_S) -> Script:
        try:
            return (yield from patiently(Call(kind, self.spec.key, body, timeout_s)))
        except DeterminedError as e:
            # Whoever lives is the current run, and nothing that it says in order may be refused.
            raise Violation(f"run {self.spec.key} lives, and its {kind} is refused: {e}") from e


def open_run(run: Run, clock: Clock, network: Network, training: Training, ended: Any) -> None:
    """Give a run its two threads of life; it is over when the first of them ends."""
    from tests.simulation.processes import Process

    name = f"trial {run.spec.trial_id} run {run.spec.run_id}"
    main = Process(clock, network, name, training.main(), lambda code: ended(run, code))
    watcher = Process(clock, network, f"{name} watcher", training.watch(), lambda code: None)
    run.processes += [main, watcher]

"""How many facts per second the engine takes in, and whether that depends on how many trials there are.

Run it with ``python -m bench.engine``. The stream is what an asynchronous halving search makes of its trials: each is
created, started, reports progress, completes a rung and idles; every fourth is promoted and goes on from its
checkpoint. Nobody closes a trial before the end, so all of them stay alive in the engine.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from bench.support import Check, Section, table
from determined.domain import facts
from determined.domain.facts import Fact
from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.engine import snapshot
from determined.engine.experiment import Experiment, Settings

PROGRESS_REPORTS = 5
PROMOTE_EVERY = 4
TARGET_PER_S = 30_000
FLAT_WITHIN = 1.2
SNAPSHOT_EVERY = 256
CHUNK = 250
HPARAMS = '{"lr": 0.001, "width": 64}'


class Stream:
    """Makes the facts of one search; reads nothing of the engine but its newest event."""

    def __init__(self, engine: Experiment, trials: int) -> None:
        self.engine = engine
        self.trials = trials
        self._clock = itertools.count(1.0)

    def facts(self) -> Iterator[Fact]:
        """All facts but the last, which ends the search."""
        yield facts.ExperimentCreated(at=0.0, active=True)
        for number in range(1, self.trials + 1):
            trial_id, request_id = TrialId(number), uuid.UUID(int=number)
            yield self._answer(trial_id, Create(request_id, HPARAMS), ValidateAfter(request_id, 100))
            yield from self._run(trial_id, RunId(1), 100)
            if number % PROMOTE_EVERY == 0:
                yield self._answer(trial_id, ValidateAfter(request_id, 400))
                yield from self._run(trial_id, RunId(2), 400)

    def end(self) -> Fact:
        """The search closes one trial and shuts down; this reaches every trial."""
        return self._answer(TrialId(0), Close(uuid.UUID(int=1)), Shutdown())

    def _answer(self, first: TrialId, *operations: Operation) -> Fact:
        return facts.OperationsPosted(
            at=next(self._clock),
            operations=(*operations, Progress(first / self.trials)),
            trigger=self.engine.last_event,
            first_trial_id=first,
        )

    def _run(self, trial_id: TrialId, run_id: RunId, length: int) -> Iterator[Fact]:
        at = self._clock
        yield facts.SlotsGranted(at=next(at), trial_id=trial_id, run_id=run_id, slot_ids=(0,), agent="bench")
        yield facts.RunSeen(at=next(at), trial_id=trial_id, run_id=run_id)
        for part in range(1, PROGRESS_REPORTS + 1):
            units = length * part / PROGRESS_REPORTS
            yield facts.ProgressReported(at=next(at), trial_id=trial_id, run_id=run_id, units=units)
        name = f"{trial_id}-{run_id}"
        yield facts.MetricsReported(at=next(at), trial_id=trial_id, run_id=run_id, group="validation", steps=length)
        yield facts.CheckpointReported(at=next(at), trial_id=trial_id, run_id=run_id, uuid=name, steps=length)
        yield facts.OperationCompleted(at=next(at), trial_id=trial_id, run_id=run_id, length=length, metric=0.5)
        yield facts.ExitAcknowledged(at=next(at), trial_id=trial_id, run_id=run_id)
        yield facts.RunExited(at=next(at), trial_id=trial_id, run_id=run_id, code=0)


@dataclass(frozen=True, slots=True)
class Result:
    """What one size gave. ``ratio``: time per fact in the last tenth over that in the first."""

    trials: int
    facts: int
    effects: int
    seconds: float
    ratio: float
    end_s: float

    @property
    def per_second(self) -> float:
        """Facts handled in a second."""
        return self.facts / self.seconds


def measure(trials: int) -> Result:
    """The middle one of several runs, more of them the shorter they are."""
    runs = sorted((_run(trials) for _ in range(max(3, 20_000 // trials))), key=lambda r: r.ratio)
    return runs[len(runs) // 2]


def _run(trials: int) -> Result:
    """Drive one engine through a search of so many trials.

    Processor time is measured, so that other processes do not count. It includes making the facts, and the snapshot
    that is taken every so often, as in the master.
    """
    engine = Experiment(Settings(ExperimentId(1)))
    stream = Stream(engine, trials)
    chunks: list[float] = []
    effects = 0
    gc.collect()
    mark = time.process_time()
    for count, fact in enumerate(stream.facts(), 1):
        effects += len(engine.handle(fact))
        if count % SNAPSHOT_EVERY == 0:
            snapshot.take(engine)
        if count % CHUNK == 0:
            now = time.process_time()
            chunks.append(now - mark)
            mark = now
    tenth = max(len(chunks) // 10, 1)
    ratio = statistics.median(chunks[-tenth:]) / statistics.median(chunks[:tenth])
    mark = time.process_time()
    effects += len(engine.handle(stream.end()))
    return Result(trials, len(chunks) * CHUNK, effects, sum(chunks), ratio, time.process_time() - mark)


def main(quick: bool = False) -> Section:
    """Measure."""
    rows, checks = [], []
    figures: dict[str, float] = {}
    for trials in (1_000, 10_000) if quick else (1_000, 10_000, 100_000):
        r = measure(trials)
        rows.append([trials, r.facts, f"{r.per_second:.0f}", f"{r.ratio:.2f}", f"{r.end_s * 1000:.1f}"])
        figures |= {f"facts_per_s_at_{trials}": r.per_second, f"last_to_first_at_{trials}": r.ratio}
        checks += [
            Check(f"at least {TARGET_PER_S} facts/s at {trials} trials", r.per_second, r.per_second >= TARGET_PER_S),
            Check(f"last tenth within {FLAT_WITHIN}x of the first at {trials}", r.ratio, r.ratio <= FLAT_WITHIN),
        ]
    head = ["trials", "facts", "facts/s", "last tenth / first tenth, time per fact", "shutdown of all, ms"]
    return Section("engine", table("Engine", head, rows), figures, checks)


if __name__ == "__main__":
    section = main()
    print(section)
    sys.exit(not section.met)

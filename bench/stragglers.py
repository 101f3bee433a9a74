"""Slow and lost jobs: how many configurations successive halving trains to the end, with a barrier and without.

Run it with ``python -m bench.stragglers [--repeats N] [--write FILE] [--plot FILE]``. The simulation is that of
Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, appendix A.1: divisor 4, lengths from 1 to
256, 25 workers, 2,000 units of time. A job takes its length times 1 + |z|, z normal with the given standard deviation;
in each unit of time it is lost with probability p, and then queued again. Each configuration has one score, drawn
uniformly.

Synchronous halving (brackets of 256) and halving with promotion train from the beginning in each rung; halving that
stops trials goes on from checkpoints.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.support import Check, Section, table
from bench.synchronous_halving import SynchronousHalving
from determined.domain.events import SearcherEvent, ValidationCompleted
from determined.domain.hparams import Double, Space
from determined.domain.operations import Operation
from determined.domain.search_method import SearchMethod
from determined.methods.async_halving import AsyncHalvingSearch
from determined.simulator.model import Limits, TrialModel
from determined.simulator.run import simulate

STDS = (0.10, 0.24, 0.56, 1.33)
DROPS = (0.0, 0.001, 0.002, 0.005, 0.01)
REPEATS = 25
DIVISOR, LONGEST, WIDTH, WORKERS, TIME = 4, 256, 256, 25, 2000.0
RUNGS = 5
SPACE = Space.of({"score": Double(0.0, 1.0)})
ENDLESS = 2**31 - 1


def synchronous(seed: int) -> SearchMethod:
    return SynchronousHalving(SPACE, LONGEST, WIDTH, divisor=DIVISOR, workers=WORKERS, seed=seed)


def promotion(seed: int) -> SearchMethod:
    return AsyncHalvingSearch(SPACE, LONGEST, ENDLESS, RUNGS, divisor=DIVISOR, max_concurrent_trials=WORKERS, seed=seed)


def stopping(seed: int) -> SearchMethod:
    return AsyncHalvingSearch(
        SPACE, LONGEST, ENDLESS, RUNGS, divisor=DIVISOR, max_concurrent_trials=WORKERS, stop_once=True, seed=seed
    )


METHODS: Mapping[str, tuple[Callable[[int], SearchMethod], bool]] = {
    "synchronous": (synchronous, True),
    "promotion": (promotion, True),
    "stopping": (stopping, False),
}
"""Each with whether it trains from the beginning in each rung."""


@dataclass(frozen=True)
class Outcome:
    """Of one simulation: configurations that were trained to the end, and when the first of them was."""

    trained: int
    first: float


@dataclass(frozen=True)
class Cell:
    """All repeats of one method under one kind of trouble. A search that trained none counts as done at the end."""

    outcomes: Sequence[Outcome]

    def trained(self) -> tuple[float, float]:
        """Mean and standard error."""
        return _mean([outcome.trained for outcome in self.outcomes])

    def first(self) -> tuple[float, float]:
        """Mean and standard error."""
        return _mean([min(outcome.first, TIME) for outcome in self.outcomes])


def play(method: str, std: float, drop: float, seed: int) -> Outcome:
    """One simulation."""
    make, from_scratch = METHODS[method]
    ends: list[float] = []

    def note(at: float, event: SearcherEvent, answer: Sequence[Operation]) -> None:
        if type(event) is ValidationCompleted and event.length == LONGEST:
            ends.append(at)

    simulate(
        make(seed),
        curve=score,
        workers=WORKERS,
        seed=seed,
        trials=TrialModel(straggler_std=std, drop_probability=drop, from_scratch=from_scratch, report_every=None),
        limits=Limits(max_time=TIME),
        on_event=note,
        keep_decisions=False,
    )
    return Outcome(len(ends), min(ends, default=math.inf))


def score(hparams: Mapping[str, Any], length: float) -> float:
    """The same at every length."""
    return float(hparams["score"])


def measure(repeats: int) -> Mapping[tuple[str, float, float], Cell]:
    """Every method under every kind of trouble; the repeats are spread over the cores."""
    jobs = [(m, s, d, seed) for m, s, d in itertools.product(METHODS, STDS, DROPS) for seed in range(repeats)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(play, *zip(*jobs, strict=True), chunksize=5))
    cells: dict[tuple[str, float, float], list[Outcome]] = {}
    for (method, std, drop, _), outcome in zip(jobs, outcomes, strict=True):
        cells.setdefault((method, std, drop), []).append(outcome)
    return {key: Cell(found) for key, found in cells.items()}


def is_ahead(ours: tuple[float, float], theirs: tuple[float, float], *, more: bool, within: float) -> bool:
    """Whether a mean beats another one, or is behind by no more than so many standard errors of the difference."""
    lead = ours[0] - theirs[0] if more else theirs[0] - ours[0]
    return lead > -within * math.hypot(ours[1], theirs[1]) if within else lead > 0


def checks(cells: Mapping[tuple[str, float, float], Cell]) -> list[Check]:
    """Halving without a barrier is ahead in both columns of every cell; at the hardest one, within noise."""
    found = []
    for method in ("promotion", "stopping"):
        behind = 0
        for std, drop in itertools.product(STDS, DROPS):
            ours, theirs = cells[method, std, drop], cells["synchronous", std, drop]
            within = 2.0 if (std, drop) == (STDS[-1], DROPS[-1]) else 0.0
            behind += not is_ahead(ours.trained(), theirs.trained(), more=True, within=within)
            behind += not is_ahead(ours.first(), theirs.first(), more=False, within=within)
        found.append(
            Check(f"{method} is ahead of synchronous halving in both columns of all cells", behind, behind == 0)
        )
    return found


def main(quick: bool, repeats: int = REPEATS) -> Section:
    cells = measure(3 if quick else repeats)
    head = ["std", "p"]
    head += [f"{method}: trained to {LONGEST}" for method in METHODS] + [f"{method}: first at" for method in METHODS]
    rows = []
    for std, drop in itertools.product(STDS, DROPS):
        row = [f"{std:.2f}", f"{drop:g}"]
        row += [_show(cells[method, std, drop].trained()) for method in METHODS]
        row += [_show(cells[method, std, drop].first()) for method in METHODS]
        rows.append(row)
    title = f"Slow and lost jobs: mean of {len(next(iter(cells.values())).outcomes)} repeats, with standard errors"
    figures = {
        f"{method}_{std}_{drop}_{name}": value
        for (method, std, drop), cell in cells.items()
        for name, value in (("trained", cell.trained()[0]), ("first", cell.first()[0]))
    }
    return Section("stragglers", table(title, head, rows), figures, checks(cells))


def plot(section: Section, path: Path) -> None:
    """Both columns against the probability of losing a job, a panel for each standard deviation."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(STDS), figsize=(3 * len(STDS), 5.4), sharex=True, sharey="row")
    for row, (name, label) in enumerate((("trained", f"trained to {LONGEST}"), ("first", "time of the first"))):
        for column, std in enumerate(STDS):
            axis = axes[row][column]
            for method in METHODS:
                values = [section.figures[f"{method}_{std}_{drop}_{name}"] for drop in DROPS]
                axis.plot(DROPS, values, marker="o", label=method)
            axis.set_title(f"std {std:.2f}" if row == 0 else "")
            axis.set_xlabel("p of losing a job" if row else "")
            axis.set_ylabel(label if column == 0 else "")
    axes[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)


def _mean(values: Sequence[float]) -> tuple[float, float]:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return statistics.fmean(values), spread / math.sqrt(len(values))


def _show(value: tuple[float, float]) -> str:
    return f"{value[0]:.1f} ± {value[1]:.1f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.stragglers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table to a file as well")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the table")
    args = parser.parse_args()
    result = main(False, args.repeats)
    print(result)
    if args.write:
        args.write.write_text(f"{result}")
    if args.plot:
        plot(result, args.plot)
    sys.exit(0 if result.met else 1)

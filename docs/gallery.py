"""Draws the pictures of docs/methods.md: ``python docs/gallery.py``; each method in the simulator, on the same problem.

A trial's loss falls from 1 towards a floor that depends on its point; four trials train at once.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from determined import searcher
from determined.domain.search_method import SearchMethod

IMAGES = Path(__file__).parent / "images"
SPACE = {"lr": searcher.loguniform(1e-4, 1e-1), "width": searcher.randint(1, 8)}
LENGTH, TRIALS, WORKERS = 27, 40, 4


def loss(hparams: Mapping[str, Any], length: float) -> float:
    """The floor is lowest at a learning rate of 0.01 and a width of 6; wide ones learn more slowly."""
    lr, width = float(hparams["lr"]), float(hparams["width"])
    floor = 0.05 * (math.log10(lr) + 2) ** 2 + 0.01 * (width - 6) ** 2
    return floor + (1 - floor) * math.exp(-length / (2.0 + 0.2 * width))


METHODS: Mapping[str, Callable[[], SearchMethod]] = {
    "single": lambda: searcher.SingleSearch(SPACE, LENGTH, seed=1),
    "random": lambda: searcher.RandomSearch(SPACE, LENGTH, TRIALS, max_concurrent_trials=WORKERS, seed=1),
    "grid": lambda: searcher.GridSearch(
        {"lr": searcher.loguniform(1e-4, 1e-1, count=5), "width": searcher.randint(1, 8, count=8)},
        LENGTH,
        max_concurrent_trials=WORKERS,
    ),
    "async_halving": lambda: searcher.AsyncHalvingSearch(
        SPACE, LENGTH, TRIALS, 4, divisor=3, max_concurrent_trials=WORKERS, seed=1
    ),
    "async_halving_stop_once": lambda: searcher.AsyncHalvingSearch(
        SPACE, LENGTH, TRIALS, 4, divisor=3, stop_once=True, max_concurrent_trials=WORKERS, seed=1
    ),
    "adaptive_asha": lambda: searcher.AdaptiveASHASearch(
        SPACE, LENGTH, TRIALS, divisor=3, max_concurrent_trials=WORKERS, seed=1
    ),
    "hyperband": lambda: searcher.HyperbandSearch(
        SPACE, LENGTH, TRIALS, divisor=3, max_concurrent_trials=WORKERS, seed=1
    ),
    "pbt": lambda: searcher.PBTSearch(SPACE, LENGTH, WORKERS, num_rounds=9, seed=1),
    "optuna": lambda: searcher.OptunaSearch(SPACE, LENGTH, TRIALS, max_concurrent_trials=WORKERS, seed=1),
}


def simulated(name: str) -> searcher.SimulationResult:
    """The method of this name on the problem."""
    model = searcher.TrialModel(report_every=None)
    return searcher.simulate(METHODS[name](), curve=loss, workers=WORKERS, trials=model, seed=1)


def draw(result: searcher.SimulationResult, path: Path) -> None:
    """Trials as bars over time, as dark as they are long, and the best loss against the units that were trained."""
    import matplotlib
    from matplotlib.figure import Figure

    # Nothing in a file but what is drawn: the same picture is the same file.
    matplotlib.rcParams["svg.hashsalt"] = "determined-search"
    matplotlib.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(9, 3), layout="constrained")
    bars, best = figure.subplots(1, 2)
    for row, trial in enumerate(result.trials):
        if trial.started is not None:
            ended = result.time if trial.ended is None else trial.ended
            share = math.log1p(trial.length) / math.log1p(LENGTH)
            bars.barh(
                row, ended - trial.started, left=trial.started, height=0.9, color=(0.85 - 0.75 * share,) * 2 + (0.9,)
            )
    bars.set(xlabel="time", ylabel="trial")
    bars.invert_yaxis()
    if result.best_so_far:
        units = [point.units for point in result.best_so_far]
        losses = [point.metric for point in result.best_so_far]
        best.step([*units, result.units], [*losses, losses[-1]], where="post")
    best.set(xlabel="units trained", ylabel="best loss", ylim=(0, 1))
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Draw them all, or those that are named."""
    parser = argparse.ArgumentParser(prog="python docs/gallery.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(METHODS)} (default: all)")
    parser.add_argument("--into", type=Path, default=IMAGES, metavar="FOLDER")
    args = parser.parse_args()
    args.into.mkdir(parents=True, exist_ok=True)
    for name in args.names or METHODS:
        result = simulated(name)
        draw(result, args.into / f"{name}.svg")
        best = result.best.metric if result.best else math.nan
        print(
            f"{name}: {len(result.trials)} trials, {result.units:g} units, best {best:.4f} {result.trials_by_length()}"
        )


if __name__ == "__main__":
    main()

"""A whole search with asynchronous halving, beside other tools: from the start of its command to the end.

81 units at most, divisor 3, five rungs, two trials at a time. A unit does nothing, and its metric is computed from the
hyperparameters and reported: what is measured is what the tools add. Everything counts that a command does, such as
imports, and the start and the end of a master or of Ray.

- Ours is a ``LocalSearchRunner`` with ``AsyncHalvingSearch``. It promotes: a trial may be continued after its process
  has ended, in another one, from a checkpoint that it has stored. Reports and decisions are durable.
- Ray Tune and Syne Tune have the variant that stops trials, which needs neither a second process nor a checkpoint. Ray
  Tune is measured with an actor for each trial, its default, and with reused actors, which keep trials no longer apart.
- A trial of Syne Tune trains on while the tuner does not look, which it does every 0.01 s here: hence its many reports.

``bench/peers`` says more. All take turns, and the medians count.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

from bench.contenders import Contender, Measured, Outcome, in_turns, lead, spread
from bench.peers_env import ENVIRONMENTS
from bench.support import Section, table

SMALL, LARGE = 200, 1_000


def ours(trials: int) -> Measured:
    """A search on a master that is started for it."""
    return ENVIRONMENTS["ours"].module("bench.halve", trials)


def ray(how: str) -> Callable[[int], Measured]:
    """A search of Ray Tune with ``actors``, one for each trial, or with ``reused`` ones."""
    return lambda trials: ENVIRONMENTS["ray"].measured("ray_tune.py", "asha", trials, how)


def syne_tune(trials: int) -> Measured:
    """A search of Syne Tune."""
    return ENVIRONMENTS["processes"].measured("syne_tune_local.py", "asha", trials)


def contenders(quick: bool) -> list[Contender]:
    """Ours first, of each size."""
    if quick:
        # No targets: in so short a search the start of a master is most of what ours takes.
        return [Contender("ours", ours, 30), Contender("Syne Tune", syne_tune, 30)]
    reused = Contender("Ray Tune, reused actors", ray("reused"), SMALL, 3, isolated=False, ahead=1.5)
    return [
        Contender("ours", ours, SMALL, 5),
        Contender("Ray Tune, an actor for each trial", ray("actors"), SMALL, ahead=20),
        reused,
        Contender("Syne Tune", syne_tune, SMALL, ahead=5),
        Contender("ours", ours, LARGE, 3),
        replace(reused, trials=LARGE),
    ]


def report(outcomes: list[Outcome]) -> Section:
    """A table, and which targets are met; each contender is compared with ours of its size."""
    own = {o.contender.trials: o.median("wall_s") for o in outcomes if o.contender.name == "ours"}
    rows, figures, checks = [], {}, []
    for outcome in outcomes:
        who, took = outcome.contender, outcome.median("wall_s")
        ratio = took / own[who.trials]
        runs = f"{outcome.median('runs') / who.trials:.2f}" if who.name == "ours" else ""
        alone, reports = "yes" if who.isolated else "no", f"{outcome.median('reports'):.0f}"
        seconds = spread(outcome.values("wall_s"))
        rows.append([who.name, alone, who.trials, who.times, seconds, reports, runs, f"{ratio:.2g}"])
        figures[f"{who.name}, {who.trials} trials s"] = took
        checks += lead(outcome, ratio, "as fast as")
    head = ["", "a process each", "trials", "runs", "s", "reports", "processes per trial", "ours is faster by"]
    return Section(
        "asha", table("Searches with asynchronous halving, two trials at a time", head, rows), figures, checks
    )


def main(quick: bool = False) -> Section:
    """Measure."""
    return report(in_turns(contenders(quick)))


if __name__ == "__main__":
    section = main()
    print(section)
    sys.exit(not section.met)

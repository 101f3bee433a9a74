"""What a trial costs on a Ray cluster, beside Ray Tune on the same cluster, in the same run, two trials at a time.

The cluster has two nodes with one CPU each, and a head. Two kinds of work: trials that import scikit-learn, report one
metric and end; and a search with asynchronous halving, 81 units at most, divisor 3, where a unit does nothing.

What counts is the time from the start of a command to its end. Both connect to a cluster that is there; ours starts a
master too, and stops it. Ray Tune is measured with an actor for each trial, its default, and with reused actors, which
keep trials no longer apart. Ours are processes of their own, forked on their nodes from templates.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.contenders import Contender, Measured, Outcome, in_turns, lead, spread
from bench.peers_env import ENVIRONMENTS, SCRIPTS, last_line
from bench.support import Check, Section, table

NODES = 2
TRIALS, FEW = 200, 20
AHEAD = 2.0
WORKS = {"noop": "trials that do nothing", "asha": "asynchronous halving"}
_OURS = {"noop": "bench.noops", "asha": "bench.halve"}


@contextmanager
def cluster() -> Iterator[str]:
    """The address of a cluster, which ends with the block."""
    command = [str(ENVIRONMENTS["on-ray"].ready()), str(SCRIPTS / "ray_cluster.py"), str(NODES)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError("the Ray cluster did not start")
        yield address
        process.stdin.close()


def ours(work: str, address: str) -> Callable[[int], Measured]:
    """A search on a master that is started for it, in the environment of the cluster."""
    python = str(ENVIRONMENTS["on-ray"].python)
    return lambda trials: last_line([python, "-m", _OURS[work], str(trials), address])


def tune(work: str, how: str, address: str) -> Callable[[int], Measured]:
    """A search of Ray Tune with ``actors``, one for each trial, or with ``reused`` ones."""
    return lambda trials: ENVIRONMENTS["on-ray"].measured("ray_tune.py", work, trials, how, address)


def contenders(work: str, address: str, quick: bool) -> list[Contender]:
    """Ours first."""
    trials, times = (FEW, 1) if quick else (TRIALS, 3)
    reused = Contender("Ray Tune, reused actors", tune(work, "reused", address), trials, times, isolated=False)
    if quick:
        return [Contender("ours", ours(work, address), trials, times), reused]
    actors = Contender("Ray Tune, an actor for each trial", tune(work, "actors", address), trials, ahead=AHEAD)
    return [Contender("ours", ours(work, address), trials, times), actors, reused]


def rows_of(work: str, outcomes: list[Outcome]) -> tuple[list[list[object]], dict[str, float], list[Check]]:
    """Rows for a table, with ours first, figures, and targets."""
    own = outcomes[0].median("wall_s")
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    checks: list[Check] = []
    for outcome in outcomes:
        who, took = outcome.contender, outcome.median("wall_s")
        whole, steady = (1000 * outcome.median(name) / who.trials for name in ("wall_s", "seconds"))
        alone = "yes" if who.isolated else "no"
        ratio = took / own
        seconds = spread(outcome.values("wall_s"))
        rows.append(
            [
                WORKS[work],
                who.name,
                alone,
                who.trials,
                who.times,
                seconds,
                f"{whole:.1f}",
                f"{steady:.1f}",
                f"{ratio:.2g}",
            ]
        )
        figures[f"{work}, {who.name} s"] = took
        checks += lead(outcome, ratio, f"as fast ({WORKS[work]}) as")
    return rows, figures, checks


def main(quick: bool = False) -> Section:
    """Measure."""
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    checks: list[Check] = []
    with cluster() as address:
        for work in WORKS:
            found = rows_of(work, in_turns(contenders(work, address, quick)))
            rows += found[0]
            figures |= found[1]
            checks += found[2]
    head = [
        "",
        "",
        "a process each",
        "trials",
        "runs",
        "s",
        "ms a trial",
        "ms a trial, without starts",
        "ours is faster by",
    ]
    return Section("ray", table("On a Ray cluster of two nodes, two trials at a time", head, rows), figures, checks)


if __name__ == "__main__":
    section = main("--quick" in sys.argv)
    print(section)
    sys.exit(not section.met)

"""What a trial costs, beside other tools: trials that import scikit-learn, report one metric and end, two at a time.

Ours are processes forked from a template that has scikit-learn loaded, in an environment that holds what an
installation brings along and scikit-learn, as the other tools have theirs. The other tools:

- Ray Tune with an actor for each trial, its default; and with reused actors, which keep trials no longer apart.
- Syne Tune's LocalBackend, where each trial is a process. Its tuner looks at them every 0.01 s instead of every 5 s.
- Optuna, which starts no processes, with a process for each trial that shares the study through a journal.

``bench/peers`` says more. They run in environments of their own, which are made when they are missing. Beside them,
what the machine needs for less: a bare fork of a process with scikit-learn loaded, and a bare start of an interpreter
that imports it.

Rates are steady ones, from the start of the first trial to the end of the last: the start of a master, of Ray, or of a
tuner is not in them. All take turns, and the medians count.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from bench.contenders import Contender, Measured, Outcome, in_turns, lead, spread
from bench.peers_env import ENVIRONMENTS
from bench.support import Check, Section, table

AT_ONCE = 2
LEAST_PER_S = 40.0


def ours(trials: int) -> Measured:
    """Trials per second on a new master."""
    return _rate(ENVIRONMENTS["ours"].module("bench.noops", trials))


def peer(tool: str, *command: str) -> Callable[[int], Measured]:
    """Measures trials per second of another tool; ``N`` in the command stands for their number."""
    return lambda trials: _rate(ENVIRONMENTS[tool].measured(*(str(trials) if p == "N" else p for p in command)))


def forks(trials: int) -> Measured:
    """Bare forks per second."""
    return _rate(ENVIRONMENTS["ours"].module("bench.bare_fork", trials))


def interpreters(trials: int) -> Measured:
    """Interpreters per second that import scikit-learn and end."""
    command = [str(ENVIRONMENTS["ours"].ready()), "-c", "import sklearn"]
    begin = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as workers:
        for done in [workers.submit(subprocess.run, command, check=True) for _ in range(trials)]:
            done.result()
    return {"per_s": trials / (time.perf_counter() - begin)}


def _rate(found: Mapping[str, float]) -> Measured:
    return {"per_s": found["trials"] / found["seconds"]}


def contenders(quick: bool) -> list[Contender]:
    """Ours first."""
    syne_tune = peer("processes", "syne_tune_local.py", "noop", "N")
    optuna = peer("processes", "optuna_processes.py", "N")
    if quick:
        return [
            Contender("ours", ours, 60),
            Contender("Syne Tune", syne_tune, 8, ahead=6),
            Contender("Optuna, a process for each trial", optuna, 8, ahead=4),
            Contender("limit: bare fork", forks, 60),
            Contender("limit: bare interpreter", interpreters, 8),
        ]
    actors, reused = (peer("ray", "ray_tune.py", "noop", "N", how) for how in ("actors", "reused"))
    return [
        Contender("ours", ours, 300, 5),
        Contender("Ray Tune, an actor for each trial", actors, 48, ahead=30),
        Contender("Ray Tune, reused actors", reused, 300, 2, isolated=False, ahead=0.5),
        Contender("Syne Tune", syne_tune, 24, ahead=6),
        Contender("Optuna, a process for each trial", optuna, 30, ahead=4),
        Contender("limit: bare fork", forks, 300, 5),
        Contender("limit: bare interpreter", interpreters, 20),
    ]


def report(outcomes: list[Outcome]) -> Section:
    """A table, with ours first, and which targets are met."""
    own = outcomes[0].median("per_s")
    checks = [Check(f"at least {LEAST_PER_S:g} trials/s", own, own >= LEAST_PER_S)]
    rows, figures = [], {}
    for outcome in outcomes:
        who, rate = outcome.contender, outcome.median("per_s")
        alone = "yes" if who.isolated else "no"
        ratio = own / rate
        rows.append(
            [
                who.name,
                alone,
                who.trials,
                who.times,
                spread(outcome.values("per_s")),
                f"{1000 / rate:.1f}",
                f"{ratio:.2g}",
            ]
        )
        figures[f"{who.name} per s"] = rate
        checks += lead(outcome, ratio, "as many trials/s as")
    head = ["", "a process each", "trials", "runs", "trials/s", "ms each", "ours is faster by"]
    return Section("trials", table("Trials that do nothing, two at a time", head, rows), figures, checks)


def main(quick: bool = False) -> Section:
    """Measure."""
    return report(in_turns(contenders(quick)))


if __name__ == "__main__":
    section = main()
    print(section)
    sys.exit(not section.met)

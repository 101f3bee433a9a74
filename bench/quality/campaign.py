"""The runs of a campaign, and the file that keeps their results so that an interrupted one goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.quality.problems import FUNCTION_NAMES, TABLE_NAMES

WORKERS = (4, 25)
MARKS = (5, 10, 25, 50)
"""Units of training spent, in longest trainings."""


@dataclass(frozen=True)
class Method:
    """A method by name, who runs it, and whether it makes use of short training."""

    name: str
    home: str
    has_rungs: bool


METHODS = (
    Method("random", "ours", False),
    Method("asha", "ours", True),
    Method("asha-stop", "ours", True),
    Method("adaptive-asha", "ours", True),
    Method("hyperband", "ours", True),
    Method("hyperband-stop", "ours", True),
    Method("tpe", "ours", False),
    Method("tpe+rungs", "ours", True),
    Method("tpe+asha", "ours", True),
    Method("tpe+asha-stop", "ours", True),
    Method("tpe+hyperband", "ours", True),
    Method("tpe+hyperband-stop", "ours", True),
    Method("optuna-tpe", "optuna", False),
    Method("optuna-tpe-default", "optuna", False),
    Method("optuna-tpe+halving", "optuna", True),
    Method("optuna-tpe+hyperband", "optuna", True),
    Method("syne-tune-asha", "syne-tune-0.13", True),
    Method("syne-tune-asha-stop", "syne-tune-0.13", True),
    Method("syne-tune-0.16-asha-stop", "syne-tune", True),
)
BY_NAME = {method.name: method for method in METHODS}


@dataclass(frozen=True)
class Run:
    """One search."""

    method: str
    problem: str
    workers: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What a search had found at each mark.

    Attributes:
        regret: of what it would recommend: the best at the longest length that any of its trials has reached.
        regret_of_best: of the trial with the best report of any length, for comparison.
        trials: started.
        seconds: of computing.
    """

    run: Run
    regret: tuple[float, ...]
    regret_of_best: tuple[float, ...]
    trials: int
    seconds: float


def plan(seeds: int, only: Sequence[str] = (), first: int = 1) -> Iterator[Run]:
    """All runs, seed by seed, so that a part of a campaign is a smaller campaign.

    Args:
        first: the first seed. A change that was chosen by its results on some seeds is judged on others.
        only: names of methods and problems; the others of their kind are left out.
    """
    methods = [m for m in METHODS if m.name in only] or METHODS
    names = FUNCTION_NAMES + TABLE_NAMES
    problems = [name for name in names if name in only] or names
    for seed in range(first, first + seeds):
        for problem in problems:
            for workers in WORKERS:
                for method in methods:
                    if problem in FUNCTION_NAMES or not method.has_rungs:
                        yield Run(method.name, problem, workers, seed)


class ResultsFile:
    """Outcomes, one line of JSON each; a line that was cut short counts as not written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[Run, Outcome]:
        """All outcomes; the newest of a run counts."""
        found = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                outcome = _read(json.loads(line))
            except json.JSONDecodeError:
                continue
            found[outcome.run] = outcome
        return found

    def append(self, outcome: Outcome) -> None:
        """Add one; it is in the file when this returns."""
        with self.path.open("a+") as file:
            end = file.tell()
            if end:
                file.seek(end - 1)
                if file.read(1) != "\n":
                    file.write("\n")
            file.write(json.dumps(asdict(outcome)) + "\n")

    def forget(self, methods: Sequence[str]) -> None:
        """Drop all outcomes of some methods, as when their code has changed."""
        if methods:
            kept = [outcome for run, outcome in self.read().items() if run.method not in methods]
            self.path.write_text("".join(json.dumps(asdict(outcome)) + "\n" for outcome in kept))


def _read(saved: dict[str, Any]) -> Outcome:
    return Outcome(
        run=Run(**saved["run"]),
        regret=tuple(saved["regret"]),
        regret_of_best=tuple(saved["regret_of_best"]),
        trials=saved["trials"],
        seconds=saved["seconds"],
    )

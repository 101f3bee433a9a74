"""Whether a method of ours is at least equal to its counterpart, up to noise."""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.quality.campaign import MARKS, WORKERS, Outcome, Run
from bench.quality.problems import FUNCTION_NAMES, TABLE_NAMES

LIMIT = 2.0
"""Standard errors of the mean difference by which a pairing as a whole may be worse."""
FAMILY_ERROR = 0.05
"""Probability that any cell of a pairing is called worse although all are equal.

Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979.
"""


@dataclass(frozen=True)
class Pairing:
    """Ours, its counterpart, on which problems, and whether the result counts or is for information."""

    ours: str
    peer: str
    problems: tuple[str, ...] = FUNCTION_NAMES
    counts: bool = True


PAIRINGS = (
    Pairing("asha", "syne-tune-asha"),
    Pairing("asha-stop", "syne-tune-asha-stop"),
    Pairing("asha-stop", "syne-tune-0.16-asha-stop"),
    Pairing("tpe", "optuna-tpe", FUNCTION_NAMES + TABLE_NAMES),
    Pairing("tpe", "optuna-tpe-default", FUNCTION_NAMES + TABLE_NAMES),
    # Our early stopping as it comes, against both of Optuna's.
    Pairing("tpe+rungs", "optuna-tpe+halving"),
    Pairing("tpe+rungs", "optuna-tpe+hyperband"),
    # Each kind by itself, against the same kind.
    Pairing("tpe+asha", "optuna-tpe+halving"),
    Pairing("tpe+asha-stop", "optuna-tpe+halving"),
    Pairing("tpe+hyperband-stop", "optuna-tpe+hyperband"),
    # One bracket against several, and promotion in several brackets against stopping in them.
    Pairing("tpe+asha", "optuna-tpe+hyperband", counts=False),
    Pairing("tpe+asha-stop", "optuna-tpe+hyperband", counts=False),
    Pairing("tpe+hyperband", "optuna-tpe+hyperband", counts=False),
    Pairing("asha", "random", counts=False),
    Pairing("adaptive-asha", "asha", counts=False),
    Pairing("hyperband", "optuna-tpe+hyperband", counts=False),
    Pairing("hyperband-stop", "optuna-tpe+hyperband", counts=False),
    Pairing("tpe+hyperband-stop", "tpe+asha", counts=False),
    Pairing("tpe", "random", FUNCTION_NAMES + TABLE_NAMES, counts=False),
    Pairing("tpe+asha", "asha", counts=False),
    Pairing("tpe+asha", "tpe+asha-stop", counts=False),
    Pairing("asha", "asha-stop", counts=False),
)


@dataclass(frozen=True)
class Difference:
    """Mean and standard error of paired differences, ours less the other: below 0 is better."""

    mean: float
    error: float
    number: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Difference:
        """Of a value for each seed; with one of them the error is infinite."""
        error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf
        return cls(statistics.fmean(values), error, len(values))

    @property
    def is_identical(self) -> bool:
        """Whether not one of the values differs."""
        return self.mean == 0 and self.error == 0

    @property
    def errors(self) -> float:
        """The mean in standard errors."""
        if self.error == 0:
            return math.copysign(math.inf, self.mean) if self.mean else 0.0
        return self.mean / self.error

    @property
    def p(self) -> float:
        """Probability of a mean this bad or worse if both are equal, by the t distribution."""
        return t_tail(self.errors, self.number - 1)


@dataclass(frozen=True)
class Verdict:
    """A pairing with one number of workers.

    Attributes:
        whole: the difference over all problems and marks.
        of_best_report: the same if searches recommended the trial with the best report of any length; for information.
        worse: cells (problem, mark) that are worse by themselves.
    """

    pairing: Pairing
    workers: int
    whole: Difference
    of_best_report: Difference
    worse: tuple[tuple[str, int, Difference], ...]

    @property
    def met(self) -> bool:
        """Whether ours is at least equal, up to noise."""
        return self.whole.errors <= LIMIT and not self.worse

    @property
    def words(self) -> str:
        """The result in one word or two."""
        if self.whole.is_identical:
            return "identical"
        if not self.met:
            return "worse"
        return "better" if self.whole.errors < -LIMIT else "equal"


def judge(pairing: Pairing, workers: int, outcomes: Mapping[Run, Outcome]) -> Verdict | None:
    """The verdict over all seeds that both have finished on all problems they share; None without any."""
    cells: dict[tuple[str, int], list[float]] = {}
    by_seed: dict[int, list[tuple[float, float]]] = {}
    for problem in pairing.problems:
        for seed, ours, peer in _pairs(pairing, problem, workers, outcomes):
            differences = list(map(operator.sub, ours.regret, peer.regret))
            for mark, difference in zip(MARKS, differences, strict=True):
                cells.setdefault((problem, mark), []).append(difference)
            of_best = map(operator.sub, ours.regret_of_best, peer.regret_of_best)
            by_seed.setdefault(seed, []).append((statistics.fmean(differences), statistics.fmean(of_best)))
    full = max((len(values) for values in by_seed.values()), default=0)
    complete = [values for values in by_seed.values() if len(values) == full]
    if not complete:
        return None
    found = {cell: Difference.of(values) for cell, values in cells.items()}
    rejected = holm({cell: difference.p for cell, difference in found.items()}, FAMILY_ERROR)
    whole, of_best_report = (
        Difference.of([statistics.fmean(v[i] for v in values) for values in complete]) for i in (0, 1)
    )
    return Verdict(pairing, workers, whole, of_best_report, tuple((*cell, found[cell]) for cell in rejected))


def verdicts(outcomes: Mapping[Run, Outcome]) -> list[Verdict]:
    """All verdicts that can be given."""
    found = (judge(pairing, workers, outcomes) for pairing in PAIRINGS for workers in WORKERS)
    return [verdict for verdict in found if verdict is not None]


def _pairs(
    pairing: Pairing, problem: str, workers: int, outcomes: Mapping[Run, Outcome]
) -> list[tuple[int, Outcome, Outcome]]:
    found = []
    for run, ours in outcomes.items():
        if (run.method, run.problem, run.workers) == (pairing.ours, problem, workers):
            peer = outcomes.get(Run(pairing.peer, problem, workers, run.seed))
            if peer is not None:
                found.append((run.seed, ours, peer))
    return sorted(found, key=lambda pair: pair[0])


def holm(probabilities: Mapping[tuple[str, int], float], error: float) -> list[tuple[str, int]]:
    """Which hypotheses are rejected so that the probability of rejecting any true one is at most ``error``."""
    rejected = []
    for place, cell in enumerate(sorted(probabilities, key=lambda cell: probabilities[cell])):
        if probabilities[cell] > error / (len(probabilities) - place):
            break
        rejected.append(cell)
    return rejected


def t_tail(t: float, degrees: int) -> float:
    """Probability that Student's t is ``t`` or more.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    if degrees < 1:
        return 0.5
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    angle = math.atan2(abs(t), math.sqrt(degrees))
    cosine = math.cos(angle)
    total, term = 0.0, 1.0 if degrees % 2 == 0 else cosine
    for k in range(2 if degrees % 2 == 0 else 3, degrees + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    summed = math.sin(angle) * total
    inside = summed if degrees % 2 == 0 else 2 / math.pi * (angle + summed)
    tail = (1 - inside) / 2
    return tail if t >= 0 else 1 - tail

"""What is searched: four functions with a fidelity and tables of trained networks, in terms that any tool can take."""

from __future__ import annotations

import functools
import json
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.quality.hartmann import QUALITIES, Hartmann

ROOT = Path(__file__).parents[2]
TABLES = ROOT / ".venv-peers" / "tables"
"""Where ``peers/tables.py`` puts them."""
MAX_LENGTH = 81
DIVISOR = 3
RUNGS = (3, 9, 27, 81)
TABLE_NAMES = (
    "hpolib.protein_structure",
    "hpolib.naval_propulsion",
    "hpobench.segment",
    "hpobench.vehicle",
    "nasbench201.cifar100",
)

Point = Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """One dimension: ``float`` from 0 to 1, ``int`` from 0 to ``size - 1``, or ``choice`` of so many without order."""

    name: str
    kind: str
    size: int = 0


@dataclass(frozen=True)
class Problem:
    """Something to minimise.

    Attributes:
        axes: sorted by name.
        rungs: lengths at which a trial reports; the last is the full one.
        observe: ``(point, length, seed)`` -> what a trial reports.
        truth: what a point is worth at full length.
        lowest: the least there is.
        typical: the median of the truth over random points.
    """

    name: str
    axes: tuple[Axis, ...]
    rungs: tuple[int, ...]
    observe: Callable[[Point, int, int], float]
    truth: Callable[[Point], float]
    lowest: float
    typical: float

    @property
    def max_length(self) -> int:
        """The longest training, R."""
        return self.rungs[-1]

    def regret(self, point: Point) -> float:
        """How far a point is from the best: 0 is the best there is, 1 the median of random points."""
        return max(self.truth(point) - self.lowest, 0.0) / (self.typical - self.lowest)


FUNCTION_NAMES = tuple(f"hartmann{d}-{quality}" for d in (3, 6) for quality in QUALITIES)


@functools.cache
def problem(name: str) -> Problem:
    """The problem of a name.

    Raises:
        KeyError: there is none.
        FileNotFoundError: its table has not been exported.
    """
    return _function(name) if name in FUNCTION_NAMES else _table(name)


def _function(name: str) -> Problem:
    size, _, quality = name.removeprefix("hartmann").partition("-")
    bias, noise = QUALITIES[quality]
    function = Hartmann(int(size), bias, noise, MAX_LENGTH)
    names = [f"x{i}" for i in range(function.dimensions)]
    rng = random.Random(0)
    sample = [function.noiseless([rng.random() for _ in names]) for _ in range(20_000)]
    return Problem(
        name=name,
        axes=tuple(Axis(n, "float") for n in names),
        rungs=RUNGS,
        observe=lambda point, length, seed: function([point[n] for n in names], length, seed),
        truth=lambda point: function.noiseless([point[n] for n in names]),
        lowest=function.lowest,
        typical=statistics.median(sample),
    )


def _table(name: str) -> Problem:
    if name not in TABLE_NAMES:
        raise KeyError(f"there is no problem {name!r} (there are {', '.join(FUNCTION_NAMES + TABLE_NAMES)})")
    saved = json.loads((TABLES / f"{name}.json").read_text())
    runs: dict[str, list[float]] = saved["runs"]
    order: list[str] = [axis["name"] for axis in saved["axes"]]
    axes = sorted((Axis(a["name"], a["kind"], a["size"]) for a in saved["axes"]), key=lambda axis: axis.name)
    means = {key: statistics.fmean(values) for key, values in runs.items()}

    def key(point: Point) -> str:
        return "".join(str(point[n]) for n in order)

    def observe(point: Point, length: int, seed: int) -> float:
        """What one of the recorded runs of a configuration gave."""
        values = runs[key(point)]
        return random.Random(f"{seed} {key(point)}").choice(values)

    return Problem(
        name=name,
        axes=tuple(axes),
        rungs=(1,),
        observe=observe,
        truth=lambda point: means[key(point)],
        lowest=min(means.values()),
        typical=statistics.median(means.values()),
    )

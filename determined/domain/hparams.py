"""Hyperparameter spaces: what a point is drawn from, at random or over a grid.

Random numbers come from a generator that the caller passes in, so a seed decides every sample. Names are
always taken in sorted order, in nested spaces too.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

MAX_GRID_POINTS = 100_000
"""A grid search over more points than this is refused."""


class Rng(Protocol):
    """The two draws that sampling needs; ``random.Random`` has them."""

    def random(self) -> float:
        """A float in [0, 1)."""

    def randrange(self, start: int, /) -> int:
        """An integer in [0, start)."""


@dataclass(frozen=True, slots=True)
class Const:
    """Always the same JSON value; ints stay ints and floats stay floats."""

    value: Any

    def draw(self, rng: Rng) -> Any:
        """A copy of the value, so that a trial's point can be changed freely."""
        return copy.deepcopy(self.value)

    @property
    def axis_size(self) -> int:
        """Always 1."""
        return 1

    def axis_point(self, index: int) -> Any:
        """The value."""
        return copy.deepcopy(self.value)

    def to_json(self) -> dict[str, Any]:
        """The specification as a configuration writes it."""
        return {"type": "const", "val": copy.deepcopy(self.value)}


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number from ``minval`` to ``maxval``, both included."""

    minval: int
    maxval: int
    count: int | None = None

    def draw(self, rng: Rng) -> int:
        """A uniform draw."""
        return self.minval + rng.randrange(self.maxval - self.minval + 1)

    @property
    def axis_size(self) -> int:
        """``count``, or the number of integers in range if that is less."""
        return min(_counted(self.count), self.maxval - self.minval + 1)

    def axis_point(self, index: int) -> int:
        """Evenly spaced with both ends, rounded; the middle when there is one point."""
        steps = self.axis_size - 1
        if steps == 0:
            return _rounded(self.minval + self.maxval, 2)
        return _rounded(self.minval * steps + index * (self.maxval - self.minval), steps)

    def to_json(self) -> dict[str, Any]:
        """The specification as a configuration writes it."""
        return {"type": "int", "minval": self.minval, "maxval": self.maxval, "count": self.count}


@dataclass(frozen=True, slots=True)
class Double:
    """A real number in [``minval``, ``maxval``)."""

    minval: float
    maxval: float
    count: int | None = None

    def draw(self, rng: Rng) -> float:
        """A uniform draw."""
        return _between(self.minval, self.maxval, rng.random())

    @property
    def axis_size(self) -> int:
        """``count``."""
        return _counted(self.count)

    def axis_point(self, index: int) -> float:
        """Evenly spaced with both ends; the middle when there is one point."""
        return _evenly(self.minval, self.maxval, index, self.axis_size)

    def to_json(self) -> dict[str, Any]:
        """The specification as a configuration writes it."""
        return {"type": "double", "minval": self.minval, "maxval": self.maxval, "count": self.count}


@dataclass(frozen=True, slots=True)
class Log:
    """``base`` to a power in [``minval``, ``maxval``): the bounds are exponents."""

    base: float
    minval: float
    maxval: float
    count: int | None = None

    def draw(self, rng: Rng) -> float:
        """A draw that is uniform in the exponent."""
        return self._power(_between(self.minval, self.maxval, rng.random()))

    @property
    def axis_size(self) -> int:
        """``count``."""
        return _counted(self.count)

    def axis_point(self, index: int) -> float:
        """Evenly spaced exponents with both ends; the middle one when there is one point."""
        return self._power(_evenly(self.minval, self.maxval, index, self.axis_size))

    def to_json(self) -> dict[str, Any]:
        """The specification as a configuration writes it."""
        bounds = {"minval": self.minval, "maxval": self.maxval}
        return {"type": "log", "base": self.base, **bounds, "count": self.count}

    def _power(self, exponent: float) -> float:
        # Rounding may carry a power just past that of a bound.
        ends = (math.pow(self.base, self.minval), math.pow(self.base, self.maxval))
        return min(max(math.pow(self.base, exponent), min(ends)), max(ends))


@dataclass(frozen=True, slots=True)
class LogDouble:
    """A real number from ``minval`` to ``maxval``, uniform in its logarithm: the bounds are values, greater than 0."""

    minval: float
    maxval: float
    count: int | None = None

    def draw(self, rng: Rng) -> float:
        """A draw that is uniform in the logarithm."""
        return self._at(_between(math.log(self.minval), math.log(self.maxval), rng.random()))

    @property
    def axis_size(self) -> int:
        """``count``."""
        return _counted(self.count)

    def axis_point(self, index: int) -> float:
        """Evenly spaced logarithms with both ends; the middle one when there is one point."""
        return self._at(_evenly(math.log(self.minval), math.log(self.maxval), index, self.axis_size))

    def to_json(self) -> dict[str, Any]:
        """The specification as a configuration writes it."""
        return {"type": "log_double", "minval": self.minval, "maxval": self.maxval, "count": self.count}

    def _at(self, logarithm: float) -> float:
        # The ends are exact, although a logarithm is not.
        if logarithm <= math.log(self.minval):
            return float(self.minval)
        if logarithm >= math.log(self.maxval):
            return float(self.maxval)
        return min(max(math.exp(logarithm), self.minval), self.maxval)


@dataclass(frozen=True, slots=True)
class LogInt:
    """A whole number from ``minval`` (at least 1) to ``maxval``, both included; k comes about 1/k as often as 1."""

    minval: int
    maxval: int
    count: int | None = None

    def draw(self, rng: Rng) -> int:
        """A draw that is uniform in the logarithm, rounded."""
        logarithm = _between(math.log(self.minval - 0.5), math.log(self.maxval + 0.5), rng.random())
        return min(max(_nearest(math.exp(logarithm)), self.minval), self.maxval)

    @property
    def axis_size(self) -> int:
        """``count``, or the number of integers in range if that is less."""
        return min(_counted(self.count), self.maxval - self.minval + 1)

    def axis_point(self, index: int) -> int:
        """Evenly spaced logarithms with both ends, rounded, and far enough apart that no number comes twice."""
        if index == self.axis_size - 1 > 0:
            return self.maxval
        exact = math.exp(_evenly(math.log(self.minval), math.log(self.maxval), index, self.axis_size))
        return min(max(_nearest(exact), self.minval + index), self.maxval)

    def to_json(self) -> dict[str, Any]:
        """The specification as a configuration writes it."""
        return {"type": "log_int", "minval": self.minval, "maxval": self.maxval, "count": self.count}


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of several JSON values."""

    vals: tuple[Any, ...]

    def draw(self, rng: Rng) -> Any:
        """A uniform choice."""
        return copy.deepcopy(self.vals[rng.randrange(len(self.vals))])

    @property
    def axis_size(self) -> int:
        """The number of values."""
        return len(self.vals)

    def axis_point(self, index: int) -> Any:
        """The value at ``index``."""
        return copy.deepcopy(self.vals[index])

    def to_json(self) -> dict[str, Any]:
        """The specification as a configuration writes it."""
        return {"type": "categorical", "vals": copy.deepcopy(list(self.vals))}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several options, each with hyperparameters of its own, which are drawn only if it is the chosen one."""

    options: tuple[Hyperparameter, ...]

    def draw(self, rng: Rng) -> Any:
        """A uniform choice, then a draw from it."""
        return self.options[rng.randrange(len(self.options))].draw(rng)

    @property
    def axis_size(self) -> int:
        """The points of all options together."""
        return sum(option.axis_size for option in self.options)

    def axis_point(self, index: int) -> Any:
        """The points of the first option, then those of the second, and so on."""
        for option in self.options:
            if index < option.axis_size:
                return option.axis_point(index)
            index -= option.axis_size
        raise IndexError("no such point on the axis of a choice")

    def to_json(self) -> dict[str, Any]:
        """The specification as a configuration writes it."""
        return {"type": "choice", "options": [option.to_json() for option in self.options]}


@dataclass(frozen=True, slots=True)
class Space:
    """Named hyperparameters, sorted by name; a member may be a space itself."""

    members: tuple[tuple[str, Hyperparameter], ...] = ()

    @classmethod
    def of(cls, members: Mapping[str, Hyperparameter]) -> Space:
        """The space of these members."""
        return cls(tuple(sorted(members.items(), key=lambda member: member[0])))

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[tuple[str, Hyperparameter]]:
        return iter(self.members)

    def draw(self, rng: Rng) -> dict[str, Any]:
        """A value for each member, drawn in the order of their names."""
        return {name: member.draw(rng) for name, member in self.members}

    @property
    def axis_size(self) -> int:
        """The number of points of the grid over all members."""
        return math.prod(member.axis_size for _, member in self.members)

    def axis_point(self, index: int) -> dict[str, Any]:
        """Point ``index`` of the grid: the last name varies fastest."""
        point: dict[str, Any] = {}
        for name, member in reversed(self.members):
            index, place = divmod(index, member.axis_size)
            point[name] = member.axis_point(place)
        return dict(reversed(point.items()))

    def to_json(self) -> dict[str, Any]:
        """The space as a configuration writes it."""
        return {name: member.to_json() for name, member in self.members}


Hyperparameter = Const | Int | Double | Log | LogDouble | LogInt | Categorical | Choice | Space


def sample(space: Space, rng: Rng) -> dict[str, Any]:
    """A random point of the space; the same generator state gives the same point."""
    return space.draw(rng)


def grid_size(space: Space) -> int:
    """How many points the grid has; 1 when everything is constant.

    Raises:
        ValueError: a range without ``count``.
    """
    return space.axis_size


def grid_point(space: Space, index: int) -> dict[str, Any]:
    """Point ``index`` of the grid, computed on its own: the list of all points is never built.

    Raises:
        IndexError: ``index`` is not in 0 .. ``grid_size(space) - 1``.
        ValueError: a range without ``count``.
    """
    size = grid_size(space)
    if not 0 <= index < size:
        raise IndexError(f"no grid point {index}: the grid has {size}, counted from 0")
    return space.axis_point(index)


def _counted(count: int | None) -> int:
    if count is None:
        raise ValueError("a grid needs the count of every range (int, double, log, log_double, log_int)")
    return count


def _rounded(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer, halves away from zero, without going through floats."""
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return magnitude if numerator >= 0 else -magnitude


def _nearest(number: float) -> int:
    return math.floor(number + 0.5)


def _evenly(low: float, high: float, index: int, size: int) -> float:
    if size == 1:
        return low / 2 + high / 2
    share = index / (size - 1)
    return min(max(low * (1 - share) + high * share, low), high)


def _between(low: float, high: float, share: float) -> float:
    # Weighted ends cannot overflow; rounding could reach ``high``, which is excluded.
    return min(max(low * (1 - share) + high * share, low), math.nextafter(high, low))

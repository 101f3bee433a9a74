"""Search spaces written in Python: functions for the ranges, and ``as_space``, which checks a whole space at once.

What the functions give is not checked by itself, so that ``as_space`` can report every problem of a space together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from determined.domain.config.bounds import MAX_DEPTH
from determined.domain.config.paths import Path, path_text
from determined.domain.config.read_hparams import parse_space
from determined.domain.hparams import (
    Categorical,
    Choice,
    Const,
    Double,
    Int,
    Log,
    LogDouble,
    LogInt,
    Space,
)
from determined.errors import InvalidConfig, Problem

SpaceLike = Space | Mapping[str, Any]
"""A space, or the mapping that ``as_space`` makes one of."""

_RANGES = (Int, Double, Log, LogDouble, LogInt)
_KINDS = (Const, *_RANGES, Categorical, Choice, Space)
_PARAMETERS: Mapping[str, str] = {"minval": "low", "maxval": "high"}


def uniform(low: float, high: float, *, count: int | None = None) -> Double:
    """A real number from ``low`` up to, but not including, ``high``.

    Args:
        count: points on this axis of a grid.
    """
    return Double(low, high, count)


def loguniform(low: float, high: float, *, count: int | None = None) -> LogDouble:
    """A real number from ``low`` to ``high``, uniform in its logarithm.

    Args:
        low: greater than 0. The bounds are values, not exponents: ``loguniform(1e-4, 1e-1)``.
        count: points on this axis of a grid, evenly spaced in the logarithm.
    """
    return LogDouble(low, high, count)


def randint(low: int, high: int, *, count: int | None = None) -> Int:
    """A whole number from ``low`` to ``high``, both included, as in a configuration's ``int``.

    Args:
        count: points on this axis of a grid; no more than there are numbers in range.
    """
    return Int(low, high, count)


def lograndint(low: int, high: int, *, count: int | None = None) -> LogInt:
    """A whole number from ``low`` to ``high``, both included; the number k comes about 1/k as often as 1.

    Args:
        low: at least 1.
        count: points on this axis of a grid; no more than there are numbers in range.
    """
    return LogInt(low, high, count)


def choice(options: Iterable[Any]) -> Categorical | Choice:
    """One of several options, each as likely.

    An option is any value that JSON can hold. It may also be a range, or a mapping with ranges in it, at any depth.
    These are drawn only if that option is chosen::

        choice([{"name": "sgd", "momentum": uniform(0, 1)}, {"name": "adam"}])

    Raises:
        TypeError: ``options`` is a text, a mapping, or nothing that can be listed.
    """
    if isinstance(options, (str, bytes, Mapping)) or not isinstance(options, Iterable):
        raise TypeError(f"choice takes a list of options, not {options!r}; write choice([...])")
    listed = tuple(options)
    if any(_has_ranges(option) for option in listed):
        return Choice(listed)
    return Categorical(listed)


def as_space(source: SpaceLike) -> Space:
    """The space that a mapping describes; a ``Space`` is given back as it is.

    Args:
        source: names and what they are drawn from: ranges of this module, constants, or mappings of the same form. A
            mapping with a member ``type`` is read as a configuration would read it.

    Raises:
        InvalidConfig: with every problem found, each with its path.
        TypeError: ``source`` is neither a mapping nor a space.
    """
    if isinstance(source, Space):
        return source
    if not isinstance(source, Mapping):
        raise TypeError(f"a search space is a mapping of names to ranges and constants, not {source!r}")
    reader = _Reader()
    problems: Sequence[Problem] = ()
    space = Space()
    data = {name: reader.raw(value, (str(name),)) for name, value in source.items()}
    try:
        space = parse_space(data)
    except InvalidConfig as refused:
        problems = [reader.told(problem) for problem in refused.problems]
    if reader.problems or problems:
        raise InvalidConfig([*reader.problems, *problems])
    return space


class _Reader:
    """Writes a space as a configuration would, and remembers where the functions above were used."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._ranges: set[str] = set()

    def raw(self, value: Any, path: Path) -> Any:
        if len(path) > MAX_DEPTH:
            # A mapping that holds itself ends here, and is refused for its depth.
            return {}
        if isinstance(value, _RANGES):
            self._ranges.add(path_text(path))
            return value.to_json()
        if isinstance(value, Choice):
            return {
                "type": "choice",
                "options": [self.raw(o, (*path, "options", i)) for i, o in enumerate(value.options)],
            }
        if isinstance(value, Const):
            return {"type": "const", "val": value.value}
        if isinstance(value, Categorical):
            return {"type": "categorical", "vals": list(value.vals)}
        if isinstance(value, Space):
            return {name: self.raw(member, (*path, name)) for name, member in value}
        if isinstance(value, Mapping):
            return {name: self.raw(member, (*path, str(name))) for name, member in value.items()}
        if _has_ranges(value):
            message = "is a list with a range in it; only mappings and the options of a choice can hold ranges"
            self.problems.append(Problem(path_text(path), message))
            return None
        return value

    def told(self, problem: Problem) -> Problem:
        """The problem in the words of the functions: their parameters are ``low`` and ``high``."""
        place, _, field = problem.path.rpartition(".")
        if place not in self._ranges or field not in _PARAMETERS:
            return problem
        message = problem.message
        for given, parameter in _PARAMETERS.items():
            message = message.replace(given, parameter)
        return Problem(f"{place}.{_PARAMETERS[field]}", message, problem.line)


def _has_ranges(value: Any) -> bool:
    return any(isinstance(inner, _KINDS) for inner in _walk(value))


def _walk(value: Any) -> Iterator[Any]:
    """A value and everything in it."""
    stack, seen = [value], set()
    while stack:
        inner = stack.pop()
        yield inner
        if id(inner) in seen:
            continue
        if isinstance(inner, Mapping):
            seen.add(id(inner))
            stack.extend(inner.values())
        elif isinstance(inner, (list, tuple)):
            seen.add(id(inner))
            stack.extend(inner)

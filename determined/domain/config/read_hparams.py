"""Reads and checks the ``hyperparameters`` section."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from determined.domain.config.bounds import MAX_INT32, MAX_NAME
from determined.domain.config.document import read_document
from determined.domain.config.fields import Fields
from determined.domain.config.node import Node, has_control
from determined.domain.config.paths import Path
from determined.domain.config.report import Report
from determined.domain.hparams import (
    MAX_GRID_POINTS,
    Categorical,
    Choice,
    Const,
    Double,
    Hyperparameter,
    Int,
    Log,
    LogDouble,
    LogInt,
    Space,
    grid_size,
)


def parse_space(data: Mapping[str, Any]) -> Space:
    """Read a hyperparameter space on its own.

    Args:
        data: the content of a configuration's ``hyperparameters``.

    Raises:
        InvalidConfig: with every problem in it; paths are relative to ``data``.
    """
    document = read_document(data)
    report = Report(document)
    space = read_space(Fields(Node(document.data, (), report)))
    report.raise_if_any()
    return space


def read_space(fields: Fields) -> Space:
    """Read a mapping of names to specifications, constants and nested mappings."""
    members: dict[str, Hyperparameter] = {}
    for node in fields.members():
        name = str(node.path[-1])
        if len(name) > MAX_NAME or has_control(name):
            node.refuse(f"is no name for a hyperparameter; use one line of at most {MAX_NAME} characters")
        members[name] = _read(node)
    return Space.of(members)


def check_grid(space: Space, report: Report, path: Path) -> None:
    """Report what keeps a space from being searched as a grid."""
    missing = list(_uncounted(space, path))
    for place in missing:
        report.add((*place, "count"), "is missing; a grid needs it on every range")
    if missing:
        return
    size = grid_size(space)
    if size > MAX_GRID_POINTS:
        points = str(size) if size < 10**18 else "far too many"
        report.add(path, f"the grid has {points} points (at most {MAX_GRID_POINTS}); lower some counts")


def _uncounted(member: Hyperparameter, path: Path) -> Iterator[Path]:
    if isinstance(member, Space):
        for name, inner in member:
            yield from _uncounted(inner, (*path, name))
    elif isinstance(member, Choice):
        for index, option in enumerate(member.options):
            yield from _uncounted(option, (*path, "options", index))
    elif isinstance(member, (Int, Double, Log, LogDouble, LogInt)) and member.count is None:
        yield path


def _read(node: Node) -> Hyperparameter:
    if not isinstance(node.value, dict):
        return Const(node.json())
    fields = Fields(node)
    kind = fields.present("type")
    if kind is None:
        return read_space(fields)
    name = kind.choice(tuple(_READERS))
    if name is None:
        return Const(None)
    member = _READERS[name](fields)
    fields.done()
    return member


def _const(fields: Fields) -> Hyperparameter:
    node = fields.present("val")
    if node is None:
        fields.refuse("val", "is missing; give the value")
    return Const(node and node.json())


def _categorical(fields: Fields) -> Hyperparameter:
    node = fields.find("vals", needed="list the values to choose from")
    values = tuple(member.json() for member in node.items()) if node else ()
    if node and node.value == []:
        node.refuse("is empty; list at least one value")
    return Categorical(values)


def _int(fields: Fields) -> Hyperparameter:
    low = fields.integer("minval", None, needed=_BOUND)
    high = fields.integer("maxval", None, needed=_BOUND)
    count = _count(fields)
    _check_order(fields, low, high)
    return Int(0 if low is None else low, 0 if high is None else high, count)


def _double(fields: Fields) -> Hyperparameter:
    low, high = _range(fields)
    return Double(low, high, _count(fields))


def _log(fields: Fields) -> Hyperparameter:
    base = fields.number("base", None, needed="give the base of the power, e.g. 10")
    low, high = _range(fields)
    count = _count(fields)
    if base is not None and base <= 0:
        fields.refuse("base", f"must be greater than 0, not {base:g}")
    elif base is not None:
        _check_power(fields, base, "minval", low)
        _check_power(fields, base, "maxval", high)
    return Log(base or 1.0, low, high, count)


def _log_double(fields: Fields) -> Hyperparameter:
    low, high = _range(fields)
    if "minval" in fields and low <= 0:
        fields.refuse("minval", f"must be greater than 0, not {low:g}")
    return LogDouble(low, high, _count(fields))


def _log_int(fields: Fields) -> Hyperparameter:
    low = fields.integer("minval", None, least=1, needed=_BOUND)
    high = fields.integer("maxval", None, needed=_BOUND)
    count = _count(fields)
    _check_order(fields, low, high)
    return LogInt(1 if low is None else low, 1 if high is None else high, count)


def _choice(fields: Fields) -> Hyperparameter:
    node = fields.find("options", needed="list the options to choose from")
    if node and node.value == []:
        node.refuse("is empty; list at least one option")
    return Choice(tuple(_read(option) for option in node.items()) if node else ())


def _range(fields: Fields) -> tuple[float, float]:
    low = fields.number("minval", None, needed=_BOUND)
    high = fields.number("maxval", None, needed=_BOUND)
    _check_order(fields, low, high)
    return 0.0 if low is None else low, 0.0 if high is None else high


def _check_order(fields: Fields, low: float | None, high: float | None) -> None:
    if low is not None and high is not None and low >= high:
        fields.refuse("minval", f"must be less than maxval, but {low} is not less than {high}")


def _check_power(fields: Fields, base: float, name: str, exponent: float) -> None:
    try:
        is_finite = math.isfinite(math.pow(base, exponent))
    except OverflowError:
        is_finite = False
    if not is_finite:
        fields.refuse(name, f"is an exponent, and {base:g} to the power of {exponent:g} is too large a number")


def _count(fields: Fields) -> int | None:
    return fields.integer("count", None, least=1, most=MAX_INT32)


_BOUND = "give both ends of the range"
_READERS: Mapping[str, Callable[[Fields], Hyperparameter]] = {
    "const": _const,
    "int": _int,
    "double": _double,
    "log": _log,
    "log_double": _log_double,
    "log_int": _log_int,
    "categorical": _categorical,
    "choice": _choice,
}

"""Takes over a mapping that was built in Python, as the data that its YAML text would give."""

from __future__ import annotations

import json
import numbers
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from typing import Any

from determined.domain.config.bounds import MAX_DEPTH, MAX_VALUES, weight_of
from determined.domain.config.paths import Path, path_text, text_flaw
from determined.errors import InvalidConfig, Problem


def plain(source: Mapping[Any, Any]) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Copy a mapping into plain lists, dicts and scalars.

    Returns:
        The copy, and a problem for each member that a configuration cannot hold.

    Raises:
        InvalidConfig: too many values, or nested too deep.
    """
    copier = _Copier()
    return copier.mapping(source, ()), tuple(copier.problems)


class _Copier:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._total = 0

    def mapping(self, source: Mapping[Any, Any], path: Path) -> dict[str, Any]:
        copied: dict[str, Any] = {}
        for given, value in source.items():
            key = _key(given)
            if key is None:
                self._problem(path, f"has a key of type {type(given).__name__}; keys are text")
            elif key in copied:
                self._problem((*path, key), "is given twice, as text and as something else; keep one")
            else:
                self._count(weight_of(key))
                copied[key] = self._value(value, (*path, self._text(key, (*path, key))))
        return copied

    def _value(self, value: Any, path: Path) -> Any:
        self._count(1)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, path)
        # Enums, NumPy's numbers and the like become the plain type.
        if isinstance(value, numbers.Integral):
            return int(value)
        if isinstance(value, numbers.Real):
            return self._real(value, path)
        if isinstance(value, PurePath):
            return self._text(str(value), path)
        return self._container(value, path)

    def _real(self, value: numbers.Real, path: Path) -> float | None:
        try:
            return float(value)
        except OverflowError:
            self._problem(path, "is too large for a number")
            return None

    def _container(self, value: Any, path: Path) -> Any:
        if len(path) >= MAX_DEPTH:
            raise InvalidConfig([Problem("", f"is nested more than {MAX_DEPTH} levels deep; flatten it")])
        if isinstance(value, Mapping):
            return self.mapping(value, path)
        if isinstance(value, AbstractSet):
            value = sorted(value, key=str)
        if isinstance(value, (list, tuple)):
            return self._items(value, path)
        self._problem(path, f"a value of type {type(value).__name__} cannot stand in a configuration; convert it")
        return None

    def _items(self, values: Iterable[Any], path: Path) -> list[Any]:
        return [self._value(value, (*path, index)) for index, value in enumerate(values)]

    def _text(self, text: str, path: Path) -> str:
        self._count(weight_of(text) - 1)
        flaw = text_flaw(text)
        if flaw is not None:
            self._problem(path, flaw)
        return str.__str__(text)

    def _count(self, weight: int) -> None:
        self._total += weight
        if self._total > MAX_VALUES:
            raise InvalidConfig([Problem("", f"has more than {MAX_VALUES} values; put data into files")])

    def _problem(self, path: Path, message: str) -> None:
        self.problems.append(Problem(path_text(path), message))


def _key(given: Any) -> str | None:
    """The key as JSON would write it, or None when it cannot."""
    if isinstance(given, str):
        return str.__str__(given)
    if given is None or isinstance(given, (bool, int, float)):
        return json.dumps(given)
    return None

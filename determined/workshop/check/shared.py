"""State outside of the object: variables of a method's module and class, which a new process does not have."""

from __future__ import annotations

import copy
import itertools
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any

from determined.domain.search_method import SearchMethod

_DATA = (bool, int, float, str, bytes, tuple, list, dict, set, frozenset, deque, itertools.count, random.Random)
_MOST = 1000
"""Larger tables are taken for constants."""
_OURS = ("determined.domain", "determined.searcher")

Place = tuple[Any, str]
"""A module or class, and the name of a variable in it."""
Values = dict[Place, Any]


class Shared:
    """The variables in which a method could keep state beside itself, and what they held before it was first used."""

    def __init__(self, method: SearchMethod) -> None:
        found = _variables(type(method))
        self.first = _copied(found)
        self._objects = {place: found[place] for place in self.first}

    def changed(self) -> list[str]:
        """Names of those that hold something else now."""
        return [_name(place) for place, value in self.first.items() if not _same(value, _get(place))]

    def fresh(self) -> Values:
        """What a new process would begin with."""
        return _copied(self.first)

    def reset(self) -> None:
        """Give those that have changed what they held at first; tables stay the objects that they were."""
        for place, value in self.fresh().items():
            known = self._objects[place]
            if not _same(self.first[place], _get(place)) or _get(place) is not known:
                _put({place: known if _refilled(known, value) else value})

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Afterwards all of them are as they were."""
        try:
            yield
        finally:
            self.reset()


class Process:
    """Where a copy of a method lives. This one shares all variables with everybody, as objects in one process do."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Code of the method runs."""
        yield

    @contextmanager
    def restarted(self) -> Iterator[None]:
        """Code of the method runs in a process that takes the place of this one."""
        yield


class OwnProcess(Process):
    """A process of a copy's own: it sees no other copy's variables.

    Args:
        forgets: a restart begins with fresh variables, as a real one does.
    """

    def __init__(self, shared: Shared, *, forgets: bool) -> None:
        self.shared = shared
        self.forgets = forgets
        self.values = shared.fresh()
        self.inside = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Put the variables in place, and take them back afterwards."""
        _put(self.values)
        try:
            yield
        finally:
            self.values = {place: _get(place) for place in self.values}

    @contextmanager
    def restarted(self) -> Iterator[None]:
        """The same with fresh ones."""
        if self.forgets:
            _put(self.shared.fresh())
        yield


def _variables(kind: type) -> Values:
    owners: list[Any] = []
    for cls in kind.__mro__:
        module = sys.modules.get(cls.__module__)
        if cls.__module__ in sys.stdlib_module_names or cls.__module__.startswith(_OURS) or module is None:
            continue
        owners += [owner for owner in (cls, module) if owner not in owners]
    found: Values = {}
    for owner in owners:
        found |= {(owner, name): value for name, value in vars(owner).items() if _is_data(name, value)}
    return found


def _is_data(name: str, value: object) -> bool:
    if name.startswith("__") or not (value is None or isinstance(value, _DATA)):
        return False
    return not (isinstance(value, Sized) and len(value) > _MOST)


def _copied(values: Mapping[Place, Any]) -> Values:
    # In one go, so that what is one object under two names stays one.
    memo: dict[int, Any] = {}
    copied: Values = {}
    for place, value in values.items():
        try:
            copied[place] = copy.deepcopy(value, memo)
        except Exception:  # noqa: S112  # what cannot be copied cannot be put back either
            continue
    return copied


def _same(old: Any, new: Any) -> bool:
    if type(old) is not type(new):
        return False
    if isinstance(old, random.Random):
        return bool(old.getstate() == new.getstate())
    if isinstance(old, itertools.count):
        return repr(old) == repr(new)
    try:
        return bool(old == new)
    except Exception:
        return True


def _refilled(known: Any, value: Any) -> bool:
    """Give an object the contents of another one; False for one that cannot be changed."""
    if isinstance(known, random.Random):
        known.setstate(value.getstate())
    elif isinstance(known, (list, deque)):
        known.clear()
        known.extend(value)
    elif isinstance(known, (dict, set)):
        known.clear()
        known.update(value)
    else:
        return _same(known, value)
    return True


def _get(place: Place) -> Any:
    return getattr(place[0], place[1], None)


def _put(values: Values) -> None:
    for (owner, name), value in values.items():
        if owner.__dict__.get(name) is not value:
            setattr(owner, name, value)


def _name(place: Place) -> str:
    owner, name = place
    return f"{owner.__qualname__}.{name}" if isinstance(owner, type) else f"{owner.__name__}.{name}"

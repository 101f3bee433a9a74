"""What calls of C code go through is counted, and nothing else changes."""

from __future__ import annotations

import heapq
import math
import statistics
from collections import Counter, deque
from collections.abc import Callable
from copy import copy
from types import CodeType
from typing import Any

import pytest

from determined.workshop.check.walks import counted

LONG = list(range(1000, 0, -1))
TABLE = dict.fromkeys(LONG, 1)
MANY = frozenset(LONG)


class Base:
    def whole(self) -> list[int]:
        return [0, *LONG]


class Derived(Base):
    def whole(self) -> list[int]:
        return super().whole()


def match(number: int) -> int:
    match [number, *LONG]:
        case [1, *_] if number in LONG:
            return 1
    return 0


WALKS: dict[str, Callable[[], Any]] = {
    "sum": lambda: sum(LONG),
    "sum of values": lambda: sum(TABLE.values()),
    "min": lambda: min(LONG),
    "max with a key": lambda: max(LONG, key=abs),
    "sorted": lambda: sorted(LONG)[0],
    "sorted keys": lambda: sorted(TABLE)[0],
    "list": lambda: list(MANY),
    "tuple of a map": lambda: tuple(map(abs, LONG)),
    "set": lambda: set(LONG),
    "dict": lambda: dict(TABLE),
    "dict of pairs": lambda: dict(zip(LONG, LONG, strict=True)),
    "Counter": lambda: Counter(LONG),
    "all": lambda: all(LONG),
    "fsum": lambda: math.fsum(LONG),
    "fmean": lambda: statistics.fmean(LONG),
    "heapify": lambda: heapq.heapify(list(LONG)),
    "in a list": lambda: 0 in LONG,
    "not in a list": lambda: 0 not in LONG,
    "in a deque": lambda: 0 in deque(LONG, maxlen=2000),
    "in values": lambda: 0 in TABLE.values(),
    "index": lambda: LONG.index(1),
    "count": lambda: LONG.count(1),
    "copy": lambda: LONG.copy(),
    "copy.copy": lambda: copy(LONG),
    "slice": lambda: LONG[:1000],
    "concatenation": lambda: LONG + LONG,
    "repetition": lambda: LONG * 2,
    "star": lambda: [0, *LONG],
    "two stars": lambda: {**TABLE},
    "union": lambda: {0} | MANY,
    "extend": lambda: [0].extend(LONG),
    "join": lambda: "".join([str(n) for n in LONG]),
    "super": lambda: Derived().whole(),
    "match": lambda: match(1),
}
PASSES: dict[str, Callable[[], Any]] = {
    "len": lambda: len(LONG),
    "in a set": lambda: 0 in MANY,
    "in a dict": lambda: 0 in TABLE,
    "in a list, at once": lambda: 1000 in LONG,
    "any, at once": lambda: any(LONG),
    "index, at once": lambda: LONG.index(1000),
    "min of two": lambda: min(len(LONG), 3),
    "a member": lambda: LONG[5] + LONG[-1],
    "a short slice": lambda: LONG[-3:],
    "reversed": lambda: next(reversed(LONG)),
    "enumerate": lambda: next(enumerate(LONG)),
    "isinstance": lambda: isinstance(LONG, list),
    "a chain of comparisons": lambda: 0 < LONG[0] < 2000,
}
FILES = [__file__, str(statistics.__file__), str(__import__("copy").__file__)]


def walked(function: Callable[[], Any]) -> tuple[int, Any]:
    """How many members a function walks over, and what it answers."""
    found: Counter[CodeType] = Counter()

    def count(code: CodeType, number: int) -> None:
        found[code] += number

    with counted(FILES, count):
        answer = function()
    return found.total(), answer


@pytest.mark.parametrize("name", WALKS)
def test_what_walks_over_a_thousand_members_is_counted(name: str) -> None:
    before = WALKS[name]()
    number, answer = walked(WALKS[name])
    assert 1000 <= number <= 5000
    assert answer == before


@pytest.mark.parametrize("name", PASSES)
def test_what_does_not_is_cheap(name: str) -> None:
    before = PASSES[name]()
    number, answer = walked(PASSES[name])
    assert number <= 5
    assert answer == before


def test_the_code_that_walks_is_named_and_is_put_back() -> None:
    function = WALKS["sum"]
    code = function.__code__
    found: Counter[CodeType] = Counter()
    with counted([__file__], lambda code, number: found.update({code: number})):
        assert function.__code__ is not code
        function()
    assert function.__code__ is code
    assert [(c.co_filename, c.co_firstlineno, n) for c, n in found.items()] == [(__file__, code.co_firstlineno, 1000)]


def outer() -> Callable[[], int]:
    return lambda: sum(LONG)


def test_functions_that_outlive_the_counting_go_on() -> None:
    found: list[int] = []
    with counted([__file__], lambda code, number: found.append(number)):
        inner = outer()
        inner()
    assert found == [1000]
    assert inner() == sum(LONG)
    assert found == [1000]


def test_mistakes_stay_what_they_are() -> None:
    def unknown() -> Any:
        return 3 in 4  # type: ignore[operator]

    def missing() -> Any:
        return LONG.index(0)

    def wrong() -> Any:
        return sum(3)  # type: ignore[call-overload]

    with counted([__file__], lambda code, number: None):
        with pytest.raises(TypeError, match="argument of type 'int' is not"):
            unknown()
        with pytest.raises(ValueError, match="0 is not in list"):
            missing()
        with pytest.raises(TypeError, match="'int' object is not iterable"):
            wrong()


def test_a_file_that_cannot_be_read_is_left_alone() -> None:
    with counted(["nowhere.py", "<string>", "", str(math.__spec__.origin)], lambda code, number: None):
        assert outer()() == sum(LONG)

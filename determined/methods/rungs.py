"""One rung of successive halving: the results that trials have brought to it, ranked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Set

from sortedcontainers import SortedList

Key = tuple[float, int, int]
"""Loss, place among equal losses, number of the trial."""
_WALKED_WHILE_ONE_IS_FOUND = 20
"""How many results are walked over in the time that it takes to find the place of one."""


class Rung:
    """The results of a rung, best first, and who is under way to it or waits in it.

    Trials are known by their numbers here. A loss is lower for better trials; the worst possible one is infinite.

    Attributes:
        length: how long trials train to bring a result, from their start.
        training: how many trials are under way to this rung.
        waiting: trials that have brought a result, were not promoted, and still may be.

    Cost: O(log results) for each method with a trial or a rank, also at 100,000 results; O(1) for the length of it.
    """

    __slots__ = ("_arrivals", "_keys", "_ranked", "length", "training", "waiting")

    def __init__(self, length: int) -> None:
        self.length = length
        self.training = 0
        self.waiting: set[int] = set()
        self._ranked: SortedList = SortedList()
        self._keys: dict[int, Key] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, trial: int, loss: float, *, ahead_of_equals: bool = False) -> int:
        """Take in a result.

        Returns:
            Its index among all results, 0 for the best.
        """
        self._arrivals += 1
        key = (loss, -self._arrivals if ahead_of_equals else self._arrivals, trial)
        index: int = self._ranked.bisect_left(key)
        self._ranked.add(key)
        self._keys[trial] = key
        return index

    def remove(self, trial: int) -> None:
        """Forget a trial's result, if it has brought one."""
        key = self._keys.pop(trial, None)
        self.waiting.discard(trial)
        if key is not None:
            self._ranked.remove(key)

    def at(self, index: int) -> int:
        """The trial at an index, 0 for the best."""
        key: Key = self._ranked[index]
        return key[2]

    def index(self, trial: int) -> int:
        """The index of a trial that has brought a result."""
        found: int = self._ranked.bisect_left(self._keys[trial])
        return found

    def ranks(self, trials: Set[int]) -> list[tuple[int, int]]:
        """The indices of some trials that have brought a result, and the trials, best first.

        Cost: O(trials * log(results)), or O(results) if that is less.
        """
        if len(trials) * _WALKED_WHILE_ONE_IS_FOUND < len(self._keys):
            return sorted((self.index(trial), trial) for trial in trials)
        return [(index, key[2]) for index, key in enumerate(self._ranked) if key[2] in trials]

    def results(self) -> list[tuple[int, float | str]]:
        """Trials and their losses, best first, as JSON-able values."""
        return [(trial, plain(loss)) for loss, _, trial in self._ranked]

    def restore(self, results: Iterable[tuple[int, float | str]]) -> None:
        """Take up what ``results`` gave, into an empty rung."""
        keys = [(float(loss), place, trial) for place, (trial, loss) in enumerate(results, 1)]
        self._ranked = SortedList(keys)
        self._keys = {key[2]: key for key in keys}
        self._arrivals = len(keys)


def plain(number: float) -> float | str:
    """A number as JSON can hold it: one that is not finite becomes a text, which ``float`` reads."""
    return number if math.isfinite(number) else repr(number)

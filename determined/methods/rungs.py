"""One rung of successive halving: the results that trials have brought to it, ranked."""

from __future__ import annotations

import contextlib
import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence, Set
from itertools import chain

from determined.methods.sums import Sums

_WALKED_WHILE_ONE_IS_FOUND = 20
"""How many results are walked over in the time that it takes to find the place of one."""
MOST_IN_A_RUN = 512


class Rung:
    """The results of a rung, best first, and who is under way to it or waits in it.

    Trials are known by their numbers here. A loss is lower for better trials; the worst possible one is infinite.

    Attributes:
        length: how long trials train to bring a result, from their start.
        count: how many results there are.
        training: how many trials are under way to this rung.
        waiting: trials that have brought a result, were not promoted, and still may be.

    Cost: O(log results) for each method with a trial or a rank, and besides a step in C for each 16,384 results and for
    each result that equals this one; O(1) for the length of it.
    """

    # The ranking is cut into runs of losses, and runs of the trials that brought them. These are arrays, since most of
    # the time for a place among many results is waiting for the memory of those that it is compared with: a sorted list
    # of tuples takes twice as long.
    __slots__ = ("_losses", "_ranked", "_sizes", "_starts", "_trials", "count", "length", "training", "waiting")

    def __init__(self, length: int) -> None:
        self.length = length
        self.training = 0
        self.waiting: set[int] = set()
        self._ranked: list[array[float]] = [array("d")]
        self._trials: list[array[int]] = [array("q")]
        # No loss of a run is greater, and none of the next one lower. None for the first run.
        self._starts = array("d")
        self._sizes = Sums([0])
        # By the number of the trial.
        self._losses = array("d")
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def __contains__(self, trial: int) -> bool:
        return trial < len(self._losses) and not math.isnan(self._losses[trial])

    def add(self, trial: int, loss: float, *, ahead_of_equals: bool = False) -> int:
        """Take in a result.

        Returns:
            Its index among all results, 0 for the best.
        """
        bisect = bisect_left if ahead_of_equals else bisect_right
        at = bisect(self._starts, loss)
        run = self._ranked[at]
        index = bisect(run, loss)
        run.insert(index, loss)
        self._trials[at].insert(index, trial)
        losses = self._losses
        while trial > len(losses):
            losses.append(math.nan)
        if trial == len(losses):
            losses.append(loss)
        else:
            losses[trial] = loss
        self.count += 1
        sizes = self._sizes
        sizes.change(at, 1)
        place = sizes.before(at) + index
        if len(run) > MOST_IN_A_RUN:
            self._split(at)
        return place

    def remove(self, trial: int) -> None:
        """Forget a trial's result, if it has brought one."""
        self.waiting.discard(trial)
        if trial in self:
            at, index = self._find(trial)
            del self._ranked[at][index], self._trials[at][index]
            self._sizes.change(at, -1)
            self._losses[trial] = math.nan
            self.count -= 1

    def at(self, index: int) -> int:
        """The trial at an index, 0 for the best."""
        if not 0 <= index < self.count:
            raise IndexError(f"no result at index {index} of {self.count}")
        at, index = self._sizes.find(index)
        return self._trials[at][index]

    def index(self, trial: int) -> int:
        """The index of a trial that has brought a result."""
        at, index = self._find(trial)
        return self._sizes.before(at) + index

    def ranks(self, trials: Set[int]) -> list[tuple[int, int]]:
        """The indices of some trials that have brought a result, and the trials, best first.

        Cost: O(trials * log(results)), or O(results) if that is less.
        """
        if len(trials) * _WALKED_WHILE_ONE_IS_FOUND < self.count:
            return sorted((self.index(trial), trial) for trial in trials)
        return [(index, trial) for index, trial in enumerate(chain.from_iterable(self._trials)) if trial in trials]

    def results(self) -> list[tuple[int, float | str]]:
        """Trials and their losses, best first, as JSON-able values."""
        return [(trial, plain(self._losses[trial])) for trial in chain.from_iterable(self._trials)]

    def restore(self, results: Iterable[tuple[int, float | str]]) -> None:
        """Take up what ``results`` gave, into an empty rung."""
        for trial, loss in results:
            self.add(trial, float(loss))

    def runs(self) -> Sequence[Sequence[int]]:
        """The trials, best first, in the pieces that they are kept in."""
        return self._trials

    def _find(self, trial: int) -> tuple[int, int]:
        """The run that a trial is in, and its index there."""
        loss = self._losses[trial]
        for at in range(bisect_left(self._starts, loss), len(self._ranked)):
            run = self._ranked[at]
            with contextlib.suppress(ValueError):
                return at, self._trials[at].index(trial, bisect_left(run, loss), bisect_right(run, loss))
        raise KeyError(trial)

    def _split(self, at: int) -> None:
        run, trials = self._ranked[at], self._trials[at]
        half = len(run) // 2
        self._ranked[at : at + 1] = run[:half], run[half:]
        self._trials[at : at + 1] = trials[:half], trials[half:]
        self._starts.insert(at, run[half])
        self._sizes = Sums(map(len, self._ranked))


def plain(number: float) -> float | str:
    """A number as JSON can hold it: one that is not finite becomes a text, which ``float`` reads."""
    return number if math.isfinite(number) else repr(number)

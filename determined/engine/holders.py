"""Who holds slots, the least important first, and who of them was asked to leave."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING

from determined.domain.ids import RunId, TrialId

if TYPE_CHECKING:
    from determined.engine.slots import Request

_Key = tuple[TrialId, RunId]
_Place = tuple[int, int, int, int]


class Holders:
    """Runs that hold slots. Cost per call: O(log runs), on average over many; ``lesser`` sums over priorities.

    Attributes:
        leaving_slots: how many slots will be free when those have left who were asked to.
    """

    def __init__(self) -> None:
        self.leaving_slots = 0
        self._leaving: dict[_Key, int] = {}
        self._staying: dict[_Key, tuple[Request, int]] = {}
        self._slots: Counter[int] = Counter()
        # Those who stay, the least important and of these the newest first. Who left, was asked, or got another
        # priority, is skipped when its place comes up.
        self._order: list[_Place] = []

    def add(self, request: Request, slots: int) -> None:
        """A run holds so many slots now."""
        self._staying[request.key] = request, slots
        self._slots[request.priority] += slots
        if len(self._order) > 2 * len(self._staying) + 64:
            self._order = [_place(staying) for staying, _ in self._staying.values()]
            heapq.heapify(self._order)
        else:
            heapq.heappush(self._order, _place(request))

    def remove(self, key: _Key) -> None:
        """A run holds nothing any more."""
        self.leaving_slots -= self._leaving.pop(key, 0)
        self._drop(key)

    def change(self, request: Request) -> None:
        """A run has another priority now; to one that leaves it makes no difference."""
        slots = self._drop(request.key)
        if slots is not None:
            self.add(request, slots)

    def ask(self, key: _Key) -> None:
        """A run was asked to leave; the same again changes nothing."""
        slots = self._drop(key)
        if slots is not None:
            self._leaving[key] = slots
            self.leaving_slots += slots

    def is_leaving(self, key: _Key) -> bool:
        """Whether a run was asked to leave, and has not left."""
        return key in self._leaving

    def lesser(self, priority: int) -> int:
        """How many slots are held by runs less important than that which have not been asked to leave."""
        return sum(slots for held_at, slots in self._slots.items() if held_at > priority)

    def least(self) -> tuple[Request, int]:
        """The least important run that was not asked to leave, and its slots; there must be one."""
        while True:
            priority, _, trial_id, run_id = self._order[0]
            found = self._staying.get((TrialId(-trial_id), RunId(-run_id)))
            if found is not None and found[0].priority == -priority:
                return found
            heapq.heappop(self._order)

    def _drop(self, key: _Key) -> int | None:
        found = self._staying.pop(key, None)
        if found is None:
            return None
        request, slots = found
        self._slots[request.priority] -= slots
        return slots


def _place(request: Request) -> _Place:
    return (-request.priority, -request.experiment_id, -request.trial_id, -request.run_id)

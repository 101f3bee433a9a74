"""Whose turn it is: the experiments that wait for slots, in a fixed order.

Order: priority (1 first), then the experiment that holds the fewest slots for its weight. Whoever is given slots moves
back by that, so the slots are filled up from below: a weighted max-min share, to the width of one run. Of equals the
one that was served longest ago comes first, then the one that was submitted first; within an experiment the trial that
was created first.

An experiment whose turn it is, and for which slots stay empty because they are too few, is the first of its priority
until it is served, whatever others give back meanwhile. Otherwise those might have less than it again and again, and
take what had come free for it. One of weight 0 has no such claim: it gets what the others leave.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from determined.domain.ids import ExperimentId

if TYPE_CHECKING:
    from determined.engine.slots import Request

_Place = tuple[int, bool, float, int, ExperimentId]


@dataclass(slots=True, eq=False)
class Share:
    """What one experiment holds, may hold, and waits for.

    Attributes:
        priority: of all its requests.
        weight: its claim, compared with others of the same priority; from 0.
        limit: most slots at once; None for no limit.
        used: slots that it holds.
        served: when it was last given slots, as a count of all grants; 0 for never.
        is_next: it was first in its priority, and slots stay empty for it until there are enough.
        queue: its requests, as a heap; those that were taken back are skipped when they come up.
        place: where it stands in the order; None while it has no request that could be granted.
    """

    experiment_id: ExperimentId
    priority: int = 0
    weight: float = 1.0
    limit: int | None = None
    used: int = 0
    served: int = 0
    is_next: bool = False
    queue: list[Request] = field(default_factory=list)
    place: _Place | None = None

    def is_over_limit(self, slots: int, used: int | None = None) -> bool:
        """Whether a run of so many slots is more than the experiment may have beside those it holds."""
        return self.limit is not None and (self.used if used is None else used) + slots > self.limit

    def place_with(self, used: int, served: int, is_next: bool = False) -> _Place:
        """Where it would stand."""
        return (self.priority, not is_next, _ratio(used, self.weight), served, self.experiment_id)


class Shares:
    """Shares by experiment, and the order of those who wait. Cost per call: O(log waiting), on average over many.

    Args:
        is_wanted: whether a request was not taken back.
    """

    def __init__(self, is_wanted: Callable[[Request], bool]) -> None:
        self._is_wanted = is_wanted
        self._shares: dict[ExperimentId, Share] = {}
        # Places that are no longer those of their experiments are skipped when they come up.
        self._order: list[_Place] = []
        self._served = 0

    def of(self, experiment_id: ExperimentId) -> Share:
        """The share of an experiment; made if there is none."""
        found = self._shares.get(experiment_id)
        if found is None:
            found = self._shares[experiment_id] = Share(experiment_id)
        return found

    def find(self, experiment_id: ExperimentId) -> Share | None:
        """The share of an experiment, None if it has none."""
        return self._shares.get(experiment_id)

    def hold(self, request: Request) -> None:
        """A run that was found alive holds slots, whoever's turn it is."""
        share = self.of(request.experiment_id)
        share.priority = request.priority
        share.used += request.slots
        self.settle(share)

    def add(self, request: Request) -> None:
        """A run waits for slots."""
        share = self.of(request.experiment_id)
        share.priority = request.priority
        heapq.heappush(share.queue, request)
        self.settle(share)

    def replace(self, experiment_id: ExperimentId, priority: int, requests: list[Request]) -> None:
        """An experiment has another priority, and these requests instead of those that it had."""
        share = self.of(experiment_id)
        share.priority, share.is_next, share.queue = priority, False, requests
        heapq.heapify(share.queue)
        self.settle(share)

    def forget(self, experiment_id: ExperimentId) -> None:
        """Drop the share of an experiment that is over."""
        self._shares.pop(experiment_id, None)

    def first_of(self, share: Share) -> Request | None:
        """The first request of an experiment that is still wanted; those before it are dropped."""
        while share.queue and not self._is_wanted(share.queue[0]):
            heapq.heappop(share.queue)
        return share.queue[0] if share.queue else None

    def settle(self, share: Share) -> None:
        """Put an experiment where it belongs; to be called after any change of what its place depends on."""
        request = self.first_of(share) if share.queue else None
        if request is None:
            share.is_next = False
        if request is None or (share.limit is not None and share.is_over_limit(request.slots)):
            share.place = None
            return
        place = share.place_with(share.used, share.served, share.is_next)
        if share.place != place:
            share.place = place
            self._insert(place)

    def first(self) -> Request | None:
        """The request whose turn it is."""
        share = self._first_share()
        return None if share is None else self.first_of(share)

    def take(self, request: Request) -> None:
        """The request whose turn it is gets what it wants; it must not be wanted any more."""
        share = self.of(request.experiment_id)
        heapq.heappop(share.queue)
        self._served += 1
        share.served = self._served
        share.is_next = False
        share.used += request.slots
        self.settle(share)

    def keep(self, request: Request) -> None:
        """The request whose turn it is leaves slots empty, because they are too few: it stays the first."""
        share = self.of(request.experiment_id)
        if share.weight > 0 and not share.is_next:
            share.is_next = True
            self.settle(share)

    def in_order(self) -> Iterator[Request]:
        """Requests in the order in which they would be granted, each as if all before it had been."""
        # Positions in the heap, where a child is never before its parent; -1 for places that are not in it.
        ahead = [(self._order[0], 0)] if self._order else []
        going: dict[ExperimentId, tuple[Iterator[Request], int]] = {}
        served = self._served
        while ahead:
            place, at = heapq.heappop(ahead)
            if at >= 0:
                for child in range(2 * at + 1, min(2 * at + 3, len(self._order))):
                    heapq.heappush(ahead, (self._order[child], child))
                share = self._shares.get(place[-1])
                if share is None or share.place is not place:
                    continue
                going[place[-1]] = self._wanted_of(share), share.used
            share = self._shares[place[-1]]
            requests, used = going[place[-1]]
            request = next(requests, None)
            if request is None or share.is_over_limit(request.slots, used):
                continue
            yield request
            served += 1
            going[place[-1]] = requests, used + request.slots
            heapq.heappush(ahead, (share.place_with(used + request.slots, served), -1))

    def before(self, request: Request) -> str:
        """Which experiment is served before that of a request that waits, and why; "" for none."""
        first, mine = self._first_share(), self.of(request.experiment_id)
        if first is None:
            return ""
        if first is mine:
            return ""
        other = f"experiment {first.experiment_id}"
        if first.priority != mine.priority:
            return f"{other} is served first: it has priority {first.priority}, this one {mine.priority}"
        if first.is_next:
            return f"{other} is served first: free slots are kept for it until there are enough"
        more = ""
        if _ratio(first.used, first.weight) == _ratio(mine.used, mine.weight):
            more = f"; of equals it was {'served longer ago' if first.served < mine.served else 'submitted first'}"
        return f"{other} is served first: it holds {_held(first)}, this one {_held(mine)}{more}"

    def _wanted_of(self, share: Share) -> Iterator[Request]:
        """The requests of an experiment in their order; nothing changes."""
        queue = share.queue
        ahead = [(queue[0], 0)] if queue else []
        while ahead:
            request, at = heapq.heappop(ahead)
            for child in range(2 * at + 1, min(2 * at + 3, len(queue))):
                heapq.heappush(ahead, (queue[child], child))
            if self._is_wanted(request):
                yield request

    def _first_share(self) -> Share | None:
        while self._order:
            share = self._shares.get(self._order[0][-1])
            if share is not None and share.place is self._order[0]:
                return share
            heapq.heappop(self._order)
        return None

    def _insert(self, place: _Place) -> None:
        if len(self._order) > 2 * len(self._shares) + 64:
            self._order = [share.place for share in self._shares.values() if share.place is not None]
            heapq.heapify(self._order)
        else:
            heapq.heappush(self._order, place)


def _ratio(used: int, weight: float) -> float:
    return used / weight if weight > 0 else math.inf


def _slots(number: int) -> str:
    return "1 slot" if number == 1 else f"{number} slots"


def _held(share: Share) -> str:
    return f"{_slots(share.used)} at weight {share.weight:g}"

"""Who runs next, on which slots: a pure pool that grants requests in a fixed order.

Order: priority (1 first), then the experiment that holds the fewest slots for its weight (see ``shares``), then the
trial created first. A request that could never fit, or that its experiment's limit holds back, is passed over; one that
only lacks free slots holds back those behind it, so that wide trials do not starve. Runs without slots queue apart, by
priority and in the order in which they were submitted: they have places of their own, so neither kind ever waits for
the other.

Where a run waits for slots that less important ones hold, the pool names those that should make room: the least
important first, of these the newest. Nobody makes room for a run of the same priority.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable

import msgspec

from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.engine.holders import Holders
from determined.engine.shares import Shares

MAX_SLOTLESS_RUNS = 64
"""How many runs without slots may live at once."""
DEFAULT_PRIORITY = 42

_Key = tuple[TrialId, RunId]


class Request(msgspec.Struct, frozen=True, order=True, gc=False):
    """A run that waits. The fields are in the order of precedence; all requests of an experiment are equally wide."""

    priority: int
    experiment_id: ExperimentId
    trial_id: TrialId
    run_id: RunId
    slots: int

    @property
    def key(self) -> _Key:
        """The run."""
        return (self.trial_id, self.run_id)


class Grant(msgspec.Struct, frozen=True, gc=False):
    """A request and the slots that it gets."""

    request: Request
    slot_ids: tuple[int, ...]


class SlotPool:
    """Free slots, waiting requests, and who holds what. Cost per call: O(log waiting) plus what is granted.

    Two calls cost more: ``set_priority``, which a person makes, and ``reclaim`` while a less important run holds what a
    more important one waits for; that looks at no more requests than there are slots.

    Attributes:
        free: ids of free slots, ascending.
        size: how many slots there are.
        held: grants by run.
    """

    def __init__(self, slot_ids: Iterable[int]) -> None:
        self.free = sorted(slot_ids)
        self.size = len(self.free)
        self.held: dict[_Key, Grant] = {}
        self._waiting: dict[_Key, Request] = {}
        self._waiting_by: Counter[ExperimentId] = Counter()
        # Requests that were taken back stay in the heaps and are skipped when they come up.
        self._slotless_heap: list[Request] = []
        self._slotless = 0
        self._holders = Holders()
        self._shares = Shares(self._is_wanted)

    def set_limit(self, experiment_id: ExperimentId, max_slots: int | None) -> None:
        """Cap an experiment's slots; None lifts the cap. The same cap again changes nothing and costs nothing."""
        share = self._shares.of(experiment_id)
        if share.limit != max_slots:
            share.limit = max_slots
            self._shares.settle(share)

    def set_weight(self, experiment_id: ExperimentId, weight: float) -> None:
        """Say how large an experiment's share is, compared with others of its priority; from 0, and 1 if nothing was
        said. It counts for slots that are given from now on."""
        share = self._shares.of(experiment_id)
        if share.weight != weight:
            share.weight = weight
            share.is_next = share.is_next and weight > 0
            self._shares.settle(share)

    def set_priority(self, experiment_id: ExperimentId, priority: int) -> None:
        """Give all requests of an experiment another place in the queue, and its runs another importance."""
        if self._shares.of(experiment_id).priority == priority:
            return
        queue: list[Request] = []
        for key, request in list(self._waiting.items()):
            if request.experiment_id == experiment_id:
                # The old request stays in its heap and is skipped.
                changed = self._waiting[key] = msgspec.structs.replace(request, priority=priority)
                if not request.slots:
                    heapq.heappush(self._slotless_heap, changed)
                elif not self._can_never_fit(request):
                    queue.append(changed)
        self._shares.replace(experiment_id, priority, queue)
        for key, grant in self.held.items():
            request = grant.request
            if request.experiment_id == experiment_id:
                changed = msgspec.structs.replace(request, priority=priority)
                self.held[key] = msgspec.structs.replace(grant, request=changed)
                self._holders.change(changed)

    def leaves(self, trial_id: TrialId, run_id: RunId) -> None:
        """A run was asked to leave; its slots are counted on from now on."""
        self._holders.ask((trial_id, run_id))

    def is_leaving(self, trial_id: TrialId, run_id: RunId) -> bool:
        """Whether a run that holds slots was asked to leave."""
        return self._holders.is_leaving((trial_id, run_id))

    def reclaim(self) -> list[Request]:
        """Runs that should make room for more important ones that wait; they count as asked to leave from now on.

        No more than are needed, and none where all of them would not be enough. To be called after ``grant``.
        """
        asked: list[Request] = []
        first = self._shares.first()
        if first is None or not self._holders.lesser(first.priority):
            return asked
        coming = len(self.free) + self._holders.leaving_slots
        for request in self._shares.in_order():
            if coming + self._holders.lesser(request.priority) < request.slots:
                break
            while coming < request.slots:
                least, slots = self._holders.least()
                self._holders.ask(least.key)
                coming += slots
                asked.append(least)
            coming -= request.slots
        return asked

    def forget(self, experiment_id: ExperimentId) -> None:
        """Drop the bookkeeping of an experiment that is over."""
        self._shares.forget(experiment_id)

    def want(self, request: Request) -> None:
        """Queue a request; the same again changes nothing."""
        if request.key not in self._waiting and request.key not in self.held:
            self._waiting[request.key] = request
            self._waiting_by[request.experiment_id] += 1
            if not request.slots:
                heapq.heappush(self._slotless_heap, request)
            elif not self._can_never_fit(request):
                self._shares.add(request)

    def withdraw(self, trial_id: TrialId, run_id: RunId) -> None:
        """Take a request back."""
        self._drop((trial_id, run_id))

    def hold(self, request: Request, slot_ids: tuple[int, ...]) -> None:
        """Mark slots as held by a run that was found alive. Slots that the pool does not have, or that others hold,
        are left out."""
        if request.key in self.held:
            return
        self._drop(request.key)
        taken = tuple(s for s in slot_ids if s in self.free)
        for s in taken:
            self.free.remove(s)
        self._take(Grant(request, taken))
        if request.slots:
            self._shares.hold(request)

    def release(self, trial_id: TrialId, run_id: RunId) -> None:
        """Free what a run held; unknown runs are ignored."""
        grant = self.held.pop((trial_id, run_id), None)
        if grant is None:
            return
        if not grant.request.slots:
            self._slotless -= 1
            return
        self._holders.remove(grant.request.key)
        self.free = sorted([*self.free, *grant.slot_ids])
        share = self._shares.find(grant.request.experiment_id)
        if share is not None:
            share.used -= grant.request.slots
            self._shares.settle(share)

    def grant(self) -> list[Grant]:
        """Hand out what can be handed out now."""
        granted: list[Grant] = []
        if not self._waiting or not (self.free or self._slotless_heap):
            return granted
        while self._slotless_heap and self._slotless < MAX_SLOTLESS_RUNS:
            request = self._first_slotless()
            if request is None:
                break
            heapq.heappop(self._slotless_heap)
            granted.append(self._give(request))
        while (request := self._shares.first()) is not None:
            if request.slots > len(self.free):
                if self.free:
                    self._shares.keep(request)
                break
            granted.append(self._give(request))
            self._shares.take(request)
        return granted

    def others_waiting(self, trial_id: TrialId, run_id: RunId) -> bool:
        """Whether another run waits for slots of the kind that this run holds."""
        grant = self.held.get((trial_id, run_id))
        if grant is None:
            return False
        if not grant.request.slots:
            return self._first_slotless() is not None
        share = self._shares.of(grant.request.experiment_id)
        return self._shares.first() is not None or self._shares.first_of(share) is not None

    def explain(self, trial_id: TrialId, run_id: RunId) -> str:
        """What a waiting run waits for, in words; "" when it does not wait."""
        request = self._waiting.get((trial_id, run_id))
        if request is None:
            return ""
        obstacle = self._obstacle(request)
        if obstacle or not request.slots:
            return obstacle or "a place, which it is given now"
        return self._lack(request)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def is_contended(self, experiment_id: ExperimentId) -> bool:
        """Whether runs of other experiments than this one wait, for whatever reason."""
        return len(self._waiting_by) > (experiment_id in self._waiting_by)

    def waiting_of(self, experiment_id: ExperimentId) -> int:
        """How many runs of an experiment wait."""
        return self._waiting_by[experiment_id]

    def keys_of(self, experiment_id: ExperimentId) -> list[tuple[TrialId, RunId]]:
        """The runs of an experiment that wait; looks at all that do."""
        return [key for key, request in self._waiting.items() if request.experiment_id == experiment_id]

    def _is_wanted(self, request: Request) -> bool:
        return self._waiting.get((request.trial_id, request.run_id)) is request

    def _drop(self, key: _Key) -> None:
        request = self._no_longer_waits(key)
        if request is not None and request.slots:
            self._shares.settle(self._shares.of(request.experiment_id))

    def _no_longer_waits(self, key: _Key) -> Request | None:
        request = self._waiting.pop(key, None)
        if request is not None:
            left = self._waiting_by[request.experiment_id] = self._waiting_by[request.experiment_id] - 1
            if not left:
                del self._waiting_by[request.experiment_id]
        return request

    def _first_slotless(self) -> Request | None:
        """The first request without slots that is still wanted; those before it are dropped."""
        heap = self._slotless_heap
        while heap and not self._is_wanted(heap[0]):
            heapq.heappop(heap)
        return heap[0] if heap else None

    def _can_never_fit(self, request: Request) -> bool:
        return request.slots > self.size

    def _obstacle(self, request: Request) -> str | None:
        if not request.slots:
            full = self._slotless >= MAX_SLOTLESS_RUNS
            return f"a place: {MAX_SLOTLESS_RUNS} runs without slots is the limit" if full else None
        if self._can_never_fit(request):
            return f"{request.slots} slots, but the pool has only {self.size}: it can never run here"
        share = self._shares.of(request.experiment_id)
        if share.is_over_limit(request.slots):
            return f"its experiment's max_slots: {share.used} of {share.limit} in use"
        return None

    def _lack(self, request: Request) -> str:
        """What keeps a request from slots that it may have."""
        before = self._shares.before(request)
        if request.slots > len(self.free):
            noun = "slot" if request.slots == 1 else "slots"
            coming = self._holders.leaving_slots
            more = f", {coming} when runs leave that were asked to" if coming else ""
            after = f"; {before}" if before else ""
            return f"{request.slots} {noun}: {len(self.free)} of {self.size} free{more}{after}"
        return f"its turn: {before or 'trials of its experiment that were created before it are served first'}"

    def _give(self, request: Request) -> Grant:
        slot_ids = tuple(self.free[: request.slots])
        del self.free[: request.slots]
        self._no_longer_waits(request.key)
        grant = Grant(request, slot_ids)
        self._take(grant)
        return grant

    def _take(self, grant: Grant) -> None:
        self.held[grant.request.key] = grant
        if grant.request.slots:
            self._holders.add(grant.request, len(grant.slot_ids))
        else:
            self._slotless += 1

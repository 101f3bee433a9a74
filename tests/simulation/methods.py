"""Deterministic search methods. But for ``AsyncHalving``, what they decide does not depend on who is faster."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from determined.domain.events import ExitedReason
from determined.domain.operations import Close, Create, Operation, Shutdown, ValidateAfter
from determined.domain.search_method import SearcherState, SearchMethod

NAMESPACE = uuid.UUID(int=7)
WORST = 2.0
Ops = list[Operation]


def name_of(*parts: object) -> uuid.UUID:
    """A request id that depends on what it is for alone."""
    return uuid.uuid5(NAMESPACE, "/".join(map(str, parts)))


class Base(SearchMethod):
    """Keeps everything in ``self.kept``, which is JSON."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.kept: dict[str, Any] = {"created": [], "over": [], "loss": {}}

    def snapshot(self) -> Mapping[str, Any]:
        return self.kept

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.kept = dict(saved)

    def create(self, name: uuid.UUID, length: int, checkpoint: str | None = None, **more: Any) -> Ops:
        self.kept["created"].append(str(name))
        x = random.Random(f"{self.seed}/{name}").randrange(1, 2**31 - 1)
        return [Create(name, {"x": x, **more}, checkpoint), ValidateAfter(name, length)]

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> Ops:
        return []

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> Ops:
        self.kept["loss"].setdefault(str(request_id), {})[str(train_length)] = metric
        return self.decide()

    def on_trial_exited_early(self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason) -> Ops:
        self.kept["over"].append(str(request_id))
        return self.decide()

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> Ops:
        if len(state.trials_closed) == len(self.kept["created"]):
            return [Shutdown()]
        return []

    def progress(self, state: SearcherState) -> float:
        return len(state.trials_closed) / max(len(self.kept["created"]), 1)

    def decide(self) -> Ops:
        return []

    def loss(self, name: str, length: int) -> float:
        found = self.kept["loss"].get(name, {}).get(str(length))
        return WORST if found is None else float(found["loss"])

    def has(self, name: str, length: int) -> bool:
        return name in self.kept["over"] or str(length) in self.kept["loss"].get(name, {})


class RandomSearch(Base):
    """Trials that know nothing of each other."""

    trials, length = 10, 9

    def initial_operations(self, state: SearcherState) -> Ops:
        ops: Ops = []
        for number in range(self.trials):
            name = name_of("random", number)
            ops += [*self.create(name, self.length, every=1 + number % 4), Close(name)]
        return ops


class SyncHalving(Base):
    """The better half of each rung goes on, once all of the rung are there."""

    trials, lengths = 8, (3, 7, 15)

    def initial_operations(self, state: SearcherState) -> Ops:
        names = [name_of("halving", number) for number in range(self.trials)]
        self.kept["rung"], self.kept["members"] = 0, sorted(map(str, names))
        return [op for name in names for op in self.create(name, self.lengths[0])]

    def decide(self) -> Ops:
        rung, members = self.kept["rung"], self.kept["members"]
        if not members or not all(self.has(name, self.lengths[rung]) for name in members):
            return []
        alive = sorted((self.loss(n, self.lengths[rung]), n) for n in members if n not in self.kept["over"])
        is_last = rung + 1 == len(self.lengths)
        best = [] if is_last else [name for _, name in alive[: (len(alive) + 1) // 2]]
        self.kept["rung"], self.kept["members"] = rung + 1, best
        ops: Ops = [Close(uuid.UUID(name)) for _, name in alive if name not in best]
        return ops + [ValidateAfter(uuid.UUID(name), self.lengths[rung + 1]) for name in best]


class AsyncHalving(Base):
    """Decides at once, from what has come so far, as ASHA does; new trials come as slots for them do."""

    trials, at_once, lengths = 14, 5, (3, 7, 15)

    def initial_operations(self, state: SearcherState) -> Ops:
        self.kept["rungs"] = [[] for _ in self.lengths]
        self.kept["closed"] = []
        return [op for _ in range(self.at_once) for op in self._another()]

    def _another(self) -> Ops:
        number = len(self.kept["created"])
        return self.create(name_of("asha", number), self.lengths[0]) if number < self.trials else []

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> Ops:
        rung = self.lengths.index(train_length)
        results = self.kept["rungs"][rung]
        results.append([metric["loss"], str(request_id)])
        better = sum(loss < metric["loss"] for loss, _ in results)
        if rung + 1 < len(self.lengths) and better < max(len(results) // 2, 1):
            return [ValidateAfter(request_id, self.lengths[rung + 1])]
        return [Close(request_id), *self._another()]

    def decide(self) -> Ops:
        return self._another()


class Population(Base):
    """In each generation the worse half makes way for children of the better, which begin where their parents are."""

    size, generations, length = 6, 3, 3

    def initial_operations(self, state: SearcherState) -> Ops:
        names = [name_of("population", 0, number) for number in range(self.size)]
        self.kept["generation"] = 0
        self.kept["goals"] = {str(name): self.length for name in names}
        return [op for name in names for op in self.create(name, self.length)]

    def decide(self) -> Ops:
        goals = self.kept["goals"]
        if not goals or not all(self.has(name, goal) for name, goal in goals.items()):
            return []
        alive = sorted((self.loss(n, goal), n) for n, goal in goals.items() if n not in self.kept["over"])
        self.kept["generation"] += 1
        generation = self.kept["generation"]
        keep = [] if generation == self.generations else [name for _, name in alive[: (len(alive) + 1) // 2]]
        ops: Ops = [Close(uuid.UUID(name)) for _, name in alive if name not in keep]
        self.kept["goals"] = {name: goals[name] + self.length for name in keep}
        ops += [ValidateAfter(uuid.UUID(name), goal) for name, goal in self.kept["goals"].items()]
        for parent in keep:
            ops += self._child(parent, goals[parent], generation)
        return ops

    def _child(self, parent: str, goal: int, generation: int) -> Ops:
        checkpoint = self.kept["loss"][parent][str(goal)]["checkpoint"]
        child = name_of("population", generation, parent)
        self.kept["goals"][str(child)] = self.length
        return self.create(child, self.length, checkpoint)


class Rough(Base):
    """Trials that end in every way that there is; those that end early are replaced, for a while."""

    ways: tuple[dict[str, Any], ...] = (
        {},
        {"way": "invalid", "at": 0},
        {"way": "leave", "at": 2},
        {"way": "fail", "at": 4},
        {"way": "invalid", "at": 3},
        {"every": 100},
        {"way": "leave", "at": 0},
        {"way": "fail", "at": 0},
    )
    length = 6

    def initial_operations(self, state: SearcherState) -> Ops:
        ops: Ops = []
        for number, way in enumerate(self.ways):
            name = name_of("rough", number)
            ops += self.create(name, self.length, **way)
            # Some are closed at once and some later.
            ops += [Close(name)] if number % 2 else []
        return ops

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> Ops:
        if train_length == self.length and request_id == name_of("rough", 0):
            return [ValidateAfter(request_id, 2 * self.length), Close(request_id)]
        return [Close(request_id)]

    def on_trial_exited_early(self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason) -> Ops:
        self.kept["over"].append(str(request_id))
        again = name_of("again", request_id)
        if str(request_id) in self.kept.setdefault("again", []) or len(self.kept["again"]) >= 20:
            return []
        self.kept["again"].append(str(again))
        return [*self.create(again, self.length), Close(again)]


METHODS: Mapping[str, Callable[[int], Base]] = {
    "random": RandomSearch,
    "halving": SyncHalving,
    "asha": AsyncHalving,
    "population": Population,
    "rough": Rough,
}
COMPARABLE = frozenset({"random", "halving", "population", "rough"})
"""Methods whose search ends the same however long things take."""

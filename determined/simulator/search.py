"""The deciding side of a simulation: the real engine, the search method, and what the two say to each other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from determined.domain import facts
from determined.domain.events import SearcherEvent, TrialProgress
from determined.domain.facts import Fact
from determined.domain.ids import ExperimentId, TrialId
from determined.domain.operations import Close, Operation, Progress
from determined.domain.search_method import SearcherState, SearchMethod, dispatch, hear_progress
from determined.engine import effects as fx
from determined.engine.experiment import Experiment, Settings
from determined.methods.ending import ending
from determined.simulator.result import Decision

EXPERIMENT = ExperimentId(1)

Observer = Callable[[float, SearcherEvent, Sequence[Operation]], None]
"""Is told each event, when it was heard, and the answer of the search method, before the answer takes effect."""
Carrier = Callable[[Any], None]
_MOST_DIRTY = 1_000
_PIECE = 500
"""How many trials of one answer are closed at a time."""
_ONLY_PROGRESS = frozenset({Progress})
_INDEPENDENT = frozenset({Close, Progress})


class Search:
    """Takes facts to the engine and events to the method, the way that a search runner and a master do together.

    Every event reaches the method in order and at once, in virtual time. An answer that only tells the progress of the
    search is posted together with the next one that asks for something: a runner, too, posts one answer for all events
    that it has fetched.

    Attributes:
        carriers: who carries out effects, by their type; effects without one concern nobody.
        created: trials that the engine has accepted; kept by the carrier of ``TrialAdded``.
        decisions: everything that the method asked for, except progress.
    """

    def __init__(
        self,
        method: SearchMethod,
        settings: Settings,
        carriers: Mapping[type[Any], Carrier],
        observer: Observer | None,
        keep_decisions: bool,
    ) -> None:
        self.method = ending(method)
        self.engine = Experiment(settings)
        self.state = SearcherState()
        self.state.experiment_id = settings.experiment_id
        self.state.last_event_id = 0
        self.carriers = carriers
        self.observer = observer
        self.keep_decisions = keep_decisions
        self.created = 0
        self.events: Counter[type[SearcherEvent]] = Counter()
        self.operations: Counter[type[Operation]] = Counter()
        self.decisions: list[Decision] = []
        self._queue: deque[fx.EventEnqueued] = deque()
        self._unposted: list[Operation] = []

    def tell(self, fact: Fact) -> None:
        """Hand a fact to the engine, and all that follows from it to the method; reports of progress go elsewhere."""
        effects = self.engine.handle(fact)
        if effects:
            self._carry_out(effects)
        queue = self._queue
        while queue:
            self._hear(queue.popleft(), fact.at)
        if len(self.engine.dirty) > _MOST_DIRTY:
            self._forget_dirty()

    def report(self, fact: facts.ProgressReported) -> None:
        """The same for a report of progress, which is most of what a simulation does."""
        for effect in self.engine.handle(fact):
            if type(effect) is fx.EventEnqueued:
                event = effect.event
                assert type(event) is TrialProgress
                self._unposted = answer = hear_progress(self.method, self.state, event)
                self.state.last_event_id = effect.event_id
                if self.observer is not None:
                    self.observer(fact.at, event, answer)

    def flush(self, at: float) -> None:
        """Post what has not been posted."""
        if self.state.last_event_id > self.engine.answered:
            self._post(tuple(self._unposted), at)

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """How many events the method has heard, and how many operations it gave, by their names."""
        heard, given = Counter(self.events), Counter(self.operations)
        # Reports are not counted one by one: each is one event, and one operation.
        heard[TrialProgress] = self.state.last_event_id - self.events.total()
        given[Progress] += heard[TrialProgress]
        named = [{kind.__name__: number for kind, number in counter.items() if number} for counter in (heard, given)]
        return named[0], named[1]

    def _hear(self, queued: fx.EventEnqueued, at: float) -> None:
        event = queued.event
        answer = dispatch(self.method, self.state, event)
        self.state.last_event_id = queued.event_id
        self.events[type(event)] += 1
        if self.observer is not None:
            self.observer(at, event, answer)
        if not _ONLY_PROGRESS.issuperset(map(type, answer)):
            self._decide(answer, queued.event_id, at)
        elif answer:
            self.operations[Progress] += len(answer)
            self._unposted = answer

    def _decide(self, answer: list[Operation], event_id: int, at: float) -> None:
        count = self.operations
        for op in answer:
            count[type(op)] += 1
            if self.keep_decisions and type(op) is not Progress:
                self.decisions.append(Decision(at, event_id, op))
        self._post((*self._unposted, *answer), at)

    def _post(self, operations: tuple[Operation, ...], at: float) -> None:
        self._unposted = []
        if len(operations) > _PIECE and _INDEPENDENT.issuperset(map(type, operations)):
            # Trials that are only closed have nothing to do with each other, so they may as well be closed some at a
            # time: what is known of them stays near the processor, and little of what follows exists at once.
            end = len(operations) - _PIECE
            for start in range(0, end, _PIECE):
                self._hand_in(operations[start : start + _PIECE], None, at)
            operations = operations[start + _PIECE :]
        self._hand_in(operations, self.state.last_event_id, at)

    def _hand_in(self, operations: tuple[Operation, ...], trigger: int | None, at: float) -> None:
        first = TrialId(self.created + 1)
        posted = facts.OperationsPosted(at=at, operations=operations, trigger=trigger, first_trial_id=first)
        self._carry_out(self.engine.handle(posted))
        if len(self.engine.dirty) > _MOST_DIRTY:
            self._forget_dirty()

    def _forget_dirty(self) -> None:
        # They wait for a snapshot, which nobody takes here.
        self.engine.dirty.clear()

    def _carry_out(self, effects: Sequence[fx.Effect]) -> None:
        carriers, enqueue = self.carriers, self._queue.append
        for effect in effects:
            if type(effect) is fx.EventEnqueued:
                enqueue(effect)
            elif type(effect) in carriers:
                carriers[type(effect)](effect)

"""What can be asked of the model master, and the requests that it holds until there is news."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import msgspec

from determined.domain import facts
from determined.domain.facts import Fact
from determined.domain.ids import RunId, TrialId
from determined.domain.states import ExperimentState
from determined.engine.experiment import AlreadyAnswered
from determined.engine.hold import Situation, hold_s
from determined.errors import Conflict, StaleRun
from determined.wire.searcher import Inactive, event_to_json, operations_digest, operations_from_json
from tests.simulation.clock import Timer
from tests.simulation.network import Answer
from tests.simulation.processes import Call

if TYPE_CHECKING:
    from tests.simulation.master import Extra, Master

EVENTS_WAIT_S = 60.0
ATTACHED_FOR_S = 10.0
Look = Callable[[], "float | None"]
"""Answers and returns None, or says how long to wait for news."""


class _Held:
    """A request that waits."""

    def __init__(self, requests: Requests, topics: tuple[Hashable, ...], look: Look) -> None:
        self.requests = requests
        self.topics = topics
        self._look = look
        self._timer: Timer | None = None

    def look(self) -> None:
        left = self._look()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if left is None:
            self.requests.drop(self)
        else:
            self._timer = self.requests.master.later(left, self.look, "a held request is due")


class Requests:
    """Handles calls, each as the real master does."""

    def __init__(self, master: Master) -> None:
        self.master = master
        self._held: dict[Hashable, dict[_Held, None]] = {}
        self._polls = 0
        self._polled_at = float("-inf")

    def handle(self, call: Call, answer: Answer) -> None:
        getattr(self, f"_on_{call.kind}")(call, answer)

    # Waiting

    def tell(self, topic: Hashable) -> None:
        for held in list(self._held.get(topic, ())):
            held.look()

    def hold(self, topics: tuple[Hashable, ...], look: Look) -> None:
        held = _Held(self, topics, look)
        for topic in topics:
            self._held.setdefault(topic, {})[held] = None
        held.look()

    def drop(self, held: _Held) -> None:
        for topic in held.topics:
            self._held[topic].pop(held, None)

    # Reports of trials

    def _report(self, call: Call, answer: Answer, fact: Fact, extra: Extra | None = None) -> None:
        if self.master.engine.state.is_terminal:
            raise StaleRun("the experiment is over")
        self.master.submit(fact, lambda error: answer(error), call, extra)

    def _who(self, call: Call) -> dict[str, Any]:
        return {"at": self.master.clock.now, "trial_id": TrialId(call.about[0]), "run_id": RunId(call.about[1])}

    def _on_seen(self, call: Call, answer: Answer) -> None:
        self._report(call, answer, facts.RunSeen(**self._who(call)))

    def _on_ack(self, call: Call, answer: Answer) -> None:
        self._report(call, answer, facts.ExitAcknowledged(**self._who(call)))

    def _on_early_exit(self, call: Call, answer: Answer) -> None:
        self._report(call, answer, facts.EarlyExitReported(**self._who(call)))

    def _on_progress(self, call: Call, answer: Answer) -> None:
        units, name = call.body
        self._report(call, answer, facts.ProgressReported(**self._who(call), units=units, report=name))

    def _on_completed(self, call: Call, answer: Answer) -> None:
        length, metric = call.body
        self._report(call, answer, facts.OperationCompleted(**self._who(call), length=length, metric=metric))

    def _on_metrics(self, call: Call, answer: Answer) -> None:
        group, steps, value = call.body
        fact = facts.MetricsReported(**self._who(call), group=group, steps=steps)
        self._report(call, answer, fact, ("metrics", (call.about[0], group, steps), value))

    def _on_checkpoint(self, call: Call, answer: Answer) -> None:
        uuid, steps = call.body
        fact = facts.CheckpointReported(**self._who(call), uuid=uuid, steps=steps)
        self._report(call, answer, fact, ("checkpoints", uuid, (call.about[0], steps)))

    def _on_preempt_run(self, call: Call, answer: Answer) -> None:
        self._report(call, answer, facts.PreemptionRequested(**self._who(call)))

    # Questions of trials

    def _on_operation(self, call: Call, answer: Answer) -> None:
        asked_at = self.master.clock.now
        trial_id, run_id = TrialId(call.about[0]), RunId(call.about[1])

        def look() -> float | None:
            try:
                trial, _ = self.master.engine.current_run(trial_id, run_id)
            except StaleRun as e:
                answer(e)
                return None
            left = hold_s(trial, self._situation(call, asked_at)) if trial.complete else 0.0
            if left > 0.0:
                return left
            length = None if trial.complete else trial.length
            self.master.when_settled(lambda error: answer(error or length))
            return None

        self.hold((("operation", trial_id), "answered", "slots wanted"), look)

    def _situation(self, call: Call, asked_at: float) -> Situation:
        now = self.master.clock.now
        return Situation(
            now=now,
            asked_at=asked_at,
            answered=self.master.answered,
            answered_at=self.master.answered_at,
            attached=self._polls > 0 or now - self._polled_at < ATTACHED_FOR_S,
            contested=self.master.pool.others_waiting(TrialId(call.about[0]), RunId(call.about[1])),
        )

    def _on_preemption(self, call: Call, answer: Answer) -> None:
        deadline = self.master.clock.now + call.body
        trial_id, run_id = TrialId(call.about[0]), RunId(call.about[1])

        def look() -> float | None:
            try:
                _, run = self.master.engine.current_run(trial_id, run_id)
            except StaleRun as e:
                answer(e)
                return None
            left: float = deadline - self.master.clock.now
            if run.preempted or run.killed or left <= 0.0:
                answer(run.preempted or run.killed)
                return None
            return left

        self.hold((("preempt", trial_id),), look)

    # The search runner

    def _on_attach(self, call: Call, answer: Answer) -> None:
        self.master.epoch += 1
        epoch = self.master.epoch
        self.master.disk.epoch = epoch
        answer(epoch)

    def _on_events(self, call: Call, answer: Answer) -> None:
        deadline = self.master.clock.now + EVENTS_WAIT_S
        self._polls += 1
        self.tell("answered")

        def look() -> float | None:
            state, queue = self.master.engine.state, self.master.queue
            left: float = deadline - self.master.clock.now
            if self.master.disk.state.is_terminal or state is ExperimentState.PAUSED:
                found = [event_to_json(-1, Inactive(state))]
            elif state is ExperimentState.ACTIVE and queue:
                found = [msgspec.json.decode(body) for _, body in queue]
            elif left > 0.0:
                return left
            else:
                found = [] if state.is_running else [event_to_json(-1, Inactive(state))]
            self._polls -= 1
            self._polled_at = self.master.clock.now
            answer(found)
            return None

        self.hold(("experiment",), look)

    def _on_operations(self, call: Call, answer: Answer) -> None:
        trigger, wire, epoch = call.body
        if self.master.disk.state.is_terminal:
            answer(None)
            return
        if epoch != self.master.epoch:
            raise Conflict(f"another search runner has taken over (epoch {self.master.epoch}, yours is {epoch})")
        operations = tuple(operations_from_json(wire))
        fact = facts.OperationsPosted(
            at=self.master.clock.now,
            operations=operations,
            trigger=trigger,
            first_trial_id=self.master.next_trial,
            digest=operations_digest(operations),
        )
        try:
            self.master.submit(fact, lambda error: answer(error))
        except AlreadyAnswered:
            self.repeated(fact, answer)

    def repeated(self, fact: facts.OperationsPosted, answer: Answer) -> None:
        """An answer that was given before; the same is fine, once the first is stored."""

        def compare(error: Exception | None) -> None:
            same = self.master.disk.batches.get(fact.trigger or 0) == fact.digest
            answer(error or (None if same else Conflict(f"event {fact.trigger} was answered with other operations")))

        self.master.when_settled(compare)

    # Users

    def _on_command(self, call: Call, answer: Answer) -> None:
        fact = facts.ExperimentCommanded(at=self.master.clock.now, verb=call.body)
        self.master.submit(fact, lambda error: answer(error))

    def _on_kill_trial(self, call: Call, answer: Answer) -> None:
        fact = facts.TrialKillRequested(at=self.master.clock.now, trial_id=TrialId(call.body))
        self.master.submit(fact, lambda error: answer(error))

    def _on_cancel_trial(self, call: Call, answer: Answer) -> None:
        fact = facts.TrialCancelRequested(at=self.master.clock.now, trial_id=TrialId(call.body))
        self.master.submit(fact, lambda error: answer(error))

    def _on_state(self, call: Call, answer: Answer) -> None:
        answer(self.master.disk.state)

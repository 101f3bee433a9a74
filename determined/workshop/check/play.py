"""Plays one world: choices lead to events, copies of the method answer them in step, and every answer is judged."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from determined.domain.events import SearcherEvent
from determined.domain.operations import Operation
from determined.errors import InvalidOperations
from determined.workshop.check import story
from determined.workshop.check.answers import Answer
from determined.workshop.check.copies import Copy, generators_kept
from determined.workshop.check.findings import Fault, Finding, Kind, Step
from determined.workshop.check.moves import COMMANDS, Chooser, Move, Setting, finish
from determined.workshop.check.rules import NO_LIMITS, Budget, Judge
from determined.workshop.check.shared import Process
from determined.workshop.check.world import World
from determined.workshop.load import Factory


@dataclass(frozen=True, slots=True)
class Subject:
    """The method under check, and what is to be expected of it.

    Attributes:
        make: makes it anew.
        metric: from a number to what trials of this search report.
        repeatable: equal events get equal answers; otherwise chance may decide hyperparameters.
        max_events: a search that goes on after so many is taken for endless.
    """

    make: Factory
    budget: Budget = NO_LIMITS
    metric: Callable[[float], Any] = float
    repeatable: bool = True
    max_events: int = 2000


@dataclass(slots=True)
class Outcome:
    """What became of a world.

    Attributes:
        moves: the choices that were made, without those of ``finish``.
        finding: None when all is well.
        by_chance: the same choices do not always lead to the finding.
        repeats, repeated, grows: what the ``Judge`` says of lengths, ``repeated`` with its story.
    """

    setting: Setting
    moves: list[Move] = field(default_factory=list)
    story: list[Step] = field(default_factory=list)
    finding: Finding | None = None
    by_chance: bool = False
    repeats: str = ""
    repeated: Finding | None = None
    grows: bool = False
    events: int = 0
    reloads: int = 0

    @property
    def work(self) -> int:
        """Events, weighted: in a long world each one takes longer, because more is saved and loaded."""
        return self.events * (1 + self.events // 200)

    @property
    def size(self) -> tuple[int, int]:
        """What is to be small: the story, and then the choices."""
        return len(self.finding.story) if self.finding else 0, len(self.moves)


COPIES = 4
"""How many copies of a method are compared."""


class Play:
    """One world from its beginning to its end.

    Args:
        processes: where the copies of the method live, one for each: the steady one, and, if there are ``COPIES``, its
            twin, the one that is saved at every event, and the one that is reloaded at every event.
    """

    def __init__(
        self,
        subject: Subject,
        setting: Setting,
        folder: Path,
        processes: Sequence[Process],
    ) -> None:
        self.subject = subject
        self.folder = folder
        self.outcome = Outcome(setting)
        self.world = World(setting.workers, setting.max_restarts)
        self.judge = Judge(subject.budget)
        self.steady, *self.others = (Copy(subject.make, process) for process in processes)

    def run(self, choose: Chooser) -> Outcome:
        """Make the choices, then let the search run to its end."""
        try:
            self._run(choose)
        except Fault as fault:
            steps = story.folded(self.outcome.story, fault.kind)
            self.outcome.finding = Finding(fault.kind, fault.text, tuple(steps))
        self.outcome.grows, self.outcome.repeats = self.judge.grows, self.judge.repeats
        self.outcome.reloads = sum(copy.reloads for copy in self.others)
        return self.outcome

    def _run(self, choose: Chooser) -> None:
        choosing = True
        while not self.world.is_over:
            choosing = choosing and not self.judge.has_shut_down
            move = choose(self.world) if choosing else None
            if move is not None:
                self.outcome.moves.append(move)
            else:
                choosing = False
                move = finish(self.world)
            if move is None and self.judge.has_shut_down:
                break
            if move is None:
                raise Fault(Kind.DEADLOCK, story.deadlock(self.judge))
            self._make(move)
        if self.world.queue:
            # A runner hands over what is left, also when the experiment is over.
            self._answer(len(self.world.queue))

    def _make(self, move: Move) -> None:
        verb, name, value = move
        world = self.world
        if verb == "answer":
            self._answer(int(value) or len(world.queue))
            return
        if verb == "validate":
            world.validate(name, self.subject.metric(value))
        elif verb == "progress":
            world.progress(name, value)
        elif verb == "repeat":
            world.repeat(name)
        elif verb == "leave":
            world.exit(name, 0, acknowledged=True)
        elif verb == "crash":
            world.exit(name, 1)
        elif verb == "stop":
            world.exit(name, 0)
        elif verb == "invalid":
            world.exit(name, 1, invalid=True)
        elif verb == "kill":
            world.kill(name)
        elif verb == "workers":
            world.set_workers(int(value))
        else:
            world.command(COMMANDS[verb])
        told = story.told(move)
        if told:
            self.outcome.story.append(Step(told))

    def _answer(self, count: int) -> None:
        operations: list[Operation] = []
        trigger = 0
        for _ in range(min(count, len(self.world.queue))):
            trigger, event = self.world.queue.popleft()
            operations += self._handle(trigger, event).operations
        try:
            self.world.post(operations, trigger)
        except InvalidOperations as error:
            raise Fault(Kind.ANSWER, f"the master refuses it: {error}.") from error

    def _handle(self, event_id: int, event: SearcherEvent) -> Answer:
        self.outcome.events += 1
        self.judge.hear(event, self.steady.names)
        told = story.event(event, self.steady.names)
        try:
            answer = self.steady.handle(event_id, event)
        except Fault as fault:
            self.outcome.story.append(Step(f"{told} -> ?"))
            raise fault
        self.outcome.story.append(Step(told, tuple(map(str, answer.orders)), answer.progress))
        if self.others:
            self._compare(event_id, event, answer)
        self.judge.check(event, answer, self.steady.names)
        if self.judge.repeated and self.outcome.repeated is None:
            steps = story.folded(self.outcome.story, Kind.LENGTH)
            self.outcome.repeated = Finding(Kind.LENGTH, self.judge.repeated, tuple(steps))
        if self.outcome.events >= self.subject.max_events:
            raise Fault(Kind.ENDLESS, story.endless(self.judge, self.outcome.events))
        return answer

    def _compare(self, event_id: int, event: SearcherEvent, answer: Answer) -> None:
        twin, saved, reloaded = self.others
        self._expect(twin, Kind.RANDOM, story.TWIN, event_id, event, answer)
        saved.save(self.folder)
        self._expect(saved, Kind.SAVING, story.SAVED, event_id, event, answer)
        reloaded.reload(self.folder)
        self._expect(reloaded, Kind.RELOAD, story.RELOADED, event_id, event, answer)

    def _expect(self, copy: Copy, kind: Kind, who: str, event_id: int, event: SearcherEvent, answer: Answer) -> None:
        try:
            its = copy.handle(event_id, self.steady.names.translate(event, copy.names))
        except Fault as fault:
            raise Fault(kind, f"{who} fails instead: {fault.text}{story.ADVICE[kind]}") from fault
        if not answer.is_like(its, shape_only=not self.subject.repeatable):
            mine, other = answer.difference(its)
            raise Fault(kind, f"{who} answers {other} instead of {mine}.{story.ADVICE[kind]}")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for what methods write; and the generators that belong to nobody are as before when it is gone."""
    with tempfile.TemporaryDirectory(prefix="det-check-") as name, generators_kept():
        yield Path(name)

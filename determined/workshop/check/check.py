"""The check of one method as a whole: one calm world, many that Hypothesis makes, and what their findings mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from determined.workshop.check.chance import confirmed
from determined.workshop.check.elsewhere import Elsewhere
from determined.workshop.check.explore import Exploration
from determined.workshop.check.findings import Finding, Kind
from determined.workshop.check.moves import Chooser, Move, Setting, scripted
from determined.workshop.check.play import COPIES, Outcome, Play, Subject
from determined.workshop.check.shared import OwnProcess, Process, Shared
from determined.workshop.check.shorten import shorten

MAX_WORK = 20_000
"""After so many weighted events no further world is begun, so that long searches do not take for ever."""
MAX_EVENTS_ELSEWHERE = 3_000
"""The same, not weighted, for worlds that are played in other processes."""


class Checker:
    """Plays worlds against one method.

    Attributes:
        worlds: those without a fault.
    """

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject = subject
        self.folder = folder
        self.shared = Shared(subject.make())
        self.worlds: list[Outcome] = []

    def explore(self, examples: int, seed: int | None) -> Outcome | None:
        """Play so many worlds; the one that shows a fault in the shortest way, None when all is well."""
        with self.shared.kept():
            calm = self.replay(Setting(), ())
            if calm.finding is not None:
                return calm if calm.finding.kind is Kind.ENDLESS else self._settled(calm)
            self.worlds.append(calm)
            exploration = Exploration(self.play, MAX_WORK)
            if examples > 1:
                exploration.run(examples - 1, seed)
            self.worlds += exploration.worlds
            return self._never_growing() if exploration.failed is None else self._settled(exploration.failed)

    def _settled(self, failed: Outcome) -> Outcome:
        """The shortest story for a fault, and whether it comes by chance."""
        short = shorten(failed, self.replay)
        return confirmed(short, self.replay, repeatable=self.subject.repeatable)

    def _never_growing(self) -> Outcome | None:
        """A world in which a length comes twice, if in none of them a trial gets on."""
        if any(world.grows for world in self.worlds):
            return None
        found = next((world for world in self.worlds if world.repeated is not None), None)
        return None if found is None else shorten(_strict(found), self.replay_strictly)

    def explore_elsewhere(self) -> Outcome | None:
        """Play worlds again in processes that order sets differently; one in which answers differ, if there is any.

        Raises:
            NotElsewhere: the method cannot be made in another process.
        """
        with Elsewhere(self.subject) as elsewhere:
            events = 0
            for world in self.worlds:
                found = elsewhere.play(world.setting, world.moves)
                if found.finding is not None:
                    return confirmed(shorten(found, elsewhere.play), elsewhere.play, repeatable=True)
                events += found.events
                if events > MAX_EVENTS_ELSEWHERE:
                    break
        return None

    def notes(self) -> Iterator[str]:
        """What is allowed, but worth knowing; a sentence each."""
        repeats = next((world.repeats for world in self.worlds if world.repeats), "")
        if repeats:
            yield (
                f"it asks for a length that the trial has completed already, e.g. {repeats}; the trial validates again "
                "and trains nothing in between, as lengths count from its start"
            )

    def replay(self, setting: Setting, moves: Sequence[Move]) -> Outcome:
        """Play one world whose choices are known."""
        with self.shared.kept():
            return self.play(setting, scripted(moves))

    def replay_strictly(self, setting: Setting, moves: Sequence[Move]) -> Outcome:
        """The same, and judge lengths by this world alone."""
        return _strict(self.replay(setting, moves))

    def play(self, setting: Setting, chooser: Chooser) -> Outcome:
        """Play one world; when variables outside of the method have changed, find out whether that matters."""
        self.shared.reset()
        outcome = Play(self.subject, setting, self.folder, [Process()] * COPIES).run(chooser)
        changed = self.shared.changed()
        if not changed:
            return outcome
        apart = self._apart(outcome, forgets=True)
        if apart.finding is None and outcome.finding is None:
            return outcome
        if apart.finding is None:
            return _shared(outcome, changed, "Copies in one process get into each other's way")
        if self._apart(outcome, forgets=False).finding is not None:
            return apart
        return _shared(apart, changed, "A new process does not have that")

    def _apart(self, outcome: Outcome, *, forgets: bool) -> Outcome:
        """The same world, with each copy of the method in a process of its own."""
        processes = [OwnProcess(self.shared, forgets=forgets) for _ in range(COPIES)]
        return Play(self.subject, outcome.setting, self.folder, processes).run(scripted(outcome.moves))


def _strict(outcome: Outcome) -> Outcome:
    if outcome.finding is None and not outcome.grows:
        outcome.finding = outcome.repeated
    return outcome


def _shared(outcome: Outcome, changed: list[str], why: str) -> Outcome:
    assert outcome.finding is not None
    names = ", ".join(changed)
    text = (
        f"{names} changed while the method ran. {why}: {outcome.finding.text} Keep state in attributes of the object."
    )
    outcome.finding = Finding(Kind.SHARED, text, outcome.finding.story)
    return outcome

"""What follows from a unit by itself is submitted with it: a built-in method's answer, and slots for its next runs.

So it is in the same commit as a rule, and a trial waits for the disk once and not three times. It may be done because
the units of an experiment are stored in order, and a failed one takes those after it along: an answer never outlives
the event that it answers. Nothing of it reaches a process or a client before it is durable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from determined.engine import effects as fx
from determined.engine.effects import Effect
from determined.master.service.dispatch import Dispatcher
from determined.master.service.lane import Lane
from determined.master.service.rows import Events
from determined.master.service.searches import Searches


class Ahead:
    """Hears of each submitted unit; never waits, never raises."""

    def __init__(self, searches: Searches, dispatcher: Dispatcher) -> None:
        self._searches = searches
        self._dispatcher = dispatcher
        self._units: deque[tuple[Sequence[Effect], Events]] = deque()
        self._at_work = False

    def look(self, lane: Lane, effects: Sequence[Effect], events: Events) -> None:
        """Submit what follows from a unit, and what follows from that; all of it is about the same experiment."""
        self._units.append((effects, events))
        if self._at_work:
            # It was submitted from the loop below.
            return
        self._at_work = True
        try:
            while self._units:
                self._answer_all(lane)
        finally:
            self._at_work = False
            self._units.clear()

    def _answer_all(self, lane: Lane) -> None:
        """All answers come before the slots, so that every run that is ready is among those to choose from."""
        moved: list[Effect] = []
        while self._units:
            effects, events = self._units.popleft()
            moved += [effect for effect in effects if isinstance(effect, (fx.SlotsWanted, fx.RunEnded))]
            if events:
                self._searches.answer_ahead(lane, events)
        if moved:
            self._dispatcher.grant_ahead(lane, moved)

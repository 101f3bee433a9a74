"""Workers of a simulation: the real pool of slots, whose size may change, and who keeps one without work."""

from __future__ import annotations

from collections.abc import Iterator

from determined.domain.ids import RunId, TrialId
from determined.engine.slots import DEFAULT_PRIORITY, Grant, Request, SlotPool
from determined.simulator.process import Process
from determined.simulator.search import EXPERIMENT


class Workers:
    """Who has a worker, who waits for one, and who keeps one without work.

    Attributes:
        idle: processes without work, those that have waited longest first.
        has_news: something may be handed out, or has to be given up, that was not a moment ago.
    """

    def __init__(self, most: int, slots_per_trial: int, max_slots: int | None) -> None:
        self.width = slots_per_trial
        # The pool always knows of all slots that there will ever be: it drops requests that can never fit.
        self.pool = SlotPool(range(most * slots_per_trial))
        self.pool.set_limit(EXPERIMENT, max_slots)
        self.open_slots = self.pool.size
        self.idle: dict[TrialId, Process] = {}
        self.has_news = True

    def want(self, trial_id: TrialId, run_id: RunId, slots: int) -> None:
        """Queue a run."""
        self.has_news = True
        self.pool.want(Request(DEFAULT_PRIORITY, EXPERIMENT, trial_id, run_id, slots))

    def grant(self) -> list[Grant]:
        """Hand out what can be handed out now."""
        granted = self.pool.grant()
        # What is left to wait may now make somebody give up a worker without work.
        self.has_news = bool(granted)
        return granted

    def rest(self, process: Process) -> None:
        """A process keeps its worker without work."""
        self.idle[process.trial_id] = process
        self.has_news = True

    def release(self, trial_id: TrialId, run_id: RunId) -> None:
        """Take back the slots of a run that is over; those that are closed stay out of use."""
        self.has_news = True
        self.idle.pop(trial_id, None)
        self.pool.release(trial_id, run_id)
        if self.open_slots < self.pool.size:
            self.pool.free = [slot for slot in self.pool.free if slot < self.open_slots]

    def idle_one(self) -> Process | None:
        """A process that has to make room: it has no work, and somebody waits for what it holds."""
        for process in self.idle.values():
            return process if self.pool.others_waiting(process.trial_id, process.run_id) else None
        return None

    def resize(self, workers: int) -> Iterator[tuple[TrialId, RunId]]:
        """Open or close slots; the runs that hold closed ones."""
        self.has_news = True
        self.open_slots = workers * self.width
        held = {slot for grant in self.pool.held.values() for slot in grant.slot_ids}
        self.pool.free = sorted(slot for slot in range(self.open_slots) if slot not in held)
        for grant in list(self.pool.held.values()):
            if grant.slot_ids[-1] >= self.open_slots:
                yield grant.request.key

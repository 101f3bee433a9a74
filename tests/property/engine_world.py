"""What the effects of an engine add up to, when they are carried out; impossible orders fail here."""

from __future__ import annotations

from determined.domain.events import SearcherEvent
from determined.engine import effects as fx
from determined.engine.effects import Effect
from tests.property.engine_model import SETTINGS


class World:
    """Rows, queue, processes and events, as the master would keep them.

    Attributes:
        kills, started: of the newest fact only.
    """

    def __init__(self) -> None:
        self.rows: dict[int, fx.TrialChanged | fx.TrialAdded] = {}
        self.queue: set[tuple[int, int]] = set()
        self.processes: set[tuple[int, int]] = set()
        self.asked: set[tuple[int, int]] = set()
        self.events: list[SearcherEvent] = []
        self.kills: list[tuple[int, int]] = []
        self.started: list[tuple[int, int, str, int]] = []

    def carry_out(self, effects: list[Effect]) -> None:
        self.kills, self.started = [], []
        rows: list[object] = []
        for e in effects:
            if isinstance(e, (fx.TrialAdded, fx.TrialChanged)):
                rows.append((type(e), e.trial_id))
                assert isinstance(e, fx.TrialAdded) == (e.trial_id not in self.rows)
                self.rows[e.trial_id] = e
            elif isinstance(e, (fx.ExperimentChanged, fx.OperationChanged)):
                rows.append(e)
            elif isinstance(e, fx.EventEnqueued):
                self.events.append(e.event)
                assert e.event_id == len(self.events)
            elif isinstance(e, fx.SlotsWanted):
                assert (e.trial_id, e.run_id) not in self.queue
                assert e.slots == SETTINGS.slots_per_trial
                self.queue.add((e.trial_id, e.run_id))
            elif isinstance(e, fx.SlotsWithdrawn):
                self.queue.remove((e.trial_id, e.run_id))
            elif isinstance(e, fx.RunStart):
                self.queue.remove((e.trial_id, e.run_id))
                assert all(trial != e.trial_id for trial, _ in self.processes)
                self.processes.add((e.trial_id, e.run_id))
                self.started.append((e.trial_id, e.run_id, e.checkpoint or "", e.steps))
            elif isinstance(e, fx.RunEnded):
                self.processes.remove((e.trial_id, e.run_id))
            elif isinstance(e, fx.RunPreempt):
                assert (e.trial_id, e.run_id) in self.processes
                self.asked.add((e.trial_id, e.run_id))
            elif isinstance(e, fx.RunKill):
                assert (e.trial_id, e.run_id) in self.processes
                self.kills.append((e.trial_id, e.run_id))
            elif isinstance(e, fx.ExperimentEnded):
                assert not self.processes
                assert not self.queue
                assert e is effects[-1]
        assert len(rows) == len({repr(r) for r in rows}), "a row is written twice"

"""Runs of trials as processes of their own: they live on when the master dies, and how they ended is not forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.clock import Clock
from tests.simulation.disk import demand
from tests.simulation.processes import Process

Key = tuple[int, int]
"""Trial and run."""
UNKNOWN = "nobody saw how it ended"


@dataclass(frozen=True)
class Spec:
    """What a run is started with."""

    trial_id: int
    run_id: int
    slot_ids: tuple[int, ...]
    checkpoint: str | None
    steps: int

    @property
    def key(self) -> Key:
        return (self.trial_id, self.run_id)


@dataclass(eq=False)
class Run:
    """One allocation. ``code`` counts only when ``is_over``."""

    spec: Spec
    processes: list[Process] = field(default_factory=list)
    is_over: bool = False
    code: int | None = None

    def end(self, code: int | None) -> None:
        if not self.is_over:
            self.is_over, self.code = True, code
            for process in self.processes:
                if process.alive:
                    process.die()


class Launcher:
    """Knows every run that was ever started.

    Attributes:
        slots: how many there are; no two live runs may share one.
        listener: hears of ends; None while there is no master.
    """

    def __init__(self, clock: Clock, slots: int, open_run: Callable[[Run], None]) -> None:
        self.clock = clock
        self.slots = slots
        self.runs: dict[Key, Run] = {}
        self.listener: Callable[[Key, int | None], None] | None = None
        self._open_run = open_run

    @property
    def live(self) -> list[Run]:
        return [run for run in self.runs.values() if not run.is_over]

    def start(self, spec: Spec) -> None:
        """Start a run; once is enough."""
        if spec.key in self.runs:
            return
        run = Run(spec)
        for other in self.live:
            demand(other.spec.trial_id != spec.trial_id, f"trial {spec.trial_id} has two live runs")
            shared = set(other.spec.slot_ids) & set(spec.slot_ids)
            demand(not shared, f"slots {shared} are used by {other.spec.key} and {spec.key}")
        demand(all(0 <= slot < self.slots for slot in spec.slot_ids), f"{spec.key} runs on {spec.slot_ids}")
        self.runs[spec.key] = run
        self._open_run(run)

    def adopt(self, key: Key) -> bool:
        """Whether the run was started; if it is over, that is told again."""
        run = self.runs.get(key)
        if run is not None and run.is_over:
            self._tell(run)
        return run is not None

    def kill(self, key: Key) -> None:
        """End a live run; its end is told as any other."""
        run = self.runs.get(key)
        if run is not None:
            self.end(run, 137)

    def end(self, run: Run, code: int | None) -> None:
        """The run's last process is gone."""
        if not run.is_over:
            run.end(code)
            delay_s = 0.01 + self.clock.random.random()
            self.clock.after(delay_s, lambda: self._tell(run), f"launcher: {run.spec.key} ended with {code}")

    def _tell(self, run: Run) -> None:
        if self.listener is not None:
            self.listener(run.spec.key, run.code)

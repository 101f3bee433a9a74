"""One play of a whole search: master, launcher, trials, search runner, users and the network, all from one seed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

from determined.domain.states import ExperimentState
from determined.engine.experiment import Settings
from determined.errors import DeterminedError
from tests.simulation import faults
from tests.simulation.clock import Clock
from tests.simulation.digest import Digest, compare, digest_of
from tests.simulation.disk import EXPERIMENT, Disk, Violation, demand
from tests.simulation.faults import Faults, Plan
from tests.simulation.launcher import Launcher, Run
from tests.simulation.master import Master
from tests.simulation.methods import COMPARABLE, METHODS
from tests.simulation.network import Answer, Network
from tests.simulation.processes import Call, Process, Script
from tests.simulation.runner import Saves, SimulatedRunner, chained, script
from tests.simulation.trial import Storage, Training, open_run

MAX_RESTARTS = (0, 2, 5)
MOST_EVENTS = 100_000
MOST_S = 100_000.0
"""Virtual seconds after which a search that has not ended is stuck; a run that hangs is killed after an hour."""


@dataclass(frozen=True)
class Setup:
    """What is searched, and on what. The end of a comparable search depends on method and restarts alone."""

    method: str
    slots: int = 4
    slots_per_trial: int = 1
    max_restarts: int = 2
    snapshot_every: int = 16


@dataclass
class Outcome:
    """What a play came to; ``was_compared``: it was found equal to the undisturbed play."""

    seed: int
    setup: Setup
    trace: str
    counts: Counter[str]
    happened: Counter[str]
    digest: Digest
    was_compared: bool = False


class Life(Protocol):
    """A master, from its start to its death."""

    name: str
    alive: bool
    stopped: bool

    @property
    def units_on_their_way(self) -> int: ...
    def recover(self) -> None: ...
    def receive(self, call: Call, answer: Answer) -> None: ...
    def stop(self) -> None: ...
    def go_on(self) -> None: ...
    def die(self, stored: int = 0) -> None: ...


class World:
    """Everybody who takes part.

    Attributes:
        ended_for_runner: the last state that the search runner was told; None while it is at work.
        chain: by event id, what all events up to it sum up to.
    """

    option = ""
    """Of the command that plays in such a world."""

    def __init__(self, seed: int, setup: Setup, plan: Plan, keep_trace: bool = False) -> None:
        self.seed = seed
        self.setup = setup
        self.clock = Clock(seed, keep_trace)
        self.network = Network(self.clock, plan.weather)
        self.faults = Faults(self, plan)
        self.saves = Saves()
        self.disk = Disk(
            Settings(EXPERIMENT, setup.max_restarts, setup.slots_per_trial),
            self.saves.answers,
        )
        self.storage = Storage()
        self.launcher = Launcher(self.clock, setup.slots, self._open_run)
        self.chain = [b""]
        self.ended_for_runner: ExperimentState | None = None
        self.runner: Process | None = None
        self._lives = 0
        self._users = 0
        self.prepare()
        self.master = self._start_master()
        self._start_runner()
        self.faults.begin()

    def prepare(self) -> None:
        """Make what outlives masters, if they need more than the disk."""

    def make_master(self, number: int) -> Life:
        return Master(self, number)

    # Lives and deaths

    def _start_master(self) -> Life:
        self._lives += 1
        master = self.make_master(self._lives)
        self.master = self.network.server = master
        master.recover()
        return master

    def crash_master(self) -> None:
        """The master dies, perhaps with some of what it was storing stored; it is started again soon."""
        on_their_way = self.master.units_on_their_way
        self.master.die(self.clock.random.randint(0, on_their_way))
        self.network.reset()
        self.clock.after(self.clock.random.uniform(0.05, 20.0), self._start_master, "the master is started")

    def _start_runner(self) -> None:
        self.runner = Process(self.clock, self.network, "runner", script(self), self.runner_ended)

    def runner_ended(self, code: int | None) -> None:
        """The runner has left; people start it again until the search is over."""
        if self.ended_for_runner is None:
            self.clock.after(self.clock.random.uniform(0.05, 20.0), self._start_runner, "the runner is started")

    def make_runner(self) -> SimulatedRunner:
        return SimulatedRunner(METHODS[self.setup.method](1), self)

    def user(self, acts: Script) -> None:
        self._users += 1
        faults.start_user(self, self._users, acts)

    def _open_run(self, run: Run) -> None:
        row = self.disk.trials[run.spec.trial_id]  # type: ignore[index]
        training = Training(self.clock, self.storage, run.spec, row, self.faults.hang_s())
        open_run(run, self.clock, self.network, training, self.launcher.end)

    def chain_up_to(self, event_id: int) -> bytes:
        """The sum of all stored events up to one."""
        demand(event_id <= len(self.disk.events), f"event {event_id} was seen and is not stored")
        for body in self.disk.events[len(self.chain) - 1 : event_id]:
            self.chain.append(chained(self.chain[-1], body))
        return self.chain[event_id]

    # The play

    @property
    def is_over(self) -> bool:
        return self.ended_for_runner is not None and self.disk.state.is_terminal and not self.launcher.live

    def play(self) -> Outcome:
        """Let everything happen until the search is over."""
        while not self.is_over:
            demand(self.clock.step(), "stuck: nothing is left to happen")
            demand(self.clock.now < MOST_S, f"stuck: not over after {MOST_S} s")
            demand(self.clock.total < MOST_EVENTS, f"stuck: not over after {MOST_EVENTS} events")
        digest = digest_of(self)
        return Outcome(
            self.seed,
            self.setup,
            self.clock.trace,
            self.clock.counts,
            self.faults.happened,
            digest,
        )


_references: dict[tuple[str, int], Digest] = {}


def reference(setup: Setup) -> Digest:
    """What a comparable search comes to when nothing goes wrong."""
    key = (setup.method, setup.max_restarts)
    if key not in _references:
        quiet = Setup(setup.method, max_restarts=setup.max_restarts)
        _references[key] = World(0, quiet, faults.QUIET).play().digest
    return _references[key]


def setup_of(chance: random.Random) -> Setup:
    """What is searched in one play, and on what."""
    slots = chance.choice((1, 2, 4, 8))
    return Setup(
        method=chance.choice(sorted(METHODS)),
        slots=slots,
        slots_per_trial=chance.choice((0, 1, 1, 1, min(2, slots))),
        max_restarts=chance.choice(MAX_RESTARTS),
        snapshot_every=chance.choice((1, 5, 30, 256)),
    )


def simulate(
    seed: int, keep_trace: bool = False, seen: list[World] | None = None, make: type[World] = World
) -> Outcome:
    """Play one seed, and compare with the undisturbed play.

    Args:
        seen: gets the world, for a look at it afterwards.
    Raises:
        Violation: something happened that never must; the message says how to play it again.
    """
    chance = random.Random(f"setup {seed}")
    setup, plan = setup_of(chance), faults.draw(chance)
    world: World | None = None
    try:
        world = make(seed, setup, plan, keep_trace)
        if seen is not None:
            seen.append(world)
        outcome = world.play()
        if setup.method in COMPARABLE and not world.faults.ended_by_user:
            outcome.was_compared = compare(reference(setup), outcome.digest, world)
    except (AssertionError, DeterminedError, LookupError) as e:
        raise Violation(_explain(seed, setup, e, world, make.option)) from e
    return outcome


def _explain(seed: int, setup: Setup, error: Exception, world: World | None, option: str) -> str:
    lines: list[Any] = [] if world is None else list(world.clock.lines)[-25:]
    told = "\n".join(f"  {at:10.3f} {kind:8} {text}" for at, kind, text in lines)
    return (
        f"seed {seed}: {type(error).__name__}: {error}\n{setup}\n{told}\n"
        f"Play it again: python -m tests.simulation {seed}{option}"
    )

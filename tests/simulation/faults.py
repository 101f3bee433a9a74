"""What goes wrong, drawn from the seed: how often, and what."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from determined.domain.facts import Verb
from determined.domain.states import ExperimentState
from determined.errors import DeterminedError
from tests.simulation.network import FAIR, Weather
from tests.simulation.processes import Call, Process, Script, Sleep, patiently

if TYPE_CHECKING:
    from tests.simulation.world import World

USER = (0, 1)


@dataclass(frozen=True)
class Plan:
    """Chances for one play.

    Attributes:
        gap_s: how long it is between two faults, on average; ``until_s``: when the last may come.
        weights: of the kinds of faults.
    """

    weather: Weather = FAIR
    gap_s: float = 0.0
    until_s: float = 0.0
    commit: float = 0.0
    disk: float = 0.0
    save: float = 0.0
    hang: float = 0.0
    weights: tuple[tuple[str, float], ...] = ()


QUIET = Plan()
KINDS: tuple[tuple[str, float], ...] = (
    ("master_dies", 4),
    ("runner_dies", 3),
    ("master_stops", 2),
    ("runner_stops", 1),
    ("run_stops", 1),
    ("run_is_lost", 3),
    ("run_crashes", 1),
    ("machine_restarts", 1),
    ("user_pauses", 2),
    ("platform_preempts", 2),
)
HARSH: tuple[tuple[str, float], ...] = (("user_kills_trial", 1), ("user_cancels", 0.1), ("user_kills", 0.1))


def draw(chance: random.Random) -> Plan:
    """A plan: a few plays have fair weather or no faults, and some have more than the search can stand."""
    bad = chance.choice((0.0, 0.01, 0.05, 0.15))
    late_s = chance.choice((0.5, 5.0, 15.0))
    lose_request, lose_answer, repeat, late = (2 * bad * chance.random() for _ in range(4))
    weather = Weather(lose_request, lose_answer, repeat, late, late_s)
    return Plan(
        weather=weather,
        gap_s=chance.choice((2.0, 5.0, 15.0, 60.0)),
        until_s=chance.choice((30.0, 100.0, 300.0)),
        commit=chance.choice((0.0, 0.0, 0.01, 0.03)),
        disk=chance.choice((0.0, 0.0, 0.01, 0.05)),
        save=chance.choice((0.0, 0.02, 0.1)),
        hang=chance.choice((0.0, 0.0, 0.05)),
        weights=KINDS + (HARSH if chance.random() < 0.2 else ()),
    )


class Faults:
    """Makes them happen.

    Attributes:
        happened: how often, by kind.
        hurt: trials of which a run was ended, so that they may have come to another end than they would have.
        ended_by_user: the search was ended before its time.
    """

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.happened: Counter[str] = Counter()
        self.hurt: set[int] = set()
        self.ended_by_user = False
        self.calm = plan.gap_s == 0.0
        self._chance = world.clock.random

    def begin(self) -> None:
        if not self.calm:
            self._next()
            self.world.clock.after(self.plan.until_s, self._calm_down, "the weather calms down")

    def _next(self) -> None:
        self.world.clock.after(self._chance.expovariate(1 / self.plan.gap_s), self._happen, "fate")

    def _happen(self) -> None:
        if self.calm:
            return
        kinds, weights = zip(*self.plan.weights, strict=True)
        kind = self._chance.choices(kinds, weights)[0]
        act: Callable[[], bool] = getattr(self, f"_{kind}")
        if act():
            self.happened[kind] += 1
        self._next()

    def _calm_down(self) -> None:
        """From here on all is well, so the search has to end."""
        self.calm = True
        self.world.network.weather = FAIR
        self.world.user(self._set_right())

    def _set_right(self) -> Script:
        while True:
            state = yield from patiently(Call("state", USER, None, 30.0))
            if state is ExperimentState.PAUSED:
                yield from self._command(Verb.ACTIVATE)
            yield Sleep(30.0)

    # Chances at certain points

    def _strikes(self, kind: str, share: float) -> bool:
        if self.calm or share == 0.0 or self._chance.random() >= share:
            return False
        self.happened[kind] += 1
        return True

    def dies_at_commit(self) -> bool:
        """Before, after or in the middle of it; nobody has been told."""
        return self._strikes("master dies at a commit", self.plan.commit)

    def disk_fails(self) -> bool:
        """Not before there is an experiment: nobody would know its number."""
        return bool(self.world.disk.journal) and self._strikes("disk fails", self.plan.disk)

    def runner_dies(self) -> bool:
        return self._strikes("runner dies while it saves", self.plan.save)

    def hang_s(self) -> float:
        """How long a run takes to notice that it should leave."""
        hangs = self._strikes("run hangs", self.plan.hang)
        return self._chance.uniform(5.0, 5000.0) if hangs else self._chance.uniform(0.01, 0.5)

    # Faults that come by themselves; each says whether it found a victim

    def _master_dies(self) -> bool:
        if not self.world.master.alive:
            return False
        self.world.crash_master()
        return True

    def _runner_dies(self) -> bool:
        runner = self.world.runner
        if runner is None or not runner.alive:
            return False
        runner.die()
        self.world.runner_ended(None)
        return True

    def _master_stops(self) -> bool:
        return self._stop(self.world.master, 100.0)

    def _runner_stops(self) -> bool:
        return self.world.runner is not None and self._stop(self.world.runner, 100.0)

    def _run_stops(self) -> bool:
        live = self.world.launcher.live
        return bool(live) and self._stop(self._chance.choice(self._chance.choice(live).processes), 20.0)

    def _stop(self, host: Any, most_s: float) -> bool:
        if not host.alive or host.stopped:
            return False
        host.stop()
        self.world.clock.after(self._chance.uniform(0.1, most_s), host.go_on, f"{host.name} goes on")
        return True

    def _run_is_lost(self) -> bool:
        return self._end_run(None)

    def _run_crashes(self) -> bool:
        return self._end_run(self._chance.choice((1, 137, 139)))

    def _end_run(self, code: int | None) -> bool:
        live = self.world.launcher.live
        if not live:
            return False
        run = self._chance.choice(live)
        self.hurt.add(run.spec.trial_id)
        self.world.launcher.end(run, code)
        return True

    def _machine_restarts(self) -> bool:
        """All processes are gone at once, and nobody saw how."""
        for run in self.world.launcher.live:
            self.hurt.add(run.spec.trial_id)
            run.end(None)
        if self.world.master.alive:
            self.world.crash_master()
        return True

    def _user_pauses(self) -> bool:
        self.world.user(self._pause_for(self._chance.uniform(0.1, 30.0)))
        return True

    def _pause_for(self, seconds: float) -> Script:
        yield from self._command(Verb.PAUSE)
        yield Sleep(seconds)
        yield from self._command(Verb.ACTIVATE)

    def _command(self, verb: Verb) -> Script:
        try:
            yield from patiently(Call("command", USER, verb, 30.0))
        except DeterminedError:
            # The search is over.
            return

    def _platform_preempts(self) -> bool:
        live = self.world.launcher.live
        if not live:
            return False
        self.world.user(self._tell(Call("preempt_run", self._chance.choice(live).spec.key, None, 30.0)))
        return True

    def _user_kills_trial(self) -> bool:
        if not self.world.disk.trials:
            return False
        trial_id = self._chance.choice(list(self.world.disk.trials))
        self.hurt.add(trial_id)
        # Some are asked to leave. No chance is drawn for it, so that old seeds still tell the same stories.
        verb = "kill_trial" if trial_id % 2 else "cancel_trial"
        self.world.user(self._tell(Call(verb, USER, trial_id, 30.0)))
        return True

    def _tell(self, call: Call) -> Script:
        try:
            yield from patiently(call)
        except DeterminedError:
            return

    def _user_cancels(self) -> bool:
        self.ended_by_user = True
        self.world.user(self._command(Verb.CANCEL))
        return True

    def _user_kills(self) -> bool:
        self.ended_by_user = True
        self.world.user(self._command(Verb.KILL))
        return True


def start_user(world: World, number: int, script: Script) -> Process:
    """Somebody who does one thing."""
    return Process(world.clock, world.network, f"user {number}", script, lambda code: None)

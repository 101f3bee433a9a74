"""The functions that people call: check a method, and see a finding again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from determined.domain.search_method import SearchMethod
from determined.errors import InvalidInput
from determined.methods.brackets import BracketSearch
from determined.workshop.check import cost as costs
from determined.workshop.check import reproduce
from determined.workshop.check.chance import ATTEMPTS, by_chance
from determined.workshop.check.check import Checker
from determined.workshop.check.elsewhere import NotElsewhere
from determined.workshop.check.findings import CheckFailed, CheckReport, Finding
from determined.workshop.check.fragile import notes_on
from determined.workshop.check.moves import Move, Setting
from determined.workshop.check.play import Outcome, Subject, temporary_folder
from determined.workshop.check.rules import NO_LIMITS, Budget
from determined.workshop.check.target import Config, Target, target_of, template

Factory = Callable[..., SearchMethod]
Metric = Callable[[float], Any] | str


def check_search_method(
    factory: Factory | str | None = None,
    *,
    args: Mapping[str, Any] | None = None,
    config: Config | None = None,
    examples: int = 100,
    seed: int | None = None,
    max_trials: int | None = None,
    max_length: int | None = None,
    max_units: int | None = None,
    metric: Metric = float,
    repeatable: bool = True,
    sized: costs.Sized | str | None = None,
    cost: bool = True,
    other_processes: bool = True,
    write: str | Path | None = None,
) -> CheckReport:
    """Look for faults in a search method, in worlds where everything that can happen does happen.

    Args:
        factory: a class or function that makes the method, anew at each call, or ``module:Name`` of one; None for the
            built-in method that the configuration names.
        args: its arguments, by name.
        config: an experiment configuration: a file, a mapping, or read already. Arguments that ``args`` does not give
            come from it, by name.
        examples: how many worlds; fewer are played when searches are long.
        seed: for other worlds; the same number makes the same ones. None: always the same.
        max_trials, max_length, max_units: what the search may use; by default what arguments, configuration or the
            defaults of the constructor say for ``max_trials`` and ``max_length``. Trials with invalid hyperparameters
            are not counted; ``max_units`` is for all trials together.
        metric: makes what trials report from a number, or JSON in which ``"METRIC"`` stands for the number.
        repeatable: equal events must get equal answers; False for a method that draws hyperparameters without a seed.
        sized: makes the method for a search of so many trials, to find out whether the cost of an event grows; or the
            name of the argument that says how many. By default an argument ``max_trials``, ``num_trials``,
            ``n_trials``, ``trials`` or ``population_size`` is used, if there is one.
        cost, other_processes: False leaves these parts out.
        write: a file for a script that shows the finding again.
    Returns:
        What was tried.
    Raises:
        CheckFailed: the method has a fault; the message tells the shortest story that was found.
        InvalidInput: the method cannot be made, or an argument is wrong.

    Cost: about three seconds for a small search.
    """
    check = _Check(target_of(factory, args, config), repeatable, metric)
    check.budget = Budget(
        _declared_trials(check.target) if max_trials is None else max_trials,
        check.target.number("max_length") if max_length is None else max_length,
        max_units,
    )
    check.write = None if write is None else Path(write)
    return check.run(examples, seed, sized, cost=cost, other_processes=other_processes)


def replay_story(
    factory: Factory | str | None,
    *,
    moves: Sequence[tuple[str, str, float]],
    workers: int = 4,
    max_restarts: int = 0,
    args: Mapping[str, Any] | None = None,
    config: Config | None = None,
    max_trials: int | None = None,
    max_length: int | None = None,
    max_units: int | None = None,
    metric: Metric = float,
    repeatable: bool = True,
    other_processes: bool = False,
    attempts: int = 1,
) -> None:
    """Play one world, as the file that a check writes does.

    Args:
        moves: choices in their order; then the search runs to its end by itself. One that is impossible is left out.
        workers: how many trials may run at first.
        max_restarts: how often a trial is started again after it has failed.
        other_processes: compare the answers of processes in which sets have different orders, and nothing else.
        attempts: how often the world is played, until it shows a fault; more than once for one that comes by chance.

    The other arguments are those of ``check_search_method``.

    Raises:
        CheckFailed: the fault is still there.
        InvalidInput: the method cannot be made, or ``attempts`` is less than 1.
    """
    if attempts < 1:
        raise InvalidInput(f"a story cannot be played {attempts!r} times; attempts must be at least 1")
    check = _Check(target_of(factory, args, config), repeatable, metric)
    check.budget = Budget(max_trials, max_length, max_units)
    check.replay(Setting(workers, max_restarts), [Move(*move) for move in moves], other_processes, attempts)


def check_cost(
    factory: Factory | str | None = None,
    *,
    args: Mapping[str, Any] | None = None,
    config: Config | None = None,
    metric: Metric = float,
    sized: costs.Sized | str | None = None,
) -> tuple[float, float]:
    """Find out whether the cost of an event grows with the number of trials; arguments as of ``check_search_method``.

    Returns:
        Mean number of steps per event, in a search and in one of four times as many trials.
    Raises:
        CheckFailed: it does.
        InvalidInput: it cannot be measured, because the method cannot be made for different numbers of trials.
    """
    check = _Check(target_of(factory, args, config), True, metric)
    try:
        return check.measured(sized).steps
    except costs.NotMeasured as error:
        raise InvalidInput(f"the cost of events cannot be measured: {error}") from error


@dataclass
class _Check:
    target: Target
    repeatable: bool
    metric: Metric
    budget: Budget = NO_LIMITS
    write: Path | None = None

    @property
    def subject(self) -> Subject:
        metric = template(self.metric) if isinstance(self.metric, str) else self.metric
        most = max(2000, 60 * (self.budget.max_trials or 0))
        return Subject(self.target, self.budget, metric, self.repeatable, most)

    @property
    def _given_metric(self) -> Metric | None:
        return None if self.metric is float else self.metric

    def run(
        self, examples: int, seed: int | None, sized: costs.Sized | str | None, *, cost: bool, other_processes: bool
    ) -> CheckReport:
        subject = self.subject
        if isinstance(sized, str):
            # A wrong name is told before anything is played.
            self.target.sized(sized)
        with temporary_folder() as folder:
            checker = Checker(subject, folder)
            self._refuse(checker.explore(examples, seed))
            notes: list[str] = []
            if other_processes and self.repeatable:
                try:
                    self._refuse(checker.explore_elsewhere(), other_processes=True)
                except NotElsewhere as error:
                    notes.append(f"answers were not compared with those of other processes: {error}")
            measured = None
            with checker.shared.kept():
                notes = [*checker.notes(), *notes_on(subject), *notes]
                if cost:
                    try:
                        measured = self.measured(sized)
                        notes += measured.notes
                    except costs.NotMeasured as error:
                        notes.append(f"the cost of events was not measured: {error}")
        events, reloads = (sum(getattr(w, name) for w in checker.worlds) for name in ("events", "reloads"))
        steps = None if measured is None else measured.steps
        return CheckReport(self.target.name, len(checker.worlds), events, reloads, steps, tuple(notes))

    def measured(self, sized: costs.Sized | str | None) -> costs.Measured:
        make = self.target.sized(sized) if sized is None or isinstance(sized, str) else sized
        if make is None:
            raise costs.NotMeasured(self.target.why_one_size)
        with temporary_folder() as folder:
            measured = costs.measure(make, self.subject, folder)
        if measured.finding is not None:
            self._fail(measured.finding, reproduce.named({"metric": self._given_metric, "sized": sized}))
        return measured

    def replay(self, setting: Setting, moves: Sequence[Move], other_processes: bool, attempts: int) -> None:
        with temporary_folder() as folder:
            checker = Checker(self.subject, folder)
            if other_processes:
                checker.worlds.append(Outcome(setting, list(moves)))
                self._refuse(checker.explore_elsewhere())
            else:
                self._refuse(self._played(checker, setting, moves, attempts))

    def _played(self, checker: Checker, setting: Setting, moves: Sequence[Move], attempts: int) -> Outcome | None:
        outcomes = (checker.replay_strictly(setting, moves) for _ in range(attempts))
        failed = next((outcome for outcome in outcomes if outcome.finding is not None), None)
        if failed is not None and failed.finding is not None and attempts > 1:
            failed.finding = by_chance(failed.finding, repeatable=self.repeatable)
        return failed

    def _refuse(self, outcome: Outcome | None, *, other_processes: bool = False) -> None:
        if outcome is None or outcome.finding is None:
            return
        attempts = ATTEMPTS if outcome.by_chance else 1
        more = {
            "max_trials": self.budget.max_trials,
            "max_length": self.budget.max_length,
            "max_units": self.budget.max_units,
            "metric": self._given_metric,
            "repeatable": None if self.repeatable else False,
            # What chance decides differs between copies in one process, too.
            "other_processes": True if other_processes and not outcome.by_chance else None,
            "attempts": attempts if attempts > 1 else None,
        }
        self._fail(outcome.finding, reproduce.story_arguments(outcome, more), attempts)

    def _fail(self, finding: Finding, how: Sequence[str], attempts: int = 1) -> None:
        if self.write is not None:
            reproduce.write(self.write, self.target, finding, how, attempts)
        raise CheckFailed(self.target.name, finding, "" if self.write is None else str(self.write))


def _declared_trials(target: Target) -> int | None:
    """What arguments and configuration say; but each bracket of a built-in method starts at least one trial."""
    trials, method = target.number("max_trials"), target()
    if trials is None or not isinstance(method, BracketSearch):
        return trials
    return max(trials, len(method.brackets))

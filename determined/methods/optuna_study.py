"""A study of Optuna that lives in memory, can be saved as plain data, and goes on as if it had never stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from determined.domain.hparams import Space
from determined.errors import CorruptState, InvalidInput
from determined.methods.optuna_records import (
    generators,
    read_distributions,
    read_trial,
    set_state,
    state_of,
    write_distributions,
    write_trial,
)
from determined.methods.optuna_samplers import import_optuna, is_kept_as_data, remembers_the_space
from determined.methods.optuna_space import flaws, suggest
from determined.methods.rungs import plain

if TYPE_CHECKING:
    import optuna

_SAME = 1e-6
"""Relative difference below which two proposals are the same: machines do not round logarithms alike."""


class Study:
    """Asks a sampler for points and tells it results; trials are numbered from 0.

    The sampler is shown the results of one length at a time; see ``Storage``.

    Args:
        sampler: not used before, and by nobody else.
        one_length: all trials report at the full length only, so that none is ever hidden from the sampler.
    Attributes:
        name: class of the sampler.
        asked: how many trials were asked for.
        known: how many of them have a result.
        failed: how many ended without one.

    Raises:
        InvalidInput: Optuna cannot search the space.

    State: the study with all trials and their results, and the sampler's generators. A sampler that may keep more than
    that is saved as the history of calls, and restored by making them again, at the price of the sampler's time.
    Cost: what the sampler takes, which for most samplers grows with the number of trials; O(trials) for a snapshot.
    """

    def __init__(self, space: Space, sampler: optuna.samplers.BaseSampler, *, minimize: bool, one_length: bool) -> None:
        bad = flaws(space)
        if bad:
            raise InvalidInput("; ".join(f"hyperparameter {name} {flaw}" for name, flaw in bad.items()))
        package = import_optuna()
        from determined.methods.optuna_storage import Storage

        self.space = space
        self.name = type(sampler).__name__
        self.asked = self.known = self.failed = 0
        self._states = package.trial.TrialState
        self._sampler = sampler
        with _quiet(package):
            self._storage = Storage()
            self._study = package.create_study(
                storage=self._storage, sampler=sampler, direction="minimize" if minimize else "maximize"
            )
        self._history: list[list[Any]] = []
        self._is_data = is_kept_as_data(sampler) and (one_length or not remembers_the_space(sampler))

    def ask(self, number: int) -> dict[str, Any]:
        """The point of the next trial, whose number has to be the count of those before."""
        assert number == self.asked, f"trial {number} is asked for after {self.asked} trials"
        point = suggest(self._study.ask(), self.space)
        self.asked += 1
        self._record("ask", dict(self._trial(number).params))
        return point

    def report(self, number: int, length: int, metric: float) -> None:
        """Say what a trial has reached at a length below the full one."""
        self._record("report", number, length, plain(metric))
        self.known += not self._trial(number).intermediate_values
        self._storage.set_trial_intermediate_value(self._id(number), length, metric)

    def tell(self, number: int, metric: float | None) -> None:
        """End a trial.

        Args:
            metric: of the full length, never NaN; None when it ended before. It then counts as pruned where it was
                reported last, or as failed if it never was.
        """
        self._record("tell", number, None if metric is None else plain(metric))
        had_results = bool(self._trial(number).intermediate_values)
        if metric is not None:
            self.known += not had_results
            self._study.tell(number, metric)
        elif had_results:
            # Even if it failed since: samplers have counted its results already, and keep sums that they do not take
            # back, so that a sampler that is made anew would go on in another way.
            self._study.tell(number, state=self._states.PRUNED)
        else:
            self.failed += 1
            self._study.tell(number, state=self._states.FAIL)

    def is_open(self, number: int) -> bool:
        """Whether a trial has not ended."""
        return not self._trial(number).state.is_finished()

    @property
    def pending(self) -> int:
        """Trials without a result that have not ended."""
        return self.asked - self.known - self.failed

    def snapshot(self) -> dict[str, Any]:
        """The study as JSON-able values."""
        if not self._is_data:
            return {"optuna": import_optuna().__version__, "history": list(self._history)}
        trials = self._storage.get_all_trials(self._storage.study_id, deepcopy=False, as_they_are=True)
        return {
            "counts": [self.asked, self.known, self.failed],
            "distributions": write_distributions(trials),
            "trials": [write_trial(trial) for trial in trials],
            "attributes": dict(self._storage.get_study_system_attrs(self._storage.study_id)),
            "generators": [state_of(generator) for generator in generators(self._sampler)],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Become the study that ``snapshot`` described; called on a new one.

        Raises:
            CorruptState: a sampler that is asked again proposes something else than before.
        """
        if not self._is_data:
            self._replay(saved["history"], saved["optuna"])
            return
        distributions = read_distributions(saved["distributions"])
        for number, trial in enumerate(saved["trials"]):
            self._storage.create_new_trial(self._storage.study_id, read_trial(number, trial, distributions))
        for key, value in saved["attributes"].items():
            self._storage.set_study_system_attr(self._storage.study_id, key, value)
        for generator, state in zip(generators(self._sampler), saved["generators"], strict=True):
            set_state(generator, state)
        self.asked, self.known, self.failed = saved["counts"]

    def _replay(self, history: Sequence[Sequence[Any]], version: str) -> None:
        for kind, *values in history:
            if kind == "ask":
                self._ask_again(values[0], version)
            elif kind == "report":
                self.report(values[0], values[1], float(values[2]))
            else:
                self.tell(values[0], None if values[1] is None else float(values[1]))

    def _ask_again(self, params: Mapping[str, Any], version: str) -> None:
        number = self.asked
        self.ask(number)
        if not _is_same(self._trial(number).params, params):
            raise CorruptState(
                f"{self.name} proposes other values for its trial {number} than it did before. It may depend on "
                "nothing but its seed and the results. Take up the search with the code that it began with, and with "
                f"Optuna {version}."
            )

    def _record(self, *call: Any) -> None:
        if not self._is_data:
            self._history.append(list(call))

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._storage.study_id, number)

    def _trial(self, number: int) -> optuna.trial.FrozenTrial:
        return self._storage.get_trial(self._id(number))


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if one.keys() != other.keys():
        return False
    return all(
        abs(value - other[name]) <= _SAME * abs(value) if isinstance(value, float) else value == other[name]
        for name, value in one.items()
    )


@contextlib.contextmanager
def _quiet(package: Any) -> Iterator[None]:
    """Without the line that Optuna writes for each new study."""
    level = package.logging.get_verbosity()
    package.logging.set_verbosity(max(level, package.logging.WARNING))
    try:
        yield
    finally:
        package.logging.set_verbosity(level)

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import optuna
import pytest

from determined.domain.config import ConfigDefaults, parse_config
from determined.domain.events import ExitCause, ExitedReason, ValidationCompleted
from determined.domain.operations import Create, ValidateAfter
from determined.domain.reasons import numbers_of
from determined.domain.search_method import SearcherState, SearchMethod
from determined.domain.space import as_space, choice, lograndint, loguniform, randint, uniform
from determined.errors import CorruptState, FailedPrecondition, InvalidConfig, InvalidInput
from determined.methods import optuna_samplers
from determined.methods.async_halving import AsyncHalvingSearch
from determined.methods.halving import Plan
from determined.methods.hyperband import HyperbandSearch
from determined.methods.optuna import MANY_PLACES, OptunaSearch
from determined.methods.optuna_samplers import KEPT_AS_DATA
from determined.methods.optuna_storage import ENOUGH
from determined.methods.optuna_study import Study
from determined.methods.registry import make_method
from tests.unit.methods.busy_search import BusySearch

SPACE = as_space(
    {
        "batch": choice([16, 32]),
        "layers": randint(0, 9),
        "lr": loguniform(1e-4, 1e-1),
        "opt": choice([{"momentum": uniform(0, 1)}, {"adam": {"beta": uniform(0, 2)}, "name": "adam"}]),
        "size": lograndint(1, 64),
        "x": uniform(-5, 5),
    }
)
NUMBERS = as_space({"a": uniform(0, 1), "b": loguniform(1e-3, 1), "c": uniform(-1, 1)})
SAMPLERS = ["TPESampler", "RandomSampler", "CmaEsSampler", "QMCSampler", "NSGAIISampler", "NSGAIIISampler"]
DEFAULTS = ConfigDefaults(checkpoint_storage={"type": "shared_fs", "host_path": "/c"}, name="n", seed=1)


@pytest.fixture(autouse=True)
def _no_lines_of_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def loss(hparams: Mapping[str, Any]) -> float:
    option = hparams["opt"]
    extra = option["momentum"] if "momentum" in option else option["adam"]["beta"]
    return float(
        hparams["x"] ** 2
        + 10 * hparams["lr"]
        + abs(hparams["size"] - 8) / 8
        + hparams["layers"]
        + (hparams["batch"] == 16)
        + extra
    )


def plain_optuna(
    sampler: Any, trials: int, direction: Literal["minimize", "maximize"] = "minimize"
) -> list[dict[str, Any]]:
    """The points that Optuna's own loop tries, for an objective that is written the way its users write it."""
    tried: list[dict[str, Any]] = []

    def objective(trial: optuna.Trial) -> float:
        point: dict[str, Any] = {
            "batch": trial.suggest_categorical("batch", (16, 32)),
            "layers": trial.suggest_int("layers", 0, 9),
            "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        }
        if trial.suggest_categorical("opt", (0, 1)) == 0:
            point["opt"] = {"momentum": trial.suggest_float("opt[0].momentum", 0, 1)}
        else:
            point["opt"] = {"adam": {"beta": trial.suggest_float("opt[1].adam.beta", 0, 2)}, "name": "adam"}
        point["size"] = trial.suggest_int("size", 1, 64, log=True)
        point["x"] = trial.suggest_float("x", -5, 5)
        tried.append(point)
        return loss(point)

    optuna.create_study(sampler=sampler, direction=direction).optimize(objective, n_trials=trials)
    return tried


def made(name: str, seed: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return getattr(optuna.samplers, name)(seed=seed)


def points(search: BusySearch) -> list[Mapping[str, Any]]:
    return [job.hparams for job in search.jobs.values()]


def searching(trials: int = 30, **arguments: Any) -> Callable[[], OptunaSearch]:
    settings = {"max_length": 64, "seed": 5, "max_concurrent_trials": 4, **arguments}
    return lambda: OptunaSearch(SPACE, max_trials=trials, **settings)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("smaller", [True, False])
def test_one_trial_at_a_time_tries_exactly_the_points_that_optuna_tries(name: str, smaller: bool) -> None:
    method = searching(30, sampler=name, max_concurrent_trials=1, smaller_is_better=smaller)
    ours = BusySearch(method, lambda number, hparams, length: loss(hparams)).run()
    assert points(ours) == plain_optuna(made(name, 5), 30, "minimize" if smaller else "maximize")


def test_failed_and_invalid_trials_are_to_the_sampler_what_failures_are_to_optuna() -> None:
    numbers = itertools.count()

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        if next(numbers) % 3 == 1:
            raise ArithmeticError
        return x

    study = optuna.create_study(sampler=made("TPESampler", 2))
    study.optimize(objective, n_trials=30, catch=ArithmeticError)
    search = BusySearch(
        lambda: OptunaSearch({"x": uniform(0, 1)}, 4, 30, seed=2, max_concurrent_trials=1),
        lambda number, hparams, length: hparams["x"],
        lambda number, length: ExitCause.ERRORED if number % 3 == 1 else None,
    ).run()
    assert [point["x"] for point in points(search)] == [trial.params["x"] for trial in study.trials]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    "rungs",
    [
        {},
        {"num_rungs": 3},
        {"num_rungs": 3, "stop_once": True},
        {"num_rungs": 3, "num_brackets": 3},
        {"num_rungs": 3, "num_brackets": 2, "stop_once": True},
    ],
    ids=str,
)
def test_a_search_that_is_reloaded_after_each_event_makes_the_same_decisions(
    name: str, rungs: Mapping[str, Any]
) -> None:
    def run(reloading: bool) -> BusySearch:
        def exits(number: int, length: int) -> ExitCause | None:
            return list(ExitCause)[number // 5 % len(ExitCause)] if number % 5 == 3 else None

        def metric(number: int, hparams: Mapping[str, Any], length: int) -> float:
            return (math.nan, math.inf)[number // 7 % 2] if number % 7 == 6 else loss(hparams) + 1 / length

        # Early enough for the sampler to go by what it knows.
        arguments = {"n_startup_trials": 3} if name == "TPESampler" else {}
        method = searching(16, sampler=name, sampler_args=arguments, **rungs)
        return BusySearch(method, metric, exits, seed=1, reloading=reloading, idle_exits=0.1).run()

    straight, reloaded = run(False), run(True)
    assert straight.told == reloaded.told
    assert straight.progress == reloaded.progress


def test_a_sampler_that_divides_the_space_by_what_it_saw_is_reloaded_as_it_was() -> None:
    def new() -> Study:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls both arguments experimental
            sampler = optuna.samplers.TPESampler(seed=1, multivariate=True, group=True, n_startup_trials=3)
        return Study(SPACE, sampler, minimize=True, one_length=False)

    study = new()
    points = [study.ask(number) for number in range(60)]
    for number, point in enumerate(points):
        study.report(number, 1, loss(point))
    first = study.ask(60)
    # From now on only trials with one of the options show.
    for number in [n for n, point in enumerate(points) if "adam" in point["opt"]]:
        study.report(number, 3, loss(points[number]))
    study.ask(61)
    again = new()
    again.restore(json.loads(json.dumps(study.snapshot())))
    assert first != points[0]
    assert [study.ask(62 + n) for n in range(5)] == [again.ask(62 + n) for n in range(5)]


def test_a_sampler_learns_from_one_length_at_a_time() -> None:
    study = Study(as_space({"x": uniform(0, 1)}), made("RandomSampler", 1), minimize=True, one_length=False)
    for number in range(ENOUGH + 2):
        study.ask(number)

    def shown() -> list[tuple[int, str, float | None]]:
        trials = study._storage.get_all_trials(0, deepcopy=False)
        return [(trial.number, trial.state.name, trial.value) for trial in trials]

    pending = [(number, "RUNNING", None) for number in range(ENOUGH + 2)]
    assert shown() == pending
    study.report(0, 1, 0.5)
    study.report(0, 3, 0.25)
    # The shortest length counts as long as none has enough results.
    assert shown() == [(0, "COMPLETE", 0.5), *pending[1:]]
    for number in range(1, ENOUGH):
        study.report(number, 1, float(number))
    assert [told[2] for told in shown()] == [0.5, *map(float, range(1, ENOUGH)), None, None]
    for number in range(1, ENOUGH):
        study.report(number, 3, number / 2)
    study.report(ENOUGH, 1, math.nan)
    # Enough trials have come to length 3, so those that have not are hidden; one without any result is not.
    assert shown() == [(0, "COMPLETE", 0.25), *((n, "COMPLETE", n / 2) for n in range(1, ENOUGH)), pending[-1]]
    study.tell(0, 0.125)
    study.tell(1, None)
    assert shown()[:2] == [(0, "COMPLETE", 0.25), (1, "COMPLETE", 0.5)]


def test_a_new_search_finds_its_state_again_from_the_events() -> None:
    first = BusySearch(searching(num_rungs=2), lambda number, hparams, length: loss(hparams), seed=1).run()
    second = BusySearch(searching(num_rungs=2), lambda number, hparams, length: loss(hparams), seed=1).run()
    assert first.told == second.told
    other = BusySearch(searching(num_rungs=2, seed=6), lambda number, hparams, length: loss(hparams), seed=1).run()
    assert points(first) != points(other)


def test_trials_that_wait_in_a_rung_are_known_to_the_sampler() -> None:
    search = BusySearch(searching(20, num_rungs=3), lambda number, hparams, length: loss(hparams)).run(1000)
    creates = [op for op in search.answers() if isinstance(op, Create)]
    reasons = [numbers_of(op.reason) for op in creates]
    assert reasons[0] == {"sampler": "TPESampler", "trial": 1, "trials": 20, "results": 0, "pending": 0}
    assert str(creates[0].reason).endswith("TPESampler's proposal 1 of 20, knowing 0 results and 0 pending trials")
    assert [(r["trial"], r["results"], r["pending"]) for r in reasons[3:6]] == [(4, 0, 3), (5, 1, 3), (6, 2, 3)]
    assert search.inner.study.known == 20
    assert search.inner.study.pending == 0


def test_only_trials_that_count_are_among_the_known_results() -> None:
    ends = {1: ExitCause.ERRORED, 2: ExitCause.INVALID_HP, 3: ExitCause.KILLED}
    search = BusySearch(
        searching(8, num_rungs=2),
        lambda number, hparams, length: float("nan") if number == 4 else loss(hparams),
        lambda number, length: ends.get(number),
    ).run()
    assert len(search.jobs) == 9
    study = search.inner.study
    states = [study._trial(number).state.name for number in range(9)]
    assert [states[number] for number in ends] == ["FAIL", "FAIL", "FAIL"]
    # A trial that reported NaN to a rung below the top was pruned there, as in Optuna.
    assert states[4] == "PRUNED"
    assert study.known == 6
    assert study.failed == 3


@pytest.mark.parametrize("stop_once", [False, True])
def test_one_bracket_is_that_of_async_halving_with_other_points(stop_once: bool) -> None:
    def told(make: Callable[[], SearchMethod]) -> list[Any]:
        def exits(number: int, length: int) -> ExitCause | None:
            return list(ExitCause)[number // 5 % len(ExitCause)] if number % 5 == 3 else None

        search = BusySearch(make, lambda number, hparams, length: (number * 7) % 10, exits, 1, idle_exits=0.1).run()
        return [
            (event, [op.request_id if isinstance(op, Create) else (op, getattr(op, "reason", "")) for op in answer])
            for event, answer in search.told
        ]

    settings: dict[str, Any] = {"divisor": 3, "stop_once": stop_once, "max_concurrent_trials": 5, "seed": 5}
    one = told(lambda: OptunaSearch(SPACE, 27, 30, sampler="RandomSampler", num_rungs=3, **settings))
    assert one == told(lambda: AsyncHalvingSearch(SPACE, 27, 30, 3, **settings))
    search = OptunaSearch(SPACE, 27, 30, num_rungs=3, **settings)
    assert set(search.snapshot()) == {"brackets", "study"}


@pytest.mark.parametrize(
    ("trials", "brackets", "expected"),
    [
        # n_s = 4/4 * 27, 4/3 * 9, 4/2 * 3, 4 = 27, 12, 6, 4. One each, and of the other 36: 19.8, 8.8, 4.4, 2.9;
        # 20, 9, 5, 3 make 37, and 3 are left for the first.
        (40, 4, [(23, (3, 9, 27, 81)), (9, (9, 27, 81)), (5, (27, 81)), (3, (81,))]),
        # One each, and of the other 38: 26.3, 11.7; 27, 12, and 1 is left.
        (40, 2, [(28, (3, 9, 27, 81)), (12, (9, 27, 81))]),
        # Brackets without a trial are left out.
        (2, 4, [(1, (3, 9, 27, 81)), (1, (9, 27, 81))]),
    ],
)
def test_brackets_divide_trials_and_places_as_those_of_hyperband(
    trials: int, brackets: int, expected: list[tuple[int, tuple[int, ...]]]
) -> None:
    settings = {"max_length": 81, "num_rungs": 4, "num_brackets": brackets, "divisor": 3}
    make = searching(trials, sampler="RandomSampler", **settings)
    search = BusySearch(make, lambda number, hparams, length: loss(hparams), seed=1).run()
    assert [(b.plan.max_trials, b.plan.lengths) for b in search.inner.brackets] == expected
    first: dict[int, list[int]] = {}
    for job in search.jobs.values():
        create, work = search.answers(job.request_id)[:2]
        assert isinstance(work, ValidateAfter)
        first.setdefault(int(numbers_of(getattr(create, "reason", ""))["bracket"]), []).append(work.length)
    assert first == {i: [lengths[0]] * share for i, (share, lengths) in enumerate(expected)}
    assert search.most == min(4, trials)


def test_the_order_of_brackets_is_that_of_hyperband() -> None:
    def brackets(make: Callable[[], SearchMethod]) -> list[Any]:
        search = BusySearch(make, lambda number, hparams, length: (number * 7) % 10, seed=1).run()
        return [numbers_of(op.reason)["bracket"] for op in search.answers() if isinstance(op, Create)]

    settings: dict[str, Any] = {"divisor": 3, "max_concurrent_trials": 5, "seed": 5, "stop_once": False}
    ours = brackets(lambda: OptunaSearch(SPACE, 27, 30, num_rungs=4, num_brackets=4, **settings))
    assert ours == brackets(lambda: HyperbandSearch(SPACE, 27, 30, max_rungs=4, **settings))


@pytest.mark.parametrize(
    ("places", "rungs", "given", "brackets", "stops"),
    [
        (MANY_PLACES - 1, 3, {}, 1, False),
        (MANY_PLACES, 3, {}, 3, True),
        # One rung has nothing to hedge; 0 places are divisor ** (num_rungs - 1), here 64.
        (100, 1, {}, 1, False),
        (0, 4, {}, 4, True),
        # What is said counts.
        (100, 3, {"num_brackets": 1}, 1, False),
        (100, 3, {"stop_once": False}, 3, False),
        (4, 3, {"num_brackets": 2}, 2, True),
        (4, 3, {"stop_once": True}, 1, True),
    ],
)
def test_many_places_get_brackets_that_stop_trials_and_few_get_one_that_promotes_them(
    places: int, rungs: int, given: Mapping[str, Any], brackets: int, stops: bool
) -> None:
    def plans(search: OptunaSearch) -> list[Plan]:
        return [bracket.plan for bracket in search.brackets]

    search = OptunaSearch(SPACE, 64, 200, num_rungs=rungs, max_concurrent_trials=places, **given)
    said = {"num_rungs": rungs, "max_concurrent_trials": places, "num_brackets": brackets, "stop_once": stops}
    assert plans(search) == plans(OptunaSearch(SPACE, 64, 200, **said))  # type: ignore[arg-type]
    assert len(search.brackets) == brackets
    assert {plan.stop_once for plan in plans(search)} == {stops}
    config = configured({"num_rungs": rungs, "max_concurrent_trials": places, "max_trials": 200, **given})
    method = make_method(config)
    assert isinstance(method, OptunaSearch)
    assert plans(method) == plans(search)
    assert parse_config(config.complete, DEFAULTS).searcher == config.searcher


def test_one_study_knows_the_trials_of_all_brackets() -> None:
    def metric(number: int, hparams: Mapping[str, Any], length: int) -> float:
        return loss(hparams) + 1 / length

    def exits(number: int, length: int) -> ExitCause | None:
        return {2: ExitCause.ERRORED, 4: ExitCause.INVALID_HP, 9: ExitCause.INVALID_HP}.get(number)

    search = BusySearch(
        searching(20, sampler="RandomSampler", num_rungs=3, num_brackets=3), metric, exits, seed=1
    ).run()
    study = search.inner.study
    assert study.asked == search.created() == 22
    assert study.failed == 3
    for job in search.jobs.values():
        trial = study._trial(job.number)
        reported = [e for e, _ in search.told if isinstance(e, ValidationCompleted) and e.request_id == job.request_id]
        told = dict(trial.intermediate_values)
        if trial.state.name == "COMPLETE":
            told[64] = trial.value
        assert told == {event.length: metric(job.number, job.hparams, event.length) for event in reported}
        assert trial.params["x"] == job.hparams["x"]
        assert trial.state.is_finished()


def test_what_one_bracket_finds_changes_what_is_proposed_in_another() -> None:
    def first_bracket(good: float) -> list[Any]:
        def metric(number: int, hparams: Mapping[str, Any], length: int) -> float:
            # Only the last bracket reports the full length at once.
            return abs(hparams["x"] - good) if lengths.setdefault(number, length) == 64 else 1.0

        lengths: dict[int, int] = {}
        startup = {"n_startup_trials": 4}
        make = searching(
            60, num_rungs=2, num_brackets=2, stop_once=False, max_concurrent_trials=1, sampler_args=startup
        )
        search = BusySearch(make, metric, seed=1).run()
        return [op for op in search.answers() if isinstance(op, Create) and numbers_of(op.reason)["bracket"] == 0]

    one, other = ([json.loads(op.hparams)["x"] for op in first_bracket(good)] for good in (-4.0, 4.0))
    assert one[0] == other[0]
    assert sum(one[-15:]) / 15 < 0 < sum(other[-15:]) / 15


def test_a_trial_with_invalid_hyperparameters_is_replaced_in_its_bracket() -> None:
    search = BusySearch(
        searching(12, num_rungs=3, num_brackets=3),
        lambda number, hparams, length: loss(hparams),
        lambda number, length: ExitCause.INVALID_HP if number in (1, 5) else None,
    ).run()
    creates = [op for op in search.answers() if isinstance(op, Create)]
    replaced = [op for op in creates if str(op.reason).startswith("replaces")]
    ids = list(search.jobs)
    by_id = {op.request_id: numbers_of(op.reason)["bracket"] for op in creates}
    assert [numbers_of(op.reason)["bracket"] for op in replaced] == [by_id[ids[1]], by_id[ids[5]]]
    assert [bracket.started for bracket in search.inner.brackets] == [b.plan.max_trials for b in search.inner.brackets]
    assert [search.inner.study._trial(number).state.name for number in (1, 5)] == ["FAIL", "FAIL"]


def test_a_new_trial_says_its_bracket_when_there_are_several() -> None:
    search = searching(12, num_rungs=3, num_brackets=2)()
    creates = [op for op in search.initial_operations(SearcherState()) if isinstance(op, Create)]
    # They get 9 and 3 trials.
    assert [numbers_of(op.reason)["bracket"] for op in creates] == [0, 0, 1, 0]
    assert creates[2].reason == (
        "4 at a time: TPESampler's proposal 1 of 3 in bracket 1, knowing 0 results and 2 pending trials"
    )
    assert numbers_of(creates[2].reason) == {
        "sampler": "TPESampler",
        "trial": 1,
        "trials": 3,
        "results": 0,
        "pending": 2,
        "bracket": 1,
    }
    assert search.snapshot()["asked"] == [0, 0, 1, 0]


@pytest.mark.parametrize("cause", list(ExitCause))
def test_a_trial_that_ends_early_keeps_the_results_that_the_sampler_has_counted(cause: ExitCause) -> None:
    search = BusySearch(
        searching(1, num_rungs=2, stop_once=True),
        lambda number, hparams, length: 0.5,
        lambda number, length: cause if (number, length) == (0, 64) else None,
    ).run()
    study = search.inner.study
    assert study._trial(0).state.name == "PRUNED"
    assert (study.known, study.failed) == (len(search.jobs), 0)


def test_nan_at_the_full_length_leaves_the_result_before_it() -> None:
    search = BusySearch(
        searching(1, num_rungs=2, stop_once=True), lambda number, hparams, length: 0.5 if length < 64 else math.nan
    ).run()
    assert search.inner.study._trial(0).state.name == "PRUNED"
    assert search.inner.study._trial(0).value == 0.5


def test_nan_at_the_full_length_is_a_failure() -> None:
    search = BusySearch(searching(3), lambda number, hparams, length: math.nan).run()
    assert search.inner.study.failed == 3


def test_a_sampler_may_come_from_a_function_and_is_then_asked_again_after_a_reload() -> None:
    class Ours(optuna.samplers.RandomSampler):
        """It keeps a count that no snapshot could know of."""

        def __init__(self, seed: int) -> None:
            super().__init__(seed)
            self.count = 0

        def sample_independent(self, *arguments: Any) -> Any:
            self.count += 1
            super().sample_independent(*arguments)
            return super().sample_independent(*arguments) if self.count % 3 else 0.5

    def method() -> OptunaSearch:
        return OptunaSearch({"x": uniform(0, 1)}, 64, 12, sampler=Ours, max_concurrent_trials=3, num_rungs=2, seed=4)

    runs = [
        BusySearch(method, lambda number, hparams, length: hparams["x"], seed=2, reloading=reloading).run()
        for reloading in (False, True)
    ]
    assert runs[0].told == runs[1].told
    assert {0.5} < {job.hparams["x"] for job in runs[0].jobs.values()}


def test_a_sampler_that_proposes_something_else_after_a_reload_is_refused() -> None:
    seeds = itertools.count()

    def method() -> OptunaSearch:
        return OptunaSearch(
            {"x": uniform(0, 1)}, 64, 12, sampler=lambda seed: _Ours(next(seeds)), max_concurrent_trials=3
        )

    class _Ours(optuna.samplers.RandomSampler):
        pass

    search = method()
    search.initial_operations(SearcherState())
    saved = json.loads(json.dumps(search.snapshot()))
    with pytest.raises(CorruptState, match=rf"other values for its trial 0 .* Optuna {optuna.__version__}"):
        method().restore(saved)
    saved["study"]["history"][0][1]["y"] = 1
    with pytest.raises(CorruptState, match="other values"):
        method().restore(saved)


def test_a_sampler_that_leaves_work_to_one_of_the_users_is_asked_again_too() -> None:
    class Ours(optuna.samplers.RandomSampler):
        pass

    inner = OptunaSearch(NUMBERS, 4, 4, sampler="QMCSampler", sampler_args={"independent_sampler": Ours(1)})
    assert set(inner.study.snapshot()) == {"optuna", "history"}
    assert "history" not in OptunaSearch(NUMBERS, 4, 4).study.snapshot()


@pytest.mark.parametrize(
    ("arguments", "concurrent", "liar"),
    [({}, 4, True), ({}, 0, None), ({}, 1, None), ({"constant_liar": False}, 4, False)],
)
def test_tpe_is_told_of_running_trials_when_there_are_several(
    arguments: Mapping[str, Any], concurrent: int, liar: bool | None
) -> None:
    search = OptunaSearch(NUMBERS, 4, 4, sampler_args=arguments, max_concurrent_trials=concurrent)
    default = made("TPESampler", 0)._constant_liar
    assert search.study._sampler._constant_liar == (default if liar is None else liar)  # type: ignore[attr-defined]


def test_a_seed_of_null_is_the_seed_of_the_search() -> None:
    methods = [
        OptunaSearch(NUMBERS, 4, 4, sampler="RandomSampler", sampler_args=arguments, seed=seed)
        for arguments, seed in (({"seed": None}, 7), ({}, 7), ({"seed": 7}, 1), ({}, 1))
    ]
    first = [method.study.ask(0) for method in methods]
    assert first[0] == first[1] == first[2] != first[3]


def test_the_metric_has_to_be_a_number() -> None:
    search = searching()()
    create = search.initial_operations(SearcherState())[0]
    assert isinstance(create, Create)
    with pytest.raises(InvalidInput, match="report_completed"):
        search.on_validation_completed(SearcherState(), create.request_id, "good", 64)


def test_events_of_trials_of_somebody_else_change_nothing() -> None:
    search = searching()()
    create = search.initial_operations(SearcherState())[0]
    assert isinstance(create, Create)
    state = SearcherState()
    search.on_validation_completed(state, create.request_id, 0.5, 64)
    assert search.on_validation_completed(state, create.request_id, 0.7, 64) == []
    search.on_trial_closed(state, create.request_id)
    assert search.on_trial_exited_early(state, create.request_id, ExitedReason.ERRORED) == []
    assert search.on_trial_closed(state, create.request_id) == []
    assert search.study._trial(0).value == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampler": "TPE"}, r"no sampler 'TPE' .*\(allowed: .*TPESampler"),
        ({"sampler": "GridSampler"}, "no sampler 'GridSampler'"),
        ({"sampler": "nsgaii"}, "no sampler 'nsgaii'"),
        ({"sampler_args": {"n_startup": 3}}, r"TPESampler of Optuna refuses the sampler_args .*n_startup"),
        ({"sampler_args": [1]}, r"sampler_args must be a mapping of names to values, got \[1\]"),
        ({"sampler": None}, "sampler must be the name of a class .*, or a function .*, got None"),
        ({"sampler": lambda seed: seed}, "the function that was given as sampler made 0, which is no sampler"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
        ({"seed": 2**40}, "seed must be a whole number from 0 to 4294967295, got 1099511627776"),
        ({"seed": 1.5}, r"seed must be a whole number, got 1\.5"),
        ({"stop_once": "yes"}, "stop_once must be True or False, got 'yes'"),
        ({"max_length": 0}, "max_length must be"),
        ({"num_rungs": 0}, "num_rungs must be"),
        ({"num_rungs": 10**9}, "1000000000 rungs with divisor 4 leave nothing to train in the lowest"),
        ({"num_brackets": -1}, "num_brackets must be a whole number of at least 0, got -1"),
        ({"num_brackets": True}, "num_brackets must be a whole number of at least 0, got True"),
        ({"num_brackets": 2}, "num_brackets must be at most num_rungs, which is 1; got 2"),
        ({"num_rungs": 3, "num_brackets": 4}, "num_brackets must be at most num_rungs, which is 3; got 4"),
        ({"space": {"a.b": {"type": "log", "base": 10, "minval": -400, "maxval": 0}}}, r"hyperparameter a\\.b reaches"),
        (
            {"space": {"c": choice([1, {"x": uniform(-1.7e308, 1.7e308)}]), "d": {"y": randint(0, 1)}}},
            r"hyperparameter c\[1\]\.x is too wide",
        ),
    ],
)
def test_what_optuna_cannot_do_is_refused_when_the_search_is_made(arguments: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        OptunaSearch(**{"space": NUMBERS, "max_length": 4, "max_trials": 4, **arguments})


def test_without_optuna_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(FailedPrecondition, match=r"pip install 'determined-search\[optuna\]'"):
        OptunaSearch(NUMBERS, 4, 4)
    with pytest.raises(InvalidConfig, match=r"searcher: .*pip install 'determined-search\[optuna\]'"):
        make_method(configured({}))


def test_an_old_optuna_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna, "__version__", "3.6.1")
    with pytest.raises(FailedPrecondition, match=r"Optuna 4 or newer, not 3\.6\.1"):
        OptunaSearch(NUMBERS, 4, 4)


def test_a_package_that_a_sampler_needs_is_missed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(optuna_samplers.NEEDS, "CmaEsSampler", "no_such_package")
    with pytest.raises(FailedPrecondition, match="pip install no_such_package"):
        OptunaSearch(NUMBERS, 4, 4, sampler="CmaEsSampler")


def configured(searcher: Mapping[str, Any]) -> Any:
    fields = {"name": "optuna", "metric": "loss", "max_length": 64, "max_trials": 9, **searcher}
    source = {"entrypoint": "true", "hyperparameters": NUMBERS.to_json(), "searcher": fields}
    return parse_config(source, DEFAULTS)


def test_a_configuration_names_the_sampler_and_the_rungs() -> None:
    config = configured(
        {
            "sampler": "TPESampler",
            "sampler_args": {"n_startup_trials": 3},
            "num_rungs": 3,
            "num_brackets": 2,
            "divisor": 2,
            "stop_once": True,
            "max_concurrent_trials": 2,
            "smaller_is_better": False,
        }
    )
    method = make_method(config)
    assert isinstance(method, OptunaSearch)
    plans = [bracket.plan for bracket in method.brackets]
    # n_s = 3/3 * 4, 3/2 * 2 = 4, 3: one each, and 4 and 3 of the other 7.
    assert plans == [Plan((16, 32, 64), 5, 0, 2, True, False, 0), Plan((32, 64), 4, 0, 2, True, False, 1)]
    assert method.concurrent == 2
    assert method.study._sampler._n_startup_trials == 3  # type: ignore[attr-defined]
    assert parse_config(config.complete, DEFAULTS).searcher == config.searcher


def test_a_configuration_without_them_searches_with_tpe_to_the_full_length() -> None:
    config = configured({})
    method = make_method(config)
    assert isinstance(method, OptunaSearch)
    assert [bracket.plan for bracket in method.brackets] == [Plan((64,), 9, 0)]
    assert method.concurrent == 9
    assert method.study.name == "TPESampler"
    assert config.complete["searcher"]["sampler_args"] == {}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"num_brackets": -1}, "searcher.num_brackets"),
        ({"num_brackets": 2}, "searcher.num_brackets"),
        ({"num_rungs": 3, "num_brackets": 4}, "searcher.num_brackets"),
        ({"num_rungs": 3, "num_brackets": "all"}, "searcher.num_brackets"),
        # How many brackets there may be is not known then.
        ({"num_rungs": 0, "num_brackets": 4}, "searcher.num_rungs"),
        ({"sampler": 5}, "searcher.sampler"),
        ({"sampler_args": [1]}, "searcher.sampler_args"),
        ({"num_rungs": 0}, "searcher.num_rungs"),
        ({"max_trials": 0}, "searcher.max_trials"),
        ({"mode": "standard"}, "searcher.mode"),
    ],
)
def test_a_wrong_field_of_a_configuration_is_named(fields: Mapping[str, Any], path: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        configured(fields)
    assert [problem.path for problem in refused.value.problems] == [path]


def test_an_unknown_sampler_is_refused_when_the_experiment_is_submitted() -> None:
    with pytest.raises(InvalidConfig, match=r"searcher: .*no sampler 'Oracle'"):
        make_method(configured({"sampler": "Oracle"}))


def test_samplers_that_are_kept_as_data_exist() -> None:
    assert set(optuna_samplers.sampler_names(optuna)) >= KEPT_AS_DATA

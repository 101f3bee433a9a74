"""The worlds of a check hold what can happen, are the same each time, and leave nothing behind."""

from __future__ import annotations

import functools
import math
import random
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest

from determined import searcher
from determined.errors import InvalidInput
from determined.searcher import ExitedReason, Operation, SearcherState
from determined.testing import CheckFailed, check_search_method
from determined.workshop.check import Kind
from determined.workshop.check.answers import letter
from determined.workshop.check.check import Checker
from determined.workshop.check.moves import VALUES, Move, Setting
from determined.workshop.check.play import Outcome, Subject, temporary_folder
from determined.workshop.check.rules import Budget
from tests.unit.workshop.check.small_halving import LENGTHS, SmallHalving

check_quickly = functools.partial(check_search_method, cost=False, other_processes=False)


def worlds(seed: int | None = None) -> list[Outcome]:
    with temporary_folder() as folder:
        checker = Checker(Subject(SmallHalving), folder)
        assert checker.explore(100, seed) is None
        return checker.worlds


def test_everything_happens_that_can_happen() -> None:
    told = Counter(step.event for world in worlds() for step in world.story)
    text = "\n".join(told)
    for part in (
        "exits early (ERRORED)",
        "exits early (USER_CANCELED)",
        "exits early (INVALID_HP)",
        "validates nan",
        "validates inf",
        "validates -inf",
        "validates 1e+300",
        "has trained 0.5",
        "there is room for 0 trials",
        "a user pauses the experiment",
        "a user cancels the experiment",
        "a user kills the experiment",
        "a user kills trial a",
        "the process of trial a exits with 0",
        "the last report of trial a arrives once more",
    ):
        assert part in text, part


def test_most_worlds_differ() -> None:
    found = worlds()
    assert len({repr((world.setting, world.moves)) for world in found}) > 0.9 * len(found)
    assert {world.setting for world in found} == {Setting(w, r) for w in (1, 2, 4, 8) for r in (0, 1)}


def test_the_same_worlds_come_each_time_and_others_with_a_seed() -> None:
    assert repr(worlds()) == repr(worlds())
    assert repr(worlds(5)) == repr(worlds(5)) != repr(worlds(6)) != repr(worlds())


def test_several_events_may_wait_before_the_method_is_asked() -> None:
    with temporary_folder() as folder:
        checker = Checker(Subject(SmallHalving), folder)
        moves = [Move("answer"), Move("crash", "a"), Move("kill", "b"), Move("answer", "", 0)]
        world = checker.replay(Setting(), moves)
    assert [step.event for step in world.story][:9] == [
        "initial_operations",
        "the process of trial a fails",
        "a user kills trial b",
        "trial a starts",
        "trial b starts",
        "trial a exits early (ERRORED)",
        "trial a is over",
        "trial b exits early (USER_CANCELED)",
        "trial b is over",
    ]


def test_a_trial_that_fails_is_started_again_and_may_have_gone_back() -> None:
    with temporary_folder() as folder:
        checker = Checker(Subject(SmallHalving), folder)
        moves = [
            Move("answer"),
            Move("progress", "a", 1.0),
            Move("progress", "a", 0.25),
            Move("crash", "a"),
            Move("progress", "a", 0.25),
            Move("answer"),
        ]
        world = checker.replay(Setting(max_restarts=1), moves)
    told = [step.event for step in world.story if "has trained" in step.event]
    # Before it has failed it only goes forward.
    assert told == ["trial a has trained 1", "trial a has trained 1", "trial a has trained 0.25"]


def test_a_report_that_arrives_again_is_heard_once() -> None:
    with temporary_folder() as folder:
        checker = Checker(Subject(SmallHalving), folder)
        moves = [
            Move("answer"),
            Move("answer"),
            Move("validate", "a", 0.5),
            Move("repeat", "a"),
            # The next operation of the trial is there.
            Move("answer"),
            Move("repeat", "a"),
            Move("validate", "a", 0.25),
            Move("repeat", "a"),
        ]
        world = checker.replay(Setting(), moves)
    assert world.moves == moves
    again = "the last report of trial a arrives once more"
    told = [step.event for step in world.story if step.event == again or "trial a validates" in step.event]
    assert told == [again, "trial a validates 0.5 at 1", again, again, "trial a validates 0.25 at 2"]


def test_a_report_arrives_again_only_from_the_process_that_has_sent_it() -> None:
    with temporary_folder() as folder:
        checker = Checker(Subject(SmallHalving), folder)
        made = [Move("answer"), Move("validate", "a", 0.5), Move("answer"), Move("crash", "a")]
        world = checker.replay(Setting(max_restarts=1), [Move("repeat", "a"), *made, Move("repeat", "a")])
    assert world.moves == made


def test_a_move_that_is_impossible_is_left_out() -> None:
    with temporary_folder() as folder:
        checker = Checker(Subject(SmallHalving), folder)
        world = checker.replay(Setting(), [Move("validate", "zz", 0.5), Move("answer")])
    assert world.moves == [Move("answer")]
    assert world.finding is None


def test_nothing_is_left_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_search_method(SmallHalving)
    assert list(tmp_path.iterdir()) == []


def test_shared_generators_and_tracing_are_as_they_were() -> None:
    random.seed(5)
    state, trace = random.getstate(), sys.gettrace()
    check_search_method(SmallHalving, other_processes=False)
    assert random.getstate() == state
    assert sys.gettrace() is trace


def test_a_long_search_is_played_fewer_times() -> None:
    report = check_quickly(SmallHalving, args={"max_trials": 150, "concurrent": 8}, examples=60)
    assert 2 < report.worlds < 60
    assert report.events < 20_000


def test_a_budget_is_taken_from_the_arguments_unless_it_is_given() -> None:
    class OneMore(SmallHalving):
        def __init__(self, max_trials: int = 3) -> None:
            super().__init__(max_trials + 1)

    check_quickly(OneMore, args={"max_trials": 3}, max_trials=4)
    with pytest.raises(CheckFailed, match=r"but max_trials is 3"):
        check_quickly(OneMore)
    with pytest.raises(CheckFailed, match=r"trial d makes 4 trials, .* but max_trials is 3"):
        check_quickly(OneMore, args={"max_trials": 3})


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"max_length": 1}, r"ValidateAfter\(a, 2\) asks for more than max_length, which is 1"),
        ({"max_units": 3}, "all trials together train 4, but max_units is 3"),
    ],
)
def test_lengths_have_limits(limits: dict[str, Any], text: str) -> None:
    with pytest.raises(CheckFailed, match=text) as found:
        check_quickly(SmallHalving, **limits)
    assert found.value.finding.kind is Kind.BUDGET
    check_quickly(SmallHalving, max_length=LENGTHS[-1], max_units=3 * LENGTHS[-1] + 40)


def test_a_metric_may_have_a_form() -> None:
    class Reads(SmallHalving):
        def loss(self, metric: Any) -> float:
            return super().loss(metric["loss"][0])

    check_quickly(Reads, metric=lambda value: {"loss": [value]})
    check_quickly(Reads, metric='{"loss": ["METRIC", 3], "epoch": 1}')
    with pytest.raises(CheckFailed, match="TypeError"):
        check_quickly(Reads)
    with pytest.raises(InvalidInput, match="has no place for a number"):
        check_quickly(Reads, metric='{"loss": 3}')


def test_a_method_without_a_seed_may_be_declared_so() -> None:
    class Chance(SmallHalving):
        def create(self) -> list[Operation]:
            self.rng = random.Random()
            return super().create()

        def request_id(self) -> uuid.UUID:
            return uuid.uuid4()

    with pytest.raises(CheckFailed) as found:
        check_quickly(Chance)
    assert found.value.finding.kind is Kind.RANDOM
    check_quickly(Chance, repeatable=False)


def test_a_method_may_change_the_metric_that_it_is_given() -> None:
    class Takes(SmallHalving):
        def loss(self, metric: Any) -> float:
            return super().loss(metric.pop("loss"))

    check_quickly(Takes, metric='{"loss": "METRIC"}')


class OneTrial(searcher.SearchMethod):
    """Trains one trial to one length after the other."""

    deterministic = True
    lengths: tuple[int, ...] = ()

    def __init__(self) -> None:
        self.completed = 0

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        trial = uuid.UUID(int=1)
        return [searcher.Create(trial, {}), searcher.ValidateAfter(trial, self.lengths[0])]

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return []

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        self.completed += 1
        more = self.lengths[self.completed : self.completed + 1]
        return [searcher.ValidateAfter(request_id, length) for length in more] or [searcher.Close(request_id)]

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        return []

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        return [searcher.Shutdown()]

    def progress(self, state: SearcherState) -> float:
        return float(len(state.trials_closed))


@pytest.mark.parametrize("lengths", [(1, 1), (3, 3, 5), (2, 3, 3)])
def test_a_length_may_come_twice_when_it_is_the_shortest_or_trials_grow_all_the_same(lengths: tuple[int, ...]) -> None:
    made = type("Made", (OneTrial,), {"lengths": lengths})
    note = check_quickly(made).notes[0]
    twice = next(length for length in lengths if lengths.count(length) == 2)
    assert f"e.g. ValidateAfter(a, {twice}); the trial validates again and trains nothing in between" in note


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ((3, 3), r"ValidateAfter\(a, 3\), but trial a has completed 3 already, and no trial is ever asked for more"),
        ((3, 5, 4), r"ValidateAfter\(a, 4\), but trial a has completed 5 already"),
        ((0,), r"ValidateAfter\(a, 0\), but trial a has completed 0 already"),
    ],
)
def test_lengths_that_stay_or_fall_are_found(lengths: tuple[int, ...], text: str) -> None:
    made = type("Made", (OneTrial,), {"lengths": lengths})
    with pytest.raises(CheckFailed, match=text) as found:
        check_quickly(made)
    assert found.value.finding.kind is Kind.LENGTH
    assert len(found.value.finding.story) <= 4


def test_a_replacement_of_an_invalid_point_may_take_progress_back() -> None:
    class Reported(SmallHalving):
        """Counts a trial at its first metric."""

        def progress(self, state: SearcherState) -> float:
            return min(len(self.rungs[0]) / self.max_trials, 0.99 if self.over < self.created else 1.0)

        def on_trial_exited_early(
            self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
        ) -> list[Operation]:
            if exited_reason is ExitedReason.INVALID_HP and self.training.get(str(request_id)) == 1:
                self.rungs[0].pop()
            return super().on_trial_exited_early(state, request_id, exited_reason)

    check_quickly(Reported)


def test_a_cache_beside_the_object_is_no_fault() -> None:
    class Caches(SmallHalving):
        known: ClassVar[dict[float, float]] = {}

        def loss(self, metric: float) -> float:
            if metric not in self.known:
                self.known[metric] = math.inf if math.isnan(metric) else metric
            return self.known[metric]

    check_quickly(Caches)
    assert Caches.known == {}


def test_a_method_that_writes_files_is_loaded_from_them() -> None:
    class Forgets(SmallHalving):
        def save_method_state(self, path: Path) -> None:
            (path / "rungs.txt").write_text(repr(self.rungs))

        def load_method_state(self, path: Path) -> None:
            self.rungs = eval((path / "rungs.txt").read_text())

    with pytest.raises(CheckFailed) as found:
        check_quickly(Forgets)
    assert found.value.finding.kind is Kind.RELOAD


def test_a_method_that_follows_from_its_events_need_not_be_saved() -> None:
    class Plain(searcher.SearchMethod):
        """One trial after the other; nothing of it is saved."""

        deterministic = True

        def __init__(self) -> None:
            self.created = 0

        def initial_operations(self, state: SearcherState) -> list[Operation]:
            self.created += 1
            trial = uuid.UUID(int=self.created)
            return [searcher.Create(trial, {}), searcher.ValidateAfter(trial, 1), searcher.Close(trial)]

        def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
            return []

        def on_validation_completed(
            self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
        ) -> list[Operation]:
            return []

        def on_trial_exited_early(
            self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
        ) -> list[Operation]:
            return []

        def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
            return [searcher.Shutdown()] if self.created == 3 else self.initial_operations(state)

        def progress(self, state: SearcherState) -> float:
            return len(state.trials_closed) / 3

    check_quickly(Plain)
    Plain.deterministic = False
    with pytest.raises(CheckFailed) as found:
        check_quickly(Plain)
    assert found.value.finding.kind is Kind.RELOAD


def test_a_state_that_cannot_be_loaded_is_told_with_its_place() -> None:
    class Broken(SmallHalving):
        def restore(self, saved: Any) -> None:
            raise KeyError("rungs")

    with pytest.raises(CheckFailed, match=r"could not be loaded: KeyError: 'rungs' \(.*test_worlds\.py, line \d+\)"):
        check_quickly(Broken)


def test_a_shutdown_that_gives_trials_up_says_so() -> None:
    class Stops(SmallHalving):
        shutdown: ClassVar[Operation] = searcher.Shutdown(cancel=True)

        def promote(self, request_id: uuid.UUID, rung: int) -> list[Operation]:
            return [*super().promote(request_id, rung), self.shutdown]

    check_quickly(Stops)
    Stops.shutdown = searcher.Shutdown()
    with pytest.raises(CheckFailed, match="Shutdown comes while trials a and b are not closed"):
        check_quickly(Stops)


def test_a_method_hears_of_its_trials_after_its_shutdown() -> None:
    class Ends(SmallHalving):
        """Has nothing to say any more, and cannot listen either."""

        ended = False

        def promote(self, request_id: uuid.UUID, rung: int) -> list[Operation]:
            self.ended = True
            return [searcher.Shutdown(cancel=True)]

        def on_trial_exited_early(
            self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
        ) -> list[Operation]:
            if self.ended:
                raise RuntimeError("it is over")
            return super().on_trial_exited_early(state, request_id, exited_reason)

        def snapshot(self) -> dict[str, Any]:
            return {**super().snapshot(), "ended": self.ended}

    with pytest.raises(CheckFailed, match="RuntimeError: it is over") as found:
        check_quickly(Ends)
    last, before = found.value.finding.story[-1], found.value.finding.story[-2]
    assert "exits early (USER_CANCELED)" in last.event
    assert before.answer == ("Shutdown(cancel=True)",)


def test_living_objects_in_a_snapshot_are_worth_a_note() -> None:
    class Copies(SmallHalving):
        def snapshot(self) -> dict[str, Any]:
            saved = super().snapshot()
            return {**saved, "rungs": [list(rung) for rung in self.rungs], "training": dict(self.training)}

    assert [note.partition(",")[0] for note in check_quickly(SmallHalving).notes] == [
        "what snapshot() returns changes afterwards"
    ]
    assert check_quickly(Copies).notes == ()


def test_a_method_that_cannot_be_made_elsewhere_is_not_compared_there() -> None:
    notes = check_search_method(lambda: SmallHalving(), examples=5).notes
    assert any("were not compared with those of other processes" in note for note in notes)
    assert any("cost of events was not measured: <lambda> has no arguments" in note for note in notes)


def test_what_is_no_search_method_is_refused() -> None:
    with pytest.raises(InvalidInput, match="which is no SearchMethod"):
        check_quickly(dict)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(InvalidInput, match="name a search method"):
        check_quickly()


def test_a_built_in_method_is_named_by_its_configuration() -> None:
    config = {
        "searcher": {"name": "random", "metric": "loss", "max_length": 4, "max_trials": 5},
        "hyperparameters": {"x": {"type": "double", "minval": 0, "maxval": 1}},
    }
    report = check_search_method(config=config, examples=10)
    assert report.name == "random"
    assert report.cost is not None
    with pytest.raises(CheckFailed, match="trial e makes 5 trials"):
        check_quickly(config=config, max_trials=4)


def test_arguments_come_from_a_configuration_by_name() -> None:
    config = {
        "searcher": {"name": "random", "metric": "loss", "max_length": 4, "max_trials": 5},
        "hyperparameters": {"x": {"type": "double", "minval": 0, "maxval": 1}},
    }
    name = "determined.methods.random:RandomSearch"
    assert check_quickly(name, config=config, examples=10).events > 0
    with pytest.raises(CheckFailed, match="max_trials is 3"):
        check_quickly(name, config=config, args={"max_trials": 6}, max_trials=3)


@pytest.mark.parametrize(("index", "name"), [(0, "a"), (25, "z"), (26, "aa"), (51, "az"), (52, "ba"), (701, "zz")])
def test_trials_are_called_by_letters(index: int, name: str) -> None:
    assert letter(index) == name


def test_the_simplest_value_of_each_choice_comes_first() -> None:
    assert {verb: values[0] for verb, values in VALUES.items()} == {
        "answer": 0,
        "validate": 0.5,
        "progress": 1.0,
        "workers": 4,
    }
    assert Budget() == Budget(None, None, None)

"""To save a deterministic method takes as much for each event of a long search as of a short one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.samplers import RandomSampler

from determined.domain.events import SearcherEvent
from determined.domain.search_method import SearcherState, SearchMethod, dispatch
from determined.searcher import (
    AdaptiveASHASearch,
    AsyncHalvingSearch,
    GridSearch,
    HyperbandSearch,
    OptunaSearch,
    PBTSearch,
    RandomSearch,
    SingleSearch,
    lineage,
    simulate,
    uniform,
)
from determined.searcher.event import QueuedEvent
from determined.searcher.lineage import Lineage

SPACE = {"x": uniform(0, 1)}


class AskedAgain(RandomSampler):
    """A sampler that is not known to be kept as data, so that a study is saved as the history of its calls."""


def made(name: str, trials: int) -> SearchMethod:
    if name == "pbt":
        return PBTSearch(SPACE, 20, trials // 20, 2)
    if name == "random":
        return RandomSearch(SPACE, 2, trials)
    if name == "grid":
        return GridSearch({"x": uniform(0, 1, count=trials)}, 2)
    if name == "optuna":
        return OptunaSearch(SPACE, 27, trials, sampler="RandomSampler", num_rungs=4, num_brackets=1, divisor=3)
    if name == "optuna brackets":
        return OptunaSearch(SPACE, 27, trials, sampler="RandomSampler", num_rungs=4, num_brackets=4, divisor=3)
    if name == "optuna asked again":
        return OptunaSearch(SPACE, 27, trials, sampler=AskedAgain, num_rungs=4, num_brackets=1, divisor=3)
    if name == "adaptive":
        return AdaptiveASHASearch(SPACE, 27, trials, divisor=3)
    if name == "hyperband":
        return HyperbandSearch(SPACE, 27, trials, divisor=3)
    return AsyncHalvingSearch(SPACE, 27, trials, 4, divisor=3, stop_once=name == "stop")


def saved(make: Callable[[], SearchMethod], folder: Path) -> tuple[Lineage, int]:
    """What a search stands on that was saved after each event, and how many events there were."""
    heard: list[SearcherEvent] = []
    simulate(
        make(),
        curve=lambda hparams, length: hparams["x"] + 1 / length,
        on_event=lambda time, event, operations: heard.append(event),
        keep_decisions=False,
    )
    folder.mkdir()
    method, state, line = make(), SearcherState(), Lineage(folder, 1)
    assert method.deterministic
    state.experiment_id = 1
    line.start(state, method.deterministic)
    for number, event in enumerate(heard, 1):
        dispatch(method, state, event)
        state.last_event_id = number
        line.record(method, state, [QueuedEvent(number, event)])
    return line, len(heard)


def bytes_per_event(name: str, trials: int, folder: Path) -> float:
    """Nothing is removed, so what lies there in the end is all that was written."""
    _, events = saved(lambda: made(name, trials), folder)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / events


@pytest.mark.parametrize(
    "name",
    [
        "promotion",
        "stop",
        "adaptive",
        "hyperband",
        "random",
        "grid",
        "pbt",
        "optuna",
        "optuna brackets",
        "optuna asked again",
    ],
)
def test_what_is_written_for_an_event_does_not_grow(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "_COMPACT_BYTES", 4_096)
    few, many = (bytes_per_event(name, trials, tmp_path / str(trials)) for trials in (120, 720))
    assert few > 30
    assert many < 1.3 * few


def test_nothing_is_kept_of_what_a_single_trial_reported_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one trial only its reports become more, and no base grows for them."""
    monkeypatch.setattr(lineage, "_COMPACT_BYTES", 4_096)
    sizes = []
    for length in (120, 720):
        line, events = saved(lambda: SingleSearch(SPACE, length), tmp_path / str(length))  # noqa: B023  # called at once
        assert events > length
        assert line.base is not None
        assert line.method
        # The newest base is not of the beginning.
        assert int(line.base.name.removeprefix("base_").removesuffix(".json")) > length / 2
        sizes.append(line.base.size + sum(part.size for part in line.method))
    few, many = sizes
    assert many < few + 20

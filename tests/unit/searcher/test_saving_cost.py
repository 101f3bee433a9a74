"""To save a deterministic method takes as much for each event of a long search as of a short one."""

from __future__ import annotations

from pathlib import Path

import pytest

from determined.domain.events import SearcherEvent
from determined.domain.search_method import SearcherState, SearchMethod, dispatch
from determined.searcher import (
    AdaptiveASHASearch,
    AsyncHalvingSearch,
    HyperbandSearch,
    PBTSearch,
    RandomSearch,
    lineage,
    simulate,
    uniform,
)
from determined.searcher.event import QueuedEvent
from determined.searcher.lineage import Lineage

SPACE = {"x": uniform(0, 1)}


def made(name: str, trials: int) -> SearchMethod:
    if name == "pbt":
        return PBTSearch(SPACE, 20, trials // 20, 2)
    if name == "random":
        return RandomSearch(SPACE, 2, trials)
    if name == "adaptive":
        return AdaptiveASHASearch(SPACE, 27, trials, divisor=3)
    if name == "hyperband":
        return HyperbandSearch(SPACE, 27, trials, divisor=3)
    return AsyncHalvingSearch(SPACE, 27, trials, 4, divisor=3, stop_once=name == "stop")


def bytes_per_event(name: str, trials: int, folder: Path) -> float:
    """Saved after each event; nothing is removed, so what lies there in the end is all that was written."""
    heard: list[SearcherEvent] = []
    simulate(
        made(name, trials),
        curve=lambda hparams, length: hparams["x"] + 1 / length,
        on_event=lambda time, event, operations: heard.append(event),
        keep_decisions=False,
    )
    folder.mkdir()
    method, state, line = made(name, trials), SearcherState(), Lineage(folder, 1)
    state.experiment_id = 1
    line.start(state, method.deterministic)
    for number, event in enumerate(heard, 1):
        dispatch(method, state, event)
        state.last_event_id = number
        line.record(method, state, [QueuedEvent(number, event)])
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / len(heard)


@pytest.mark.parametrize("name", ["promotion", "stop", "adaptive", "hyperband", "random", "pbt"])
def test_what_is_written_for_an_event_does_not_grow(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "_COMPACT_BYTES", 4_096)
    few, many = (bytes_per_event(name, trials, tmp_path / str(trials)) for trials in (120, 720))
    assert few > 30
    assert many < 1.3 * few

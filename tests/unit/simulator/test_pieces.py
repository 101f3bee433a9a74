"""An answer that closes many trials is carried out piece by piece, which nobody can tell."""

from __future__ import annotations

import pytest

from determined.domain.hparams import Double, Space
from determined.methods.async_halving import AsyncHalvingSearch
from determined.searcher import SimulationResult, TrialModel, simulate
from determined.simulator import search


def searched() -> SimulationResult:
    method = AsyncHalvingSearch(Space.of({"x": Double(0.0, 1.0)}), 27, 60, 4, divisor=3, max_concurrent_trials=6)
    hard = TrialModel(straggler_std=0.5, drop_probability=0.01, error_probability=0.01)
    return simulate(method, curve=lambda hparams, length: hparams["x"] + 1 / length, workers=6, trials=hard)


@pytest.mark.parametrize("piece", [1, 2, 7])
def test_trials_that_are_closed_some_at_a_time_end_as_if_all_at_once(
    piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = searched()
    assert any(len(answer) > 20 for answer in closings(at_once).values())
    monkeypatch.setattr(search, "_PIECE", piece)
    assert searched() == at_once


def closings(result: SimulationResult) -> dict[int, list[object]]:
    found: dict[int, list[object]] = {}
    for decision in result.decisions:
        found.setdefault(decision.event_id, []).append(decision.operation)
    return found

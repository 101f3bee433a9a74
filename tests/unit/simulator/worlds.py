"""Small search methods whose schedules can be worked out by hand, and short names for their trials."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from determined import searcher
from determined.domain.search_method import SearcherState
from determined.searcher import Close, Create, ExitedReason, Operation, Shutdown, ValidateAfter


def rid(name: str) -> uuid.UUID:
    return uuid.UUID(int=int.from_bytes(name.encode(), "big"))


def name_of(request_id: uuid.UUID) -> str:
    return request_id.int.to_bytes((request_id.int.bit_length() + 7) // 8, "big").decode()


class Script(searcher.SearchMethod):
    """Starts its trials at once, and answers each validation from a table; ends when all are over.

    Args:
        lengths: trials by name, and the lengths that each is asked for, one after the other, before it is closed.
        closes: close trials that have done their lengths.
    """

    def __init__(self, lengths: Mapping[str, Sequence[int]], *, closes: bool = True) -> None:
        self.lengths = {name: list(of) for name, of in lengths.items()}
        self.closes = closes
        self.heard: list[str] = []

    def initial_operations(self, state: SearcherState) -> list[Operation]:
        return [op for name in self.lengths for op in (Create(rid(name), {"name": name}), *self.next(name))]

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        self.heard.append(f"created {name_of(request_id)}")
        return []

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Operation]:
        self.heard.append(f"{name_of(request_id)} at {train_length}: {metric}")
        return self.next(name_of(request_id))

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Operation]:
        self.heard.append(f"closed {name_of(request_id)}")
        return [Shutdown()] if len(state.trials_closed) == len(self.lengths) else []

    def on_trial_exited_early(
        self, state: SearcherState, request_id: uuid.UUID, exited_reason: ExitedReason
    ) -> list[Operation]:
        self.heard.append(f"{name_of(request_id)} {exited_reason.value}")
        return []

    def progress(self, state: SearcherState) -> float:
        return len(state.trials_closed) / len(self.lengths)

    def next(self, name: str) -> list[Operation]:
        if self.lengths[name]:
            return [ValidateAfter(rid(name), self.lengths[name].pop(0))]
        return [Close(rid(name), reason="done")] if self.closes else []


def halves(hparams: Mapping[str, Any], length: float) -> float:
    """A metric that tells which trial and length it is of."""
    return ord(hparams["name"][0]) - ord("a") + 1 / length


def spans(result: searcher.SimulationResult) -> dict[str, tuple[float | None, float | None]]:
    """When each trial started and ended, by its name."""
    return {name_of(trial.request_id): (trial.started, trial.ended) for trial in result.trials}

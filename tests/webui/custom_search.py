"""A custom search with a LocalSearchRunner: ``python -m tests.webui.custom_search KIND MODEL SEARCHER_DIR``.

``brackets`` is adaptive ASHA in three brackets, ``texts`` two trials with every text of the corpus wherever a method
may put one.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from determined import searcher
from determined.domain.search_method import SearcherState
from determined.methods.adaptive_asha import AdaptiveASHASearch
from determined.searcher.local import LocalSearchRunner
from tests.webui.corpus import CORPUS

SPACE = {"x": {"type": "double", "minval": 0.0, "maxval": 1.0}, "kind": {"type": "categorical", "vals": ["a", "b"]}}


class MyBrackets(AdaptiveASHASearch):
    """A method of a user's own, which the master does not know."""


def brackets() -> MyBrackets:
    """The same method each time it is made: brackets of three, two and one rungs."""
    return MyBrackets(SPACE, 9, 14, mode="conservative", divisor=3, max_rungs=3, max_concurrent_trials=3)


class Texts(searcher.SearchMethod):
    """One trial that trains on after its first validation; its words are not well meant."""

    def __init__(self) -> None:
        self.heard = 0

    def initial_operations(self, state: SearcherState) -> list[Any]:
        first = uuid.UUID(int=1)
        hparams = {text: text for text in CORPUS}
        # Of two trials, so that every key varies and every chart of hyperparameters is drawn.
        other = {text: f"{text} as well" for text in CORPUS}
        return [
            searcher.Create(first, hparams, reason=" ".join(CORPUS)),
            searcher.ValidateAfter(first, 2, reason=" ".join(CORPUS)),
            searcher.Create(uuid.UUID(int=2), other),
            searcher.ValidateAfter(uuid.UUID(int=2), 1),
        ]

    def on_trial_created(self, state: SearcherState, request_id: uuid.UUID) -> list[Any]:
        return []

    def on_validation_completed(
        self, state: SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[Any]:
        self.heard += 1
        return [searcher.Close(request_id, reason=CORPUS[self.heard])]

    def on_trial_closed(self, state: SearcherState, request_id: uuid.UUID) -> list[Any]:
        return [searcher.Shutdown()] if len(state.trials_closed) == 2 else []

    def on_trial_exited_early(self, state: SearcherState, request_id: uuid.UUID, exited_reason: Any) -> list[Any]:
        return []

    def progress(self, state: SearcherState) -> float:
        return self.heard / 2

    def summary(self) -> Mapping[str, Any]:
        return {"heard": self.heard, **{text: text for text in CORPUS}}

    def snapshot(self) -> Mapping[str, Any]:
        return {"heard": self.heard}

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.heard = saved["heard"]


def main() -> None:
    kind, model, folder = sys.argv[1:]
    runner = LocalSearchRunner({"brackets": brackets, "texts": Texts}[kind](), searcher_dir=folder)
    print(runner.run(Path(model) / "config.yaml", model_dir=model), flush=True)


if __name__ == "__main__":
    main()

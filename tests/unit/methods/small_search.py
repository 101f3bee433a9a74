"""Drives a hosted method by hand: operations in, events out, each trial to the end that the test gives it."""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from determined.domain.events import (
    ExitCause,
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
    ValidationCompleted,
)
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.domain.search_method import SearchMethod
from determined.methods.hosted import Hosted

End = Callable[[int, dict[str, Any]], ExitCause | None]
"""How the trial of this number (from 0) and these hyperparameters ends; None for well."""


class SmallSearch:
    """Runs one trial at a time, first come first served.

    Attributes:
        hparams: of every trial that was asked for, in order.
        progress: each value that the method gave.
        most: the largest number of trials that were open at once.
        shutdown: how the search ended; None while it goes on.
    """

    def __init__(self, make: Callable[[], SearchMethod], end: End = lambda number, hparams: None) -> None:
        self.make = make
        self.hosted = Hosted(make())
        self.end = end
        self.events: list[SearcherEvent] = []
        self.waiting: deque[tuple[int, uuid.UUID, int]] = deque()
        self.hparams: list[dict[str, Any]] = []
        self.lengths: dict[uuid.UUID, int] = {}
        self.progress: list[float] = []
        self.open = 0
        self.most = 0
        self.shutdown: Shutdown | None = None

    def run(self, reload_after_each_event: bool = False) -> SmallSearch:
        """To the shutdown."""
        self.reloading = reload_after_each_event
        self._tell(InitialOperations())
        while self.waiting:
            number, request_id, length = self.waiting.popleft()
            self._tell(TrialCreated(request_id))
            self._tell(TrialProgress(request_id, length / 2))
            cause = self.end(number, self.hparams[number])
            if cause is None:
                self._tell(TrialProgress(request_id, float(length)))
                self._tell(ValidationCompleted(request_id, 0.5, length))
            else:
                self._tell(TrialExitedEarly(request_id, cause))
            self.open -= 1
            self._tell(TrialClosed(request_id))
        return self

    def _tell(self, event: SearcherEvent) -> None:
        assert self.shutdown is None, f"{event} after the shutdown"
        self.events.append(event)
        operations = self.hosted.handle(len(self.events), event)
        if self.reloading:
            self._reload()
        for op in operations:
            self._apply(op)

    def _reload(self) -> None:
        saved = json.loads(json.dumps(self.hosted.snapshot()))
        self.hosted = Hosted(self.make())
        self.hosted.restore(saved)
        for number, event in enumerate(self.events, 1):
            self.hosted.observe(number, event)

    def _apply(self, op: Operation) -> None:
        if isinstance(op, Create):
            self.hparams.append(json.loads(op.hparams))
            self.open += 1
            self.most = max(self.most, self.open)
        elif isinstance(op, ValidateAfter):
            self.waiting.append((len(self.hparams) - 1, op.request_id, op.length))
        elif isinstance(op, Progress):
            self.progress.append(op.progress)
        elif isinstance(op, Shutdown):
            self.shutdown = op
        else:
            assert isinstance(op, Close)

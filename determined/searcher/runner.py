"""The loop of every search runner: fetch a batch of events, ask the method, save once, answer once.

It is crash-only. State and operations are saved before the operations are sent, so a runner that was stopped
anywhere loads the last save, repeats the answer that may not have arrived, and goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from determined.domain import search_method as contract
from determined.domain.operations import Operation
from determined.domain.search_method import SearcherState, dispatch
from determined.domain.states import ExperimentState
from determined.errors import CorruptState, InvalidInput
from determined.methods.ending import ending
from determined.searcher import link
from determined.searcher.event import QueuedEvent, as_queued
from determined.searcher.words import Words
from determined.wire.searcher import Inactive, operation_from_json, operation_to_json

logger = logging.getLogger("determined.searcher")

_LONGEST_PAUSE_S = 1.0


class SearchRunner:
    """Runs a search method against an experiment; see ``LocalSearchRunner`` and ``RemoteSearchRunner``.

    ``get_events``, ``post_operations``, ``save_state`` and ``load_state`` may be replaced in subclasses; the loop
    calls them in the order get, save, post for each batch of events.
    """

    def __init__(self, search_method: contract.SearchMethod) -> None:
        # From here on a method that leaves its shutdown to others is like any other.
        self.search_method = ending(search_method)
        self.state = SearcherState()
        self._epoch: int | None = None
        self._words = Words(self.search_method)
        self._unsaved: list[QueuedEvent] = []

    def run_experiment(
        self,
        experiment_id: int,
        session: Any,
        prior_operations: list[Operation] | None,
    ) -> None:
        """Serve an experiment's events until it is over.

        Args:
            session: for calls to the master.
            prior_operations: the answer to the last saved event, in case the master has not got it.
        """
        self._unsaved = []
        pause_s, paused = 0.0, False
        try:
            while not self._should_leave():
                started = time.monotonic()
                events = [as_queued(e) for e in self.get_events(session, experiment_id) or ()]
                prior_operations = self._serve(session, experiment_id, events, prior_operations)
                state = _inactive_state(events)
                if state is not None and self._is_over(state):
                    return
                if state is ExperimentState.PAUSED and not paused:
                    self._show_experiment_paused_msg()
                paused = state is ExperimentState.PAUSED
                # Masters hold this request while there is no news; one that does not must not be flooded.
                quick = time.monotonic() - started < _LONGEST_PAUSE_S and (state is not None or not events)
                pause_s = min(2 * pause_s + 0.05, _LONGEST_PAUSE_S) if quick else 0.0
                if pause_s:
                    time.sleep(pause_s)
        except KeyboardInterrupt:
            logger.warning(f"Search runner interrupted. Experiment {experiment_id} waits for it; run again to resume.")
            raise

    def get_events(self, session: Any, experiment_id: int) -> Sequence[Any] | None:
        """Fetch the events that wait, in order; waits for some to come."""
        return link.fetch_events(session, experiment_id)

    def post_operations(self, session: Any, experiment_id: int, event: Any, operations: list[Operation]) -> None:
        """Send operations as the answer to all events up to ``event``."""
        # A master that knows no epochs knows no summaries either.
        summary = None if self._epoch is None else self._words.news()
        link.send_operations(session, experiment_id, event, operations, self._epoch, summary)

    def save_state(self, experiment_id: int, operations: list[Operation]) -> None:
        """Make the present state durable, with the operations that are about to be sent."""

    def load_state(self, experiment_id: Any) -> tuple[int, list[Operation]]:
        """Bring state and method back to the last save.

        Returns:
            The experiment's id and the operations saved last.
        """
        raise NotImplementedError(f"{type(self).__name__} keeps no state")

    def _serve(
        self,
        session: Any,
        experiment_id: int,
        events: Sequence[QueuedEvent],
        prior_operations: list[Operation] | None,
    ) -> list[Operation] | None:
        """Handle one batch; the operations that answer its last event."""
        queued = [e for e in events if not isinstance(e.event, Inactive)]
        known = [e for e in queued if e.id <= self.state.last_event_id]
        fresh = [e for e in queued if e.id > self.state.last_event_id]
        if known:
            self._resubmit(session, experiment_id, known, prior_operations)
        if not fresh:
            return prior_operations
        self._check_order(experiment_id, fresh)
        operations: list[Operation] = []
        for event in fresh:
            operations += self._get_operations(event)
            self.state.last_event_id = event.id
        with self._explaining(f"saving the state after event {fresh[-1].id}"):
            self.save_state(experiment_id, operations)
        self._unsaved = []
        self._post(session, experiment_id, fresh[-1], operations)
        self._tidy(experiment_id)
        return operations

    def _get_operations(self, event: QueuedEvent) -> list[Operation]:
        """Ask the method for its answer to one event."""
        logger.debug(f"{event}: {event.event}")
        assert not isinstance(event.event, Inactive)
        with self._explaining(f"handling {event}"):
            operations = dispatch(self.search_method, self.state, event.event)
            for index, op in enumerate(operations):
                # What the master will refuse must not be saved as an answer: it would be sent for ever.
                operation_from_json(operation_to_json(op), index)
        self._unsaved.append(event)
        return operations

    def _resubmit(
        self,
        session: Any,
        experiment_id: int,
        known: Sequence[QueuedEvent],
        operations: list[Operation] | None,
    ) -> None:
        last = known[-1]
        if operations is None or last.id != self.state.last_event_id:
            raise CorruptState(
                f"the state of experiment {experiment_id} is ahead of its master: event {self.state.last_event_id} "
                f"was handled here, but the master only knows events up to {last.id}. The master's data was "
                "probably restored from a backup; start a new search, with another searcher_dir."
            )
        logger.info(f"Resubmitting operations for event.id={last.id}")
        self._post(session, experiment_id, last, operations)

    def _post(self, session: Any, experiment_id: int, event: QueuedEvent, operations: list[Operation]) -> None:
        try:
            self.post_operations(session, experiment_id, event, operations)
        except InvalidInput as e:
            # Nothing of it was applied and the events are still queued: a corrected method gets them again.
            self._withdraw_state()
            _add_note(e, f"The answer to {event} was refused. {self._advice()}")
            raise

    def _check_order(self, experiment_id: int, fresh: Sequence[QueuedEvent]) -> None:
        expected = self.state.last_event_id + 1
        for event in fresh:
            if event.id != expected:
                raise CorruptState(
                    f"experiment {experiment_id}: event {expected} should come next, but the master sent event "
                    f"{event.id}. The events in between were answered by another runner, or after the state that "
                    "this runner was loaded from; start a new search, with another searcher_dir."
                )
            expected += 1

    def _is_over(self, state: ExperimentState) -> bool:
        self.state.experiment_completed = state is ExperimentState.COMPLETED
        return state.is_terminal

    def _should_leave(self) -> bool:
        """Whether to leave the loop between two batches, with the search unfinished."""
        return False

    def _show_experiment_paused_msg(self) -> None:
        logger.warning(
            f"Experiment {self.state.experiment_id} is paused. The search goes on by itself when the experiment is "
            f"activated (`det e activate {self.state.experiment_id}`); this process may also be stopped and run again."
        )

    def _tidy(self, experiment_id: int) -> None:
        """Clear away what saving has left; while the master is at work, so that no trial waits for it."""

    def _withdraw_state(self) -> None:
        """Forget the newest save, whose operations were refused."""

    def _advice(self) -> str:
        """What to do after a failure."""
        return "Nothing of these events has been saved; run again to resume before them."

    @contextmanager
    def _explaining(self, doing: str) -> Iterator[None]:
        try:
            yield
        except Exception as e:
            _add_note(e, f"This happened while {doing}. {self._advice()}")
            raise


def _inactive_state(events: Sequence[QueuedEvent]) -> ExperimentState | None:
    return next((e.event.state for e in events if isinstance(e.event, Inactive)), None)


def _add_note(error: BaseException, note: str) -> None:
    add = getattr(error, "add_note", None)
    if add is None:
        logger.error(note)
    else:
        add(note)

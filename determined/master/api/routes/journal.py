"""What an experiment's search was, from its first fact to its last: for replaying it, and for telling why."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from determined.domain.ids import ExperimentId, TrialId
from determined.errors import InvalidInput, NotFound
from determined.master.api.call import Call, Handled
from determined.master.api.routing import Routes
from determined.master.api.sending import Stream
from determined.storage.protocol import Store
from determined.wire import decisions as wire

routes = Routes()
ROWS_AT_ONCE: Final = 1000


@routes.add(
    "GET",
    "/v1/experiments/{experiment_id}/journal",
    answer=wire.JournalLine,
    streams=True,
    parameters=["after"],
)
async def stream_journal(call: Call) -> Handled:
    """Stream the facts of a search that are recorded so far, in order, from behind sequence number ``after`` on."""
    experiment = await call.store.get_experiment(call.experiment_id)
    return Stream(_journal(call.store, experiment.id, call.query.integer("after", 0, low=0)))


async def _journal(store: Store, experiment_id: ExperimentId, after: int) -> AsyncIterator[list[wire.JournalLine]]:
    while rows := await store.read_journal(experiment_id, after, ROWS_AT_ONCE):
        yield [wire.journal_line(row) for row in rows]
        after = rows[-1].seq


@routes.add(
    "GET",
    "/v1/experiments/{experiment_id}/decisions",
    answer=wire.Decision,
    streams=True,
    parameters=["trialId", "requestId"],
)
async def stream_decisions(call: Call) -> Handled:
    """Stream what the search method decided so far, about one trial or about all, and why.

    Cost: the journal is read from its beginning, a page at a time, even if one trial is asked for: about 20
    microseconds a fact. What is held is a page, and an id for each trial.
    """
    experiment = await call.store.get_experiment(call.experiment_id)
    return Stream(_decisions(call.store, experiment.id, await _wanted(call)))


async def _wanted(call: Call) -> str | None:
    """The request id of the trial that is asked for."""
    trial_id, text = call.query.optional_integer("trialId"), call.query.text("requestId")
    if trial_id is not None and text:
        raise InvalidInput("trialId and requestId exclude each other; name the trial by one of them")
    if trial_id is not None:
        trial = await call.store.get_trial(TrialId(trial_id))
        if trial.experiment_id != call.experiment_id:
            raise NotFound(
                f"trial {trial_id} is not one of experiment {call.experiment_id}, but of {trial.experiment_id}"
            )
        return str(trial.request_id)
    if not text:
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise InvalidInput(f"requestId must be a UUID like {uuid.UUID(int=7)}, got {text[:40]!a}") from None


async def _decisions(
    store: Store, experiment_id: ExperimentId, request_id: str | None
) -> AsyncIterator[list[wire.Decision]]:
    reader, queue, after = wire.DecisionReader(request_id), _Queue(store, experiment_id), 0
    while rows := await store.read_journal(experiment_id, after, ROWS_AT_ONCE):
        # Off the loop: others want their answers meanwhile.
        for batch in await asyncio.to_thread(reader.batches, rows):
            events = await queue.read(batch.first, batch.last, ahead=request_id is None)
            yield list(reader.decisions(batch, events))
        after = rows[-1].seq


class _Queue:
    """The events of an experiment, read in order."""

    def __init__(self, store: Store, experiment_id: ExperimentId) -> None:
        self._store = store
        self._experiment_id = experiment_id
        self._known: dict[int, bytes] = {}

    async def read(self, first: int, last: int, ahead: bool) -> Sequence[Any]:
        """Events ``first`` to ``last``, none for 0.

        Args:
            ahead: those behind them will be asked for next.
        """
        if last and not (first in self._known and last in self._known):
            count = last - first + 1
            rows = await self._store.read_events(
                self._experiment_id, first - 1, max(count, ROWS_AT_ONCE) if ahead else count
            )
            self._known = {row.id: row.body for row in rows}
        return [msgspec.json.decode(self._known[number]) for number in range(first, last + 1)] if last else []

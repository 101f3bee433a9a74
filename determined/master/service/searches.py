"""Built-in search methods, run in the master through the same queue and the same operations as anybody's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from determined.domain import facts
from determined.domain.ids import ExperimentId
from determined.domain.operations import Operation, Shutdown
from determined.errors import CorruptState, StorageFailed
from determined.master.service.commit import Commits
from determined.master.service.hub import Hub
from determined.master.service.lane import Lane
from determined.methods.hosted import Hosted
from determined.methods.registry import make_method
from determined.storage import protocol as db
from determined.storage.protocol import Store
from determined.wire.searcher import Inactive, event_from_json, operations_digest

log = logging.getLogger("determined.master")

SAVE_EVERY = 256
"""Events between two snapshots of a method, at least; a restart hands it the events since the newest one again."""
BYTES_PER_EVENT = 256
"""What a snapshot may cost for each event since the one before: large ones are taken more rarely, so that saving costs
the same per event however long the search is."""
EVENTS_AT_ONCE = 5000
PART = "method"
WORDS = "summary"
"""Name of the part that holds what a method last said of itself."""


@dataclass(slots=True)
class _AtWork:
    """A method that has answered everything up to its state.

    Attributes:
        source: the experiment as it was taken up; another one after a failed write.
        failure: what the method raised; the search is over.
    """

    hosted: Hosted
    source: Lane
    failure: Exception | None = None


class Searches:
    """One task per experiment with a built-in method."""

    def __init__(self, commits: Commits, store: Store, hub: Hub, clock: Callable[[], float]) -> None:
        self.commits = commits
        self.store = store
        self.hub = hub
        self.clock = clock
        self._at_work: dict[ExperimentId, _AtWork] = {}

    async def run(self, experiment_id: ExperimentId) -> None:
        """Answer the experiment's events until it is over."""
        try:
            await self._run(experiment_id)
        finally:
            self._at_work.pop(experiment_id, None)

    async def summary(self, experiment_id: ExperimentId) -> tuple[int | None, Mapping[str, Any] | None]:
        """Where a search stands in its method's words, and after which event it said so; None if it said nothing."""
        found = self._at_work.get(experiment_id)
        if found is not None:
            return found.hosted.state.last_event_id, found.hosted.method.summary()
        words = await self.store.find_state(experiment_id, WORDS)
        if words is None:
            return None, None
        said = msgspec.json.decode(words)
        return said["event"], said["summary"]

    def answer_ahead(self, lane: Lane, events: Sequence[tuple[int, msgspec.Raw]]) -> None:
        """Answer events that are on their way to the disk, with units that get there after them.

        Where that is not possible, they are answered once they are there.
        """
        found = self._at_work.get(lane.id)
        if found is None or found.source is not lane or found.failure is not None or lane.engine.state.is_terminal:
            return
        if events[0][0] != found.hosted.state.last_event_id + 1:
            return
        try:
            # Nobody waits for it here: whoever waits for the events' own unit sees what becomes of both.
            self._answer(lane, found.hosted, events)
        except StorageFailed as e:
            log.warning("experiment %d: its search waits for the store: %s", lane.id, e)
        except Exception as e:
            found.failure = e

    async def _run(self, experiment_id: ExperimentId) -> None:
        found: _AtWork | None = None
        with self.hub.listen(("experiment", experiment_id)) as news:
            while not self.hub.closed:
                lane = await self.commits.lane(experiment_id)
                if lane is None:
                    return
                try:
                    if found is None or found.source is not lane:
                        # After a failed write the method may have seen events that never were; begin from the store.
                        found = _AtWork(await self._restore(lane), lane)
                        self._at_work[experiment_id] = found
                    if found.failure is not None:
                        raise found.failure
                    told = self._answer(lane, found.hosted, list(lane.queue))
                    if told is not None:
                        await asyncio.shield(told)
                except StorageFailed as e:
                    log.warning("experiment %d: its search waits for the store: %s", experiment_id, e)
                    found = None
                    await news.wait(1.0)
                    continue
                except Exception as e:
                    log.exception("the search method of experiment %d failed", experiment_id)
                    await self.commits.persist(experiment_id, lambda e=e: self._failed(e))  # type: ignore[misc]
                    return
                if not lane.queue or lane.queue[-1][0] <= found.hosted.state.last_event_id:
                    await news.wait()

    def _failed(self, error: Exception) -> facts.MethodFailed:
        return facts.MethodFailed(at=self.clock(), message=f"the search method failed: {type(error).__name__}: {error}")

    def _answer(
        self, lane: Lane, hosted: Hosted, events: Sequence[tuple[int, msgspec.Raw]]
    ) -> asyncio.Future[None] | None:
        """Hand everything new to the method and submit its answers as one batch; None if there was nothing."""
        operations: list[Operation] = []
        handled = hosted.state.last_event_id
        for event_id, raw in events:
            if event_id > handled:
                operations += _handle(hosted, bytes(raw))
        newest = hosted.state.last_event_id
        if newest <= handled:
            return None
        extra = [self._snapshot(lane, hosted)] if newest >= hosted.save_at else []
        if any(isinstance(op, Shutdown) for op in operations):
            # The method is gone with its search, and its last words are not.
            said = msgspec.json.encode({"event": newest, "summary": hosted.method.summary()})
            extra.append(kept_words(lane.id, said))
        return self.commits.submit(
            lane,
            facts.OperationsPosted(
                at=self.clock(),
                operations=tuple(operations),
                trigger=newest,
                first_trial_id=self.commits.next_trial,
                digest=operations_digest(operations),
            ),
            extra,
        )

    @staticmethod
    def _snapshot(lane: Lane, hosted: Hosted) -> db.PutState:
        body = msgspec.msgpack.encode(hosted.snapshot())
        hosted.save_at = _next_save(hosted.state.last_event_id, len(body))
        # It tells itself after which event it was taken. Facts between the engine's snapshot and this are still needed,
        # so its number is not one of a fact.
        return db.PutState(experiment_id=lane.id, part=PART, seq=-1, body=body)

    async def _restore(self, lane: Lane) -> Hosted:
        """The method as it was after the newest answered event."""
        hosted = Hosted(make_method(lane.config))
        saved = (await self.store.load_engine(lane.id)).parts.get(PART)
        seen = 0
        if saved is not None:
            state = msgspec.msgpack.decode(saved[1])
            hosted.restore(state)
            seen = state["last_event"]
        hosted.save_at = _next_save(seen, 0 if saved is None else len(saved[1]))
        after = 0
        while after < lane.answered:
            rows = await self.store.read_events(lane.id, after, EVENTS_AT_ONCE)
            if not rows:
                raise CorruptState(f"experiment {lane.id}: event {after + 1} is missing from the store")
            for row in rows:
                after = row.id
                if row.id <= seen:
                    event_id, event = event_from_json(msgspec.json.decode(row.body))
                    if not isinstance(event, Inactive):
                        hosted.observe(event_id, event)
                elif row.id <= lane.answered:
                    _handle(hosted, row.body)
            # The store may hold many more events than a machine wants to parse in one go.
            await asyncio.sleep(0)
        return hosted


def kept_words(experiment_id: ExperimentId, words: bytes) -> db.PutState:
    """The change that keeps what a method says of itself. Its number is not one of a fact: it is no part of a state."""
    return db.PutState(experiment_id=experiment_id, part=WORDS, seq=-1, body=words)


def _next_save(newest: int, size_bytes: int) -> int:
    """The event after which the next snapshot is due."""
    return newest + max(SAVE_EVERY, size_bytes // BYTES_PER_EVENT)


def _handle(hosted: Hosted, body: bytes) -> list[Operation]:
    event_id, event = event_from_json(msgspec.json.decode(body))
    return [] if isinstance(event, Inactive) else hosted.handle(event_id, event)

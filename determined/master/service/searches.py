"""Built-in search methods, run in the master through the same queue and the same operations as anybody's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
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


class Searches:
    """One task per experiment with a built-in method.

    Attributes:
        hosted: the methods at work.
    """

    def __init__(self, commits: Commits, store: Store, hub: Hub, clock: Callable[[], float]) -> None:
        self.commits = commits
        self.store = store
        self.hub = hub
        self.clock = clock
        self.hosted: dict[ExperimentId, Hosted] = {}

    async def run(self, experiment_id: ExperimentId) -> None:
        """Answer the experiment's events until it is over."""
        try:
            await self._run(experiment_id)
        finally:
            self.hosted.pop(experiment_id, None)

    async def summary(self, experiment_id: ExperimentId) -> tuple[int | None, Mapping[str, Any] | None]:
        """Where a search stands in its method's words, and after which event it said so; None if it said nothing."""
        hosted = self.hosted.get(experiment_id)
        if hosted is not None:
            return hosted.state.last_event_id, hosted.method.summary()
        words = await self.store.find_state(experiment_id, WORDS)
        if words is None:
            return None, None
        said = msgspec.json.decode(words)
        return said["event"], said["summary"]

    async def _run(self, experiment_id: ExperimentId) -> None:
        hosted: Hosted | None = None
        source: Lane | None = None
        with self.hub.listen(("experiment", experiment_id)) as news:
            while not self.hub.closed:
                lane = await self.commits.lane(experiment_id)
                if lane is None:
                    return
                try:
                    if hosted is None or source is not lane:
                        # After a failed write the method may have seen events that never were; begin from the store.
                        hosted, source = await self._restore(lane), lane
                        self.hosted[experiment_id] = hosted
                    await self._answer(lane, hosted)
                except StorageFailed as e:
                    log.warning("experiment %d: its search waits for the store: %s", experiment_id, e)
                    hosted = None
                    await news.wait(1.0)
                    continue
                except Exception as e:
                    log.exception("the search method of experiment %d failed", experiment_id)
                    await self.commits.persist(experiment_id, lambda e=e: self._failed(e))  # type: ignore[misc]
                    return
                if not lane.queue or lane.queue[-1][0] <= hosted.state.last_event_id:
                    await news.wait()

    def _failed(self, error: Exception) -> facts.MethodFailed:
        return facts.MethodFailed(at=self.clock(), message=f"the search method failed: {type(error).__name__}: {error}")

    async def _answer(self, lane: Lane, hosted: Hosted) -> None:
        """Hand everything new to the method and post its answers as one batch."""
        operations: list[Operation] = []
        handled = hosted.state.last_event_id
        for event_id, raw in list(lane.queue):
            if event_id > handled:
                operations += _handle(hosted, bytes(raw))
        newest = hosted.state.last_event_id
        if newest <= handled:
            return
        extra = [self._snapshot(lane, hosted)] if newest >= hosted.save_at else []
        if any(isinstance(op, Shutdown) for op in operations):
            # The method is gone with its search, and its last words are not.
            said = msgspec.json.encode({"event": newest, "summary": hosted.method.summary()})
            extra.append(kept_words(lane.id, said))
        await self.commits.commit(
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

"""What a search came to, in a form in which two plays can be compared; and whether everything adds up."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from determined.domain import facts
from determined.domain.operations import Operation
from determined.domain.search_method import SearcherState, SearchMethod, dispatch
from determined.domain.states import TrialState
from determined.searcher.submit import new_state
from determined.testing.digest import difference
from determined.wire import journal
from determined.wire.searcher import Inactive, event_from_json
from tests.simulation.disk import EXPERIMENT, Disk, demand
from tests.simulation.methods import METHODS

if TYPE_CHECKING:
    from tests.simulation.world import World

Digest = dict[str, Any]
_HURT = (TrialState.ERROR, TrialState.CANCELED)


@dataclass(frozen=True)
class _Stored:
    """Events of the disk, read."""

    events: list[dict[str, Any]]

    def about(self, request_id: str) -> list[dict[str, Any]]:
        return [_scrubbed(e) for e in self.events if any(request_id in str(v) for v in e.values())]


def digest_of(world: World) -> Digest:
    """Trials by request id with what they came to, and the end of the search. Checks first that it can be."""
    disk = world.disk
    _check_engine(disk)
    _check_method(world)
    stored = _Stored([json.loads(body) for body in disk.events])
    trials = {}
    for trial_id, row in sorted(disk.trials.items(), key=lambda item: item[1].request_id):
        demand(row.state.is_terminal, f"trial {trial_id} is {row.state.value} at the end")
        events = stored.about(row.request_id)
        metrics = {f"{group}/{steps}": v for (t, group, steps), v in disk.metrics.items() if t == trial_id}
        trials[row.request_id] = {
            "state": row.state.value,
            "hparams": row.hparams,
            "events": [e for e in events if "trialProgress" not in e],
            "progress": sorted({e["trialProgress"]["partialUnits"] for e in events if "trialProgress" in e}),
            "metrics": dict(sorted(metrics.items())),
        }
    return {"state": disk.state.value, "progress": disk.head[1], "trials": trials}


def _scrubbed(event: dict[str, Any]) -> dict[str, Any]:
    without = {key: value for key, value in event.items() if key != "id"}
    for body in without.values():
        if isinstance(metric := body.get("metric"), dict):
            metric["checkpoint"] = "a checkpoint"
    return without


def _check_engine(disk: Disk) -> None:
    """All facts from the first on, and the snapshot with those after it, make the same engine."""
    long_way, short_way = disk.load(from_start=True), disk.load()
    demand(_picture(long_way) == _picture(short_way), "journal and snapshot tell different stories")
    demand(long_way.last_event == len(disk.events), "the journal makes other events than are stored")
    demand(long_way.state is disk.state, "the row of the experiment is not what the journal says")


def _picture(engine: Any) -> tuple[object, ...]:
    head = (engine.state, engine.progress, engine.message, engine.ended_at, engine.last_event, engine.answered)
    return (*head, repr(sorted(engine.trials.items())), repr(sorted(engine.index.items())))


def _check_method(world: World) -> None:
    """A method that hears each stored event once gives the answers that are in the journal, and has the saved state."""
    method: SearchMethod = METHODS[world.setup.method](1)
    state, last = new_state(EXPERIMENT), 0
    events = [event_from_json(json.loads(body)) for body in world.disk.events]
    for row in world.disk.journal:
        fact = journal.from_row(row)
        if isinstance(fact, facts.OperationsPosted):
            assert fact.trigger is not None
            expected: list[Operation] = []
            for event_id, event in events[last : fact.trigger]:
                assert not isinstance(event, Inactive)
                expected += dispatch(method, state, event)
                state.last_event_id = event_id
            last = fact.trigger
            demand(list(fact.operations) == expected, f"the answer to event {last} is not the method's")
    _check_saved(world, method, state)


def _check_saved(world: World, method: SearchMethod, state: SearcherState) -> None:
    saved = world.saves.newest
    assert saved is not None
    if json.loads(saved.state)["lastEventId"] == state.last_event_id:
        demand(json.loads(saved.method) == method.snapshot(), "the saved method has not heard each event once")
        demand(json.loads(saved.state) == state.to_dict(), "the saved state has not heard each event once")


def compare(expected: Digest, found: Digest, world: World) -> bool:
    """Demand that a disturbed search came to what the undisturbed one came to.

    Returns:
        False when that cannot be demanded, since a trial was hurt and came to another end.
    """
    hurt = {row.request_id for trial_id, row in world.disk.trials.items() if trial_id in world.faults.hurt}
    for request_id in hurt:
        trial, usual = found["trials"][request_id], expected["trials"].get(request_id)
        if usual is None or trial["state"] in _HURT or _ends(usual) != _ends(trial):
            return False
    lines = difference(expected, found)
    demand(not lines, "the search came to another end than the undisturbed one:\n" + "\n".join(lines[:10]))
    return True


def _ends(trial: dict[str, Any]) -> list[Any]:
    return [e for e in trial["events"] if "trialExitedEarly" in e]

"""Why a search does not go on: what each of its open trials waits for, in words."""

from __future__ import annotations

from collections.abc import Iterator

from determined.engine.trial import Trial
from determined.simulator.world import World

SHOWN = 5


def what_is_waited_for(world: World) -> str:
    """A sentence for people about a world in which nothing happens any more."""
    open_trials = list(world.search.engine.trials.values())
    head = f"the search stalled at time {world.now:g}: nothing runs, nothing can start, and it has not ended"
    if not open_trials:
        number = len(world.processes)
        what = f"all {number} trials are over" if number else "no trial was ever created"
        return f"{head}; {what}, and the search method has not returned Shutdown()"
    return "; ".join([head, *_groups(world, open_trials)])


def _groups(world: World, trials: list[Trial]) -> Iterator[str]:
    waiting = [t for t in trials if t.run is not None and not t.run.has_process]
    without_work = [t for t in trials if t.complete and not t.closed]
    others = [t for t in trials if t not in waiting and t not in without_work]
    if without_work:
        yield (
            f"{_named(without_work)} completed what was asked for, and the search method has neither returned "
            "ValidateAfter nor Close for them"
        )
    if waiting:
        run = waiting[0].run
        assert run is not None
        why = world.workers.pool.explain(waiting[0].id, run.run_id) or "a worker: there are none"
        yield f"{_named(waiting)} wait for {why}"
    if others:
        yield f"{_named(others)} are {', '.join(sorted({t.state.value for t in others}))}"


def _named(trials: list[Trial]) -> str:
    names = ", ".join(str(t.request_id) for t in trials[:SHOWN])
    more = f" and {len(trials) - SHOWN} more" if len(trials) > SHOWN else ""
    return f"{len(trials)} trial{'s' if len(trials) > 1 else ''} ({names}{more})"

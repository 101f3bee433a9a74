"""The logs of an experiment's trials, as the web UI reads them."""

from __future__ import annotations

from typing import Final

from determined.errors import InvalidInput, NotFound
from determined.master.api.call import Call, Handled
from determined.master.api.query import integer
from determined.master.api.routing import Routes
from determined.master.ui import merged_log
from determined.master.ui.channels import MAX_LINE
from determined.storage.protocol import LogFilter
from determined.wire import ui as wire
from determined.wire.logs import LEVELS, level_name

routes = Routes()
MAX_LINES: Final = 10_000


@routes.add(
    "GET",
    "/v1/ui/experiments/{experiment_id}/logs",
    answer=wire.UiLogs,
    parameters=["trials", "limit", "level", "find"],
)
async def logs(call: Call) -> Handled:
    """Get the newest lines of the logs of an experiment's trials, or of those named, as one log."""
    query, experiment = call.query, await call.store.get_experiment(call.experiment_id)
    limit = query.integer("limit", 2_000)
    if not 1 <= limit <= MAX_LINES:
        raise InvalidInput(f"limit must be between 1 and {MAX_LINES}, got {limit}")
    named = [name for text in query.texts("trials") for name in text.split(",") if name]
    ids = [integer("trials", name, 1) for name in named[: merged_log.MOST_TRIALS + 1]]
    if len(ids) > merged_log.MOST_TRIALS:
        raise InvalidInput(f"trials: name at most {merged_log.MOST_TRIALS}, got {len(named)}")
    where = LogFilter(levels=_at_least(query.text("level")), text=query.text("find"))
    # It comes first: whatever is stored from now on may be in the answer, and what was before surely is.
    last = await call.store.last_line()
    ends = await call.store.last_lines(experiment.id, ids or None)
    missing = sorted(set(ids).difference(ends))
    if missing:
        raise NotFound(f"experiment {experiment.id} has no trial {missing[0]}")
    found, searched = await merged_log.newest_lines(call.store, ends, where, limit)
    lines = [
        wire.UiLogLine(trial=r.trial_id, id=r.id, time=r.at, level=level_name(r.level), text=r.text[:MAX_LINE])
        for r in found
    ]
    return wire.UiLogs(lines=lines, searched=searched, trials=len(ends), last=last)


def _at_least(name: str) -> tuple[str, ...]:
    if not name:
        return ()
    if name.upper() not in LEVELS:
        raise InvalidInput(f"level: there is no {name[:40]!a} (allowed: {', '.join(LEVELS)})")
    levels = LEVELS[LEVELS.index(name.upper()) :]
    # Lines that name no level are shown as INFO.
    return (*levels, "") if "INFO" in levels else levels

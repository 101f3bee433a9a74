"""The newest lines of many trials as one log."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Final

from determined.domain.ids import TrialId
from determined.domain.records import LogRecord
from determined.storage.protocol import LogFilter, Store

MOST_TRIALS: Final = 300
"""Logs that are read for one answer; those of the trials that logged last."""


async def newest_lines(
    store: Store, ends: Mapping[int, int], where: LogFilter, limit: int
) -> tuple[list[LogRecord], int]:
    """The lines that match and were stored last, by their times, and of how many trials the logs were looked at.

    Trials are taken from the one that logged last, until no other one can have a line that is as new. How long ago they
    ended does not matter: lines may come late, and the clocks of machines differ.

    Args:
        ends: the trials, and of each the id of its last line; 0 for none.
        limit: most lines; at least one.
    """
    found: list[tuple[int, LogRecord]] = []
    searched = 0
    for trial_id, last in sorted(ends.items(), key=lambda item: -item[1]):
        oldest = found[0][0] if len(found) >= limit else 0
        if not last or last < oldest:
            # This one, and those behind it, have no line, or none that is new enough.
            searched = len(ends)
            break
        if searched >= MOST_TRIALS:
            break
        searched += 1
        for record in await store.read_logs(TrialId(trial_id), where, oldest, limit, descending=True):
            if len(found) < limit:
                heapq.heappush(found, (record.id, record))
            elif record.id > found[0][0]:
                heapq.heapreplace(found, (record.id, record))
    return sorted((line for _, line in found), key=lambda line: (line.at, line.trial_id, line.id)), searched

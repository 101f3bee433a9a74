"""The newest lines of many trials as one log."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from determined.domain.ids import TrialId
from determined.domain.records import LogRecord
from determined.storage.protocol import LogFilter, Store, TrialRow

MOST_TRIALS: Final = 300
"""Logs that are read for one answer; those of the trials that were active last."""
LATE_S: Final = 60.0
"""How long after a trial has ended the last lines of its processes may still come."""


_Entry = tuple[float, int, int, LogRecord]


async def newest_lines(
    store: Store, rows: Sequence[TrialRow], where: LogFilter, limit: int
) -> tuple[list[LogRecord], int]:
    """The newest lines that match, oldest first, and of how many trials the logs were looked at.

    Trials are taken from the one that was active last, until no other one can have a line that is as new.

    Args:
        rows: the trials.
        limit: most lines; at least one.
    """
    found: list[_Entry] = []
    searched = 0
    for row in sorted(rows, key=lambda r: (-_active_until(r), -r.id)):
        is_full = len(found) >= limit
        if is_full and _active_until(row) + LATE_S < found[0][0]:
            # Nothing of this one, or of those behind it, is new enough.
            return _in_order(found), len(rows)
        if searched >= MOST_TRIALS:
            break
        searched += 1
        newer = replace(where, after=found[0][0]) if is_full else where
        for record in await store.read_logs(TrialId(row.id), newer, 0, limit, descending=True):
            entry = (record.at, record.trial_id, record.id, record)
            if len(found) < limit:
                heapq.heappush(found, entry)
            elif entry[:3] > found[0][:3]:
                heapq.heapreplace(found, entry)
    return _in_order(found), searched


def _in_order(found: Sequence[_Entry]) -> list[LogRecord]:
    return [entry[3] for entry in sorted(found, key=lambda e: e[:3])]


def _active_until(row: TrialRow) -> float:
    return math.inf if row.ended_at is None else row.ended_at

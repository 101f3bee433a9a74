"""The logs of many trials as one: which of them are looked at."""

from __future__ import annotations

import asyncio

import pytest

from determined.domain.ids import TrialId
from determined.domain.records import LogRecord
from determined.master.ui.merged_log import MOST_TRIALS, newest_lines
from determined.storage.memory import MemoryStore
from determined.storage.protocol import LogFilter


class Counted(MemoryStore):
    """A store without a line that counts how often logs are read."""

    reads = 0

    async def read_logs(
        self, trial_id: TrialId, where: LogFilter, after: int, limit: int | None, descending: bool
    ) -> list[LogRecord]:
        self.reads += 1
        return []


@pytest.mark.parametrize("silent", [0, MOST_TRIALS + 700])
def test_trials_without_a_line_are_not_looked_at_and_not_missed(silent: int) -> None:
    store = Counted()
    ends = {1: 5} | dict.fromkeys(range(2, 2 + silent), 0)
    assert asyncio.run(newest_lines(store, ends, LogFilter(), 10)) == ([], 1 + silent)
    assert store.reads == 1

"""The wall clock jumps by hours, forward and back: nothing times out, nothing changes places."""

from __future__ import annotations

import mmap
import struct
import subprocess
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from determined.testing.cluster import LocalMaster
from tests.e2e.support import events_of, kinds, started_experiment, trials_of

CLOCK = Path(__file__).parent / "clock"
HOUR = 3600.0
JUMPS = [5 * HOUR, -7 * HOUR, 30 * HOUR, 0.0, -400 * HOUR]


class Clock:
    """What every process of the test takes for the time."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(struct.pack("d", 0.0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8)

    def jump_to(self, offset_s: float) -> None:
        """From now on, so far from the true time."""
        self._shared[:8] = struct.pack("d", offset_s)


def test_jumps_of_the_wall_clock_change_nothing(
    tmp_path: Path, model: Path, search_command: Callable[..., list[str]]
) -> None:
    clock = Clock(tmp_path / "clock")
    master = LocalMaster(tmp_path / "m")
    master.env |= {"PYTHONPATH": str(CLOCK), "TEST_CLOCK": str(tmp_path / "clock")}
    jumps = cycle(JUMPS)
    with master, master.session() as session:
        command = search_command("random", model, tmp_path / "searcher")
        with subprocess.Popen(command, env=master.env, stderr=subprocess.PIPE, text=True) as runner:
            experiment = started_experiment(runner)
            jumped, last = 0, ""
            for line in session.stream(f"/api/v1/experiments/{experiment}/watch", {"follow": True}):
                last = line["result"]["state"]
                clock.jump_to(next(jumps))
                jumped += 1
            _, told = runner.communicate()
        assert runner.returncode == 0, told
        assert last == "STATE_COMPLETED"
        assert jumped >= len(JUMPS), "the search was over before the clock had jumped"
        assert [t["restarts"] for t in trials_of(session, experiment)] == [0] * 5
        events = events_of(master, experiment)
        assert [event["id"] for event in events] == list(range(1, 42))
        assert kinds(events)["trialProgress"] == 25
        assert kinds(events)["trialExitedEarly"] == 0
        for trial in trials_of(session, experiment):
            lines = [line["result"]["message"] for line in session.stream(f"/api/v1/trials/{trial['id']}/logs")]
            assert sum("hello from trial" in line for line in lines) == 1

"""The wall clock jumps by hours, forward and back: nothing times out, nothing changes places."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from determined.testing.cluster import LocalMaster
from tests.e2e.support import events_of, kinds, started_experiment, trials_of

CLOCK = Path(__file__).parent / "clock"
HOUR = 3600.0
JUMPS = [5 * HOUR, -7 * HOUR, 30 * HOUR, 0.0, -400 * HOUR]
"""How far the clock is from the true time after each of the five reports of a trial."""
REPORT = "op.report_progress(op.length * part / 5)"
JUMP = f"""with open(os.environ["TEST_CLOCK"], "r+b") as clock:
                    clock.write(__import__("struct").pack("d", {JUMPS}[part - 1]))
                print(f"the clock says {{time.ctime(time.time())}}", flush=True)
                """


def test_jumps_of_the_wall_clock_change_nothing(
    tmp_path: Path, model: Path, search_command: Callable[..., list[str]]
) -> None:
    (tmp_path / "clock").write_bytes(struct.pack("d", 0.0))
    jumping = tmp_path / "model"
    shutil.copytree(model, jumping)
    program = (jumping / "train.py").read_text()
    assert program.count(REPORT) == 1
    (jumping / "train.py").write_text(program.replace(REPORT, JUMP + REPORT))
    master = LocalMaster(tmp_path / "m")
    master.env |= {"PYTHONPATH": str(CLOCK), "TEST_CLOCK": str(tmp_path / "clock")}
    with master, master.session() as session:
        command = search_command("random", jumping, tmp_path / "searcher")
        with subprocess.Popen(command, env=master.env, stderr=subprocess.PIPE, text=True) as runner:
            experiment = started_experiment(runner)
            last = ""
            for line in session.stream(f"/api/v1/experiments/{experiment}/watch", {"follow": True}):
                last = line["result"]["state"]
            _, told = runner.communicate()
        assert runner.returncode == 0, told
        assert last == "STATE_COMPLETED"
        assert [t["restarts"] for t in trials_of(session, experiment)] == [0] * 5
        events = events_of(master, experiment)
        assert [event["id"] for event in events] == list(range(1, 42))
        assert kinds(events)["trialProgress"] == 25
        assert kinds(events)["trialExitedEarly"] == 0
        for trial in trials_of(session, experiment):
            lines = [line["result"]["message"] for line in session.stream(f"/api/v1/trials/{trial['id']}/logs")]
            assert sum("hello from trial" in line for line in lines) == 1
            assert sum("the clock says" in line for line in lines) == len(JUMPS)

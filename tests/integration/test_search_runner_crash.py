"""A runner that dies at any step, and is simply started again, must come to the outcome of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from determined.common.api.session import Session

SHARE = max(int(os.environ.get("DET_CRASH_SHARE", "40")), 1)
"""One in so many of the random pairs is played, and one in an eighth of it of the rest; ``make crash`` plays all."""
PAIRS = 600
pytestmark = pytest.mark.timeout(7200)
HERE = Path(__file__).parent
CRASHED = 77


class Runs:
    """Starts a master for each search and lets runs of it die where the test wants."""

    def __init__(self, home: Path) -> None:
        self.home = home
        command = [sys.executable, str(HERE / "search_runner_child.py")]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        command = [sys.executable, str(HERE / "search_runner_master.py")]
        self.master = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = pipe(self.master.stdout).readline().strip()
        self.session = Session(self.url)
        self.searches = 0

    def close(self) -> None:
        self.session.close()
        for process in (self.child, self.master):
            pipe(process.stdin).close()
            process.wait(timeout=30)
            pipe(process.stdout).close()

    def search(
        self, *crashes: int, remote: bool = False, trials: int = 3, kind: str = "plain"
    ) -> tuple[dict[str, Any], list[str]]:
        """One search, dying at a step in each of its first runs; its outcome and the steps of the last run."""
        self.searches += 1
        folder = self.home / str(self.searches)
        before = len(self.summary())
        for crash_at in (*crashes, None):
            if remote:
                self.describe_trial(folder)
            code, steps = self.run(folder, crash_at, trials, kind)
            assert code == 0 or (code == CRASHED and crash_at is not None)
        shutil.rmtree(folder)
        experiments = self.summary()
        assert len(experiments) == before + 1, "a crash started a second experiment"
        outcome = experiments[str(before + 1)]
        del outcome["epoch"]
        return outcome, steps

    def describe_trial(self, folder: Path) -> None:
        """Write what the next run of a search runner finds when it is a trial of the master's."""
        task = f"task-{folder.name}"
        checkpoints = self.session.get("/control")["checkpoints"].get(task, [])
        cluster: dict[str, Any] = {
            **dict.fromkeys(("agent_id", "session_token", "master_cert_name", "master_cert_file"), ""),
            "master_url": self.url,
            "cluster_id": "c",
            "task_id": task,
            "allocation_id": f"{task}.1",
            "task_type": "TRIAL",
            "slot_ids": [0],
        }
        storage = {"type": "shared_fs", "host_path": str(folder / "storage")}
        trial = {
            **dict.fromkeys(("trial_id", "experiment_id", "trial_seed", "steps_completed", "trial_run_id"), 1),
            "hparams": {},
            "config": {"checkpoint_storage": storage},
        }
        rendezvous = {"container_addrs": ["127.0.0.1"], "container_rank": 0, "container_slot_counts": [1]}
        folder.mkdir(exist_ok=True)
        latest = max(checkpoints)[1] if checkpoints else None
        for name, content in (
            ("cluster.json", {**cluster, "latest_checkpoint": latest}),
            ("trial.json", trial),
            ("rendezvous.json", rendezvous),
        ):
            (folder / name).write_text(json.dumps(content))

    def run(self, folder: Path, crash_at: int | None, trials: int = 3, kind: str = "plain") -> tuple[int, list[str]]:
        stdin, stdout = pipe(self.child.stdin), pipe(self.child.stdout)
        order = {
            "dir": str(folder),
            "url": self.url,
            "trials": trials,
            "kind": kind,
            "crash_at": crash_at,
        }
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        answer = json.loads(stdout.readline())
        return answer["code"], answer["steps"]

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = self.session.get("/control")["experiments"]
        return found


def pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as home:
        runs = Runs(Path(home))
        try:
            yield runs
        finally:
            runs.close()


@pytest.fixture(scope="module")
def undisturbed(runs: Runs) -> tuple[dict[str, Any], list[str]]:
    outcome, steps = runs.search()
    assert outcome["state"] == "COMPLETED"
    assert sorted(len(t["results"]) for t in outcome["trials"].values()) == [1, 1, 2]
    return outcome, steps


def test_dying_at_any_step_changes_nothing(runs: Runs, undisturbed: tuple[dict[str, Any], list[str]]) -> None:
    expected, steps = undisturbed
    points = list(enumerate(steps))[:: max(1, SHARE // 8)]
    for k, name in points:
        outcome, _ = runs.search(k)
        assert outcome == expected, f"after dying at step {k} ({name})"
    print(f"{len(points)} single deaths of local runners")


@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote"])
def test_dying_at_any_step_of_a_larger_search_changes_nothing(remote: bool, runs: Runs) -> None:
    """More batches of events, so more saved states, and old ones that are removed."""
    expected, steps = runs.search(remote=remote, trials=9)
    assert len(expected["trials"]) == 9
    points = list(enumerate(steps))[:: max(1, SHARE // 2)]
    for k, name in points:
        outcome, _ = runs.search(k, remote=remote, trials=9)
        assert outcome == expected, f"after dying at step {k} ({name})"
    print(f"{len(points)} single deaths of {'remote' if remote else 'local'} runners in a larger search")


@pytest.mark.parametrize(("kind", "remote"), [("deterministic", False), ("unsaved", False), ("unsaved", True)])
def test_a_method_that_is_found_again_from_its_events_may_die_at_any_step_too(
    kind: str, remote: bool, runs: Runs, undisturbed: tuple[dict[str, Any], list[str]]
) -> None:
    outcome, steps = runs.search(remote=remote, kind=kind)
    assert remote or outcome == undisturbed[0]
    own = {
        ("deterministic", False): {"runner.state.base.before", "runner.state.method.after"},
        ("unsaved", False): {"runner.events.append.after", "runner.answers.append.half"},
        ("unsaved", True): {"runner.state.history.after"},
    }
    assert own[kind, remote] <= set(steps)
    assert ("runner.state.base.before" in steps) == (kind == "deterministic")
    points = range(0, len(steps), max(1, SHARE // 8))
    for point in points:
        found, _ = runs.search(point, remote=remote, kind=kind)
        assert found == outcome, f"differs after dying at {point}: {steps[point]}"
    print(f"{len(points)} single deaths of runners ({kind}, {'remote' if remote else 'local'})")


def test_dying_twice_while_starting_changes_nothing(runs: Runs, undisturbed: tuple[dict[str, Any], list[str]]) -> None:
    expected, steps = undisturbed
    start = steps.index("runner.attach.after")
    pairs = [(first, second) for first in range(0, start + 1, 2) for second in range(1 + first % 4, start + 1, 8)]
    pairs = pairs[:: max(1, SHARE // 8)]
    for first, second in pairs:
        outcome, _ = runs.search(first, second)
        assert outcome == expected, f"after dying at {steps[first]} and then at step {second} of the next run"
    print(f"{len(pairs)} pairs of deaths of runners that start")


def test_dying_twice_anywhere_changes_nothing(runs: Runs, undisturbed: tuple[dict[str, Any], list[str]]) -> None:
    expected, steps = undisturbed
    rng = random.Random(7)
    pairs = PAIRS // SHARE
    for _ in range(pairs):
        # The second run has fewer steps left; a number beyond them lets it come to the end.
        first, second = rng.randrange(len(steps)), rng.randrange(len(steps))
        outcome, _ = runs.search(first, second)
        assert outcome == expected, f"after dying at step {first} ({steps[first]}) and at step {second} of the next run"
    print(f"{pairs} random pairs of deaths of runners")


def test_dying_half_way_through_a_write_and_once_more_later_changes_nothing(
    runs: Runs, undisturbed: tuple[dict[str, Any], list[str]]
) -> None:
    """What the first death left half written must not be taken for real by the run after the next."""
    expected, steps = undisturbed
    for first in (k for k, name in enumerate(steps) if name.endswith("append.half")):
        for second in (8, 30, 36, 42, 64):
            outcome, _ = runs.search(first, second)
            assert outcome == expected, f"after dying at step {first} and then at step {second} of the next run"


def test_dying_while_recovering_from_a_crash_in_the_middle_changes_nothing(
    runs: Runs, undisturbed: tuple[dict[str, Any], list[str]]
) -> None:
    expected, steps = undisturbed
    middle = [k for k, name in enumerate(steps) if name in ("runner.state.rename.after", "runner.post.after")][2:5]
    for first in middle:
        for second in range(12):
            outcome, _ = runs.search(first, second)
            assert outcome == expected, f"after dying at step {first} and then at step {second} of the next run"


def test_every_durable_action_of_a_runner_can_be_crashed(undisturbed: tuple[dict[str, Any], list[str]]) -> None:
    _, steps = undisturbed
    wanted = {
        "runner.intent.write.half",
        "runner.create.after",
        "runner.experiment_id.rename.before",
        "runner.events.append.half",
        "runner.answers.append.half",
        "runner.answers.name.after",
        "runner.state.method.after",
        "runner.state.manifest.half",
        "runner.state.rename.before",
        "runner.state.sync.after",
        "runner.state.pointer.rename.after",
        "runner.state.remove.before",
        "runner.post.before",
        "runner.post.after",
    }
    assert wanted <= set(steps)


def test_a_runner_that_is_a_trial_may_die_at_any_step_too(
    runs: Runs, undisturbed: tuple[dict[str, Any], list[str]]
) -> None:
    expected, _ = undisturbed
    outcome, steps = runs.search(remote=True)
    assert outcome == expected
    points = list(enumerate(steps))[:: max(1, SHARE // 8)]
    for k, name in points:
        outcome, _ = runs.search(k, remote=True)
        assert outcome == expected, f"after dying at step {k} ({name})"
    print(f"{len(points)} single deaths of remote runners")
    outcome, _ = runs.search(3, 1, remote=True)
    assert outcome == expected


def test_a_runner_that_is_a_trial_gives_way_and_goes_on_later(
    runs: Runs, undisturbed: tuple[dict[str, Any], list[str]]
) -> None:
    runs.session.post("/control", json={"preempted": True})
    folder = runs.home / "preempted"
    runs.describe_trial(folder)
    code, steps = runs.run(folder, None)
    assert code == 0
    assert "runner.events.fetched" not in steps
    assert runs.session.post("/control", json={"preempted": False})["acknowledged"]
    runs.describe_trial(folder)
    code, _ = runs.run(folder, None)
    assert code == 0
    outcome = list(runs.summary().values())[-1]
    assert outcome["state"] == "COMPLETED"

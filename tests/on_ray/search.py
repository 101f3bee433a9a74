"""A search that waits in its middle for whatever a test does to it."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from determined.errors import DeterminedError
from determined.testing.cluster import LocalMaster
from determined.testing.digest import difference, digest
from tests.e2e.support import MODEL, SCRIPTS, started_experiment, trials_of, until_logged, until_over, until_running
from tests.on_ray.support import RayCluster

HELLO = "hello from trial"


class Search:
    """A search in its middle: as many trials as there is room for wait at a gate."""

    def __init__(self, master: LocalMaster, folder: Path, gate: Path) -> None:
        gate.unlink(missing_ok=True)
        os.mkfifo(gate)
        self.master = master
        self.session = master.session()
        self._gate = gate
        command = [sys.executable, str(SCRIPTS / "run_gated.py"), str(MODEL), str(folder / "searcher"), str(gate)]
        self.runner = subprocess.Popen(command, env=master.env, stderr=subprocess.PIPE, text=True)
        self.id = started_experiment(self.runner)

    def until_at_work(self, count: int) -> None:
        """Wait until so many of its trials, whichever Ray has chosen, have begun."""
        until_running(self.session, self.id, 3)
        begun: queue.Queue[int] = queue.Queue()

        def wait_for(trial: int) -> None:
            with contextlib.suppress(OSError, AssertionError, DeterminedError), self.master.session() as session:
                until_logged(session, trial, HELLO)
                begun.put(trial)

        for trial in trials_of(self.session, self.id):
            threading.Thread(target=wait_for, args=(trial["id"],), daemon=True).start()
        for _ in range(count):
            begun.get()

    def finish(self) -> dict[str, Any]:
        """Let all trials train, and wait for the end; what came of it."""
        opened = os.open(self._gate, os.O_RDWR)
        try:
            _, said = self.runner.communicate()
            assert self.runner.returncode == 0, said
            assert until_over(self.session, self.id) == "STATE_COMPLETED"
        finally:
            os.close(opened)
        assert [trial["restarts"] for trial in trials_of(self.session, self.id)] == [0, 0, 0]
        return digest(self.master.data, self.id, HELLO, killed=True)


@contextmanager
def search(master: LocalMaster, folder: Path, gate: Path) -> Iterator[Search]:
    """A search whose runner does not outlive the test."""
    made = Search(master, folder, gate)
    try:
        yield made
    finally:
        with made.runner:
            made.runner.kill()


def assert_ends_as_if_nothing_had_happened(middle: Search, undisturbed: dict[str, Any], cluster: RayCluster) -> None:
    assert difference(undisturbed, middle.finish()) == []
    cluster.until_nothing_is_left()

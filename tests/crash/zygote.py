"""Plays whole searches for tests: a real master, a real runner and real trials; the master dies when it is told to.

One order a line on standard input, ``{"folder", "search", "deaths", "shim", "plant"}``; a plant is a bug of
``plants.py``. Each death is ``[step, n]``: the master that is alive then is killed when it comes to this step for the
n-th time; the next master has the next death. ``shim`` is ``[k, step, n]``, for the k-th process beside a run. One
answer a line: ``{"code", "died", "runners", "steps", "unnamed"}``, where ``steps`` are those of the last master.

Everything is imported here once, and masters and runners are forked, so that a death costs no start of an interpreter.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import psutil

from determined import searcher, steps
from determined.launchers import fork_server
from determined.master.app import Options
from determined.master.app import run as run_master
from determined.testing.chaos.searches import SEARCHES, config
from determined.testing.cluster import WARM_START, database_for_tests
from determined.testing.database import note_url
from tests.crash import shim_steps, unnamed
from tests.crash.ask import ask
from tests.crash.plants import PLANTS

MODEL = Path(__file__).parent.parent / "model"
CONFIG = {
    "name": "crash",
    "entrypoint": "python3 train.py",
    "searcher": {"name": "custom", "metric": "validation_loss", "unit": "batches"},
    "max_restarts": 0,
}
MOST_RUNNERS = 8
STUCK_AFTER_S = 60
"""A search takes two seconds. One that does not end would keep the tests waiting for ever."""


class Halving(searcher.SearchMethod):
    """Three trials, of which the best trains on; all of its decisions follow from what it was told."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def initial_operations(self, state: searcher.SearcherState) -> list[searcher.Operation]:
        ops: list[searcher.Operation] = []
        for n in range(3):
            request_id = uuid.UUID(int=n + 1)
            ops += [searcher.Create(request_id, {"x": n / 4}), searcher.ValidateAfter(request_id, 10)]
        return ops

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        return []

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[searcher.Operation]:
        if train_length > 10:
            return [searcher.Close(request_id)]
        assert str(request_id) not in self.metrics, "an event was applied twice"
        self.metrics[str(request_id)] = metric
        if len(self.metrics) < 3:
            return []
        first, *rest = sorted(self.metrics, key=lambda r: (self.metrics[r], r))
        ops: list[searcher.Operation] = [searcher.Close(uuid.UUID(r)) for r in rest]
        return [*ops, searcher.ValidateAfter(uuid.UUID(first), 20)]

    def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        return [searcher.Shutdown()] if len(state.trials_closed) == 3 else []

    def on_trial_exited_early(
        self, state: searcher.SearcherState, request_id: uuid.UUID, exited_reason: searcher.ExitedReason
    ) -> list[searcher.Operation]:
        return []

    def progress(self, state: searcher.SearcherState) -> float:
        return len(state.trials_closed) / 3

    def snapshot(self) -> dict[str, Any]:
        return {"metrics": self.metrics}

    def restore(self, saved: Any) -> None:
        self.metrics = saved["metrics"]


def become_master(search: Search, death: list[Any] | None, ready: int) -> NoReturn:
    """Serve, until SIGTERM or the ordered death."""
    folder, port = search.folder, search.port
    _redirect(folder / "master.log")
    if search.plant:
        PLANTS[search.plant]()
    os.environ[shim_steps.PASSED] = str(folder / "shim_steps")
    os.environ[shim_steps.DEATH] = json.dumps(search.shim)
    fork_server.BOOT, fork_server.BOOT_TEMPLATE = shim_steps.BOOT, shim_steps.BOOT_TEMPLATE
    count: Counter[str] = Counter()
    names = os.open(folder / "steps", os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND)

    def pass_step(name: str) -> None:
        count[name] += 1
        unnamed.note(name)
        if name == "master.collected":
            os.write(search.tell_collected, b"1")
        os.write(names, f"{name} {count[name]}\n".encode())
        if death is not None and [name, count[name]] == death:
            os.kill(os.getpid(), signal.SIGKILL)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    steps.hook = pass_step
    unnamed.watch([folder], folder / "unnamed")
    options = Options(
        data=folder / "data", port=port, slots=3, ready_fd=ready, warm_start=WARM_START, db=search.database
    )
    _end(lambda: run_master(options))


def become_runner(search: Search) -> NoReturn:
    """Run the search, or go on with it."""
    folder = search.folder
    _redirect(folder / "runner.log")
    if search.plant:
        PLANTS[search.plant]()
    os.environ["DET_MASTER"] = f"http://127.0.0.1:{search.port}"
    logging.basicConfig(level=logging.INFO)
    steps.hook = unnamed.note
    unnamed.watch([folder], folder / "unnamed")

    def work() -> int:
        is_ours = search.search == "ours"
        method = Halving() if is_ours else SEARCHES[search.search]()
        runner = searcher.LocalSearchRunner(method, folder / "searcher")
        runner.run(CONFIG if is_ours else config(search.search), model_dir=MODEL)
        return 0 if runner.state.experiment_completed else 3

    _end(work)


def _redirect(log: Path) -> None:
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _end(work: Any) -> NoReturn:
    code = 1
    try:
        code = work()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class WentWrong(Exception):
    """A master ended by itself, or the search did not end at all."""


@dataclass
class Search:
    """One search and the processes that serve it."""

    folder: Path
    search: str
    deaths: list[list[Any]]
    shim: list[Any] | None = None
    plant: str = ""
    port: int = 0
    master: int = 0
    runner: int = 0
    died: int = 0
    runners: int = 0
    code: int | None = None
    tell_collected: int = -1
    database: str | None = None
    _collected: int = -1
    _left: list[list[Any]] = field(default_factory=list)

    def play(self) -> None:
        """From nothing to the end of the search."""
        self.port, self._left = free_port(), list(self.deaths)
        self.database = database_for_tests(self.folder)
        note_url(self.folder, self.database)
        self._start_master()
        self._start_runner()
        while self.code is None:
            pid, status = os.wait()
            if pid == self.master:
                self._on_master_gone(os.waitstatus_to_exitcode(status))
            elif pid == self.runner:
                self._on_runner_gone(os.waitstatus_to_exitcode(status))
        if self.code == 0:
            self._wait_for_collection()
        self.stop()

    def _wait_for_collection(self) -> None:
        """Until the checkpoints that are not kept are deleted, whoever dies on the way."""
        while any(ask(self.folder / "data", "SELECT uncollected FROM experiments")):
            if os.read(self._collected, 1):
                return
            _, status = os.waitpid(self.master, 0)
            self._on_master_gone(os.waitstatus_to_exitcode(status))

    def clear(self) -> None:
        """Kill runs that nobody looks after any more; they would wait for their master for hours."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("DET_WORKDIR", "").startswith(str(self.folder)):
                    process.kill()

    def stop(self) -> None:
        """End what is left."""
        if self._collected >= 0:
            os.close(self._collected)
        for pid in (self.master, self.runner):
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)

    def _start_master(self) -> None:
        """Start masters until one serves."""
        while True:
            ready, tell = os.pipe()
            if self._collected >= 0:
                os.close(self._collected)
            self._collected, self.tell_collected = os.pipe()
            death = self._left.pop(0) if self._left else None
            self.master = os.fork()
            if self.master == 0:
                os.close(ready)
                become_master(self, death, tell)
            os.close(tell)
            os.close(self.tell_collected)
            with os.fdopen(ready) as told:
                if "url" in told.readline():
                    return
            _, status = os.waitpid(self.master, 0)
            self._note_death(os.waitstatus_to_exitcode(status))

    def _note_death(self, code: int) -> None:
        if code != -signal.SIGKILL:
            log = (self.folder / "master.log").read_text()[-2000:]
            raise WentWrong(f"the master ended with {code}: {log}")
        self.died += 1

    def _on_master_gone(self, code: int) -> None:
        self._note_death(code)
        self._start_master()

    def _start_runner(self) -> None:
        self.runners += 1
        self.runner = os.fork()
        if self.runner == 0:
            become_runner(self)

    def _on_runner_gone(self, code: int) -> None:
        # A runner that cannot reach its master says so and ends; whoever started it starts it again.
        if code in (0, 3) or self.runners == MOST_RUNNERS:
            self.code = code
        else:
            self._start_runner()


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Serve orders."""

    def on_alarm(*_: object) -> None:
        raise WentWrong("the search did not end")

    signal.signal(signal.SIGALRM, on_alarm)
    import urllib3  # noqa: F401  # imported before the forks rather than in each of them

    from determined.master.api import app  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        folder = Path(order["folder"])
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        search = Search(folder, order["search"], order["deaths"], order["shim"], order["plant"])
        signal.alarm(STUCK_AFTER_S)
        try:
            search.play()
            signal.alarm(0)
        except WentWrong as e:
            signal.alarm(0)
            search.stop()
            search.clear()
            answer = {"code": 1, "died": search.died, "steps": [], "unnamed": [], "told": str(e)}
            print(json.dumps(answer), flush=True)
            continue
        passed = [line.split() for line in (folder / "steps").read_text().splitlines()]
        answer = {
            "code": search.code,
            "died": search.died,
            "runners": search.runners,
            "steps": [[name, int(n)] for name, n in passed],
            "unnamed": (folder / "unnamed").read_text().splitlines(),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    os.environ["DET_PROGRESS"] = "0"
    main()

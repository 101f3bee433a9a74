"""Runs searches for tests, each in a forked process that can be made to die at a chosen step.

One JSON object a line on standard input: ``{"dir", "url", "trials", "kind", "crash_at"}``, where a folder
that describes a task means a runner that is a trial itself; one JSON object a line comes back: ``{"code", "steps"}``,
the exit code and the names of the steps that were passed.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any, NoReturn

from determined import core, searcher, steps
from determined.common.api.session import Session
from determined.searcher import answers, lineage

CRASHED = 77
CONFIG = {"searcher": {"name": "custom"}}


class Halving(searcher.SearchMethod):
    """Some trials, of which the best trains on; all of its decisions follow from what it was told."""

    def __init__(self, trials: int, deterministic: bool) -> None:
        self.trials = trials
        self.deterministic = deterministic
        self.metrics: dict[str, float] = {}
        self.heard = 0
        self.rounds = trials - 3

    def initial_operations(self, state: searcher.SearcherState) -> list[searcher.Operation]:
        ops: list[searcher.Operation] = []
        for n in range(self.trials):
            request_id = uuid.UUID(int=n + 1)
            ops += [searcher.Create(request_id, {"x": n / self.trials}), searcher.ValidateAfter(request_id, 10)]
        return ops

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        self.heard += 1
        return []

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> list[searcher.Operation]:
        self.heard += 1
        if train_length > 10 and self.rounds > 0:
            self.rounds -= 1
            return [searcher.ValidateAfter(request_id, 200 + self.heard)]
        if train_length > 10:
            return [searcher.Close(request_id)]
        self.metrics[str(request_id)] = metric
        if len(self.metrics) < self.trials:
            return []
        first, *rest = sorted(self.metrics, key=lambda r: (self.metrics[r], r))
        ops: list[searcher.Operation] = [searcher.Close(uuid.UUID(r)) for r in rest]
        # The number of events heard so far is in the operations, so a lost or repeated event shows in the outcome.
        return [*ops, searcher.ValidateAfter(uuid.UUID(first), 100 + self.heard)]

    def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> list[searcher.Operation]:
        self.heard += 1
        return [searcher.Shutdown()] if len(state.trials_closed) == self.trials else []

    def on_trial_exited_early(
        self, state: searcher.SearcherState, request_id: uuid.UUID, exited_reason: searcher.ExitedReason
    ) -> list[searcher.Operation]:
        return []

    def progress(self, state: searcher.SearcherState) -> float:
        return len(state.trials_closed) / self.trials

    def save_method_state(self, path: Path) -> None:
        (path / "mine").mkdir()
        (path / "mine" / "metrics.json").write_text(json.dumps([self.metrics, self.heard, self.rounds]))

    def load_method_state(self, path: Path) -> None:
        self.metrics, self.heard, self.rounds = json.loads((path / "mine" / "metrics.json").read_text())


class Unsaved(Halving):
    """The same, but it does not say how it is saved."""

    save_method_state = searcher.SearchMethod.save_method_state
    load_method_state = searcher.SearchMethod.load_method_state


def make_method(trials: int, kind: str) -> Halving:
    """A method of a kind: plain, deterministic, or unsaved, which is deterministic too."""
    made = Unsaved if kind == "unsaved" else Halving
    return made(trials, kind != "plain")


class LocalRunner(searcher.LocalSearchRunner):
    """Talks to the test's master directly."""

    def __init__(self, folder: Path, url: str, trials: int, kind: str) -> None:
        super().__init__(make_method(trials, kind), folder)
        self._session = Session(url)

    def _open_session(self) -> Session:
        return self._session

    def _submit(self, exp_config: Any, model_dir: Any, includes: Any, client_key: str) -> int:
        return submit(self._session, client_key)


class RemoteRunner(searcher.RemoteSearchRunner):
    """The same inside a trial, whose calls to the master are the real ones."""

    def __init__(self, context: core.Context, url: str, trials: int, kind: str) -> None:
        super().__init__(make_method(trials, kind), context)
        self._session = Session(url)

    def _open_session(self) -> Session:
        return self._session

    def _submit(self, exp_config: Any, model_dir: Any, includes: Any, client_key: str) -> int:
        return submit(self._session, client_key)


def submit(session: Session, client_key: str) -> int:
    answer = session.post("/api/v1/experiments", json={"config": "{}", "clientKey": client_key})
    return int(answer["experiment"]["id"])


def search(folder: Path, url: str, trials: int, kind: str) -> None:
    if (folder / "cluster.json").exists():
        os.environ["DET_INFO_DIR"] = str(folder)
        with core.init(tensorboard_mode=core.TensorboardMode.MANUAL) as context:
            RemoteRunner(context, url, trials, kind).run(CONFIG)
    else:
        LocalRunner(folder, url, trials, kind).run(CONFIG)


def run(folder: Path, url: str, trials: int, kind: str, crash_at: int | None, out: int) -> NoReturn:
    count = 0

    def pass_step(name: str) -> None:
        nonlocal count
        os.write(out, f"{name}\n".encode())
        if count == crash_at:
            os._exit(CRASHED)
        count += 1

    steps.hook = pass_step
    try:
        search(folder, url, trials, kind)
    except BaseException as e:
        print(repr(e), *getattr(e, "__notes__", []), file=sys.stderr)
        os._exit(1)
    os._exit(0)


def serve() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        end, out = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(end)
            # Answers are saved in both ways, in turns.
            answers.MOST = 1
            if order["kind"] != "plain":
                # Every few events the log is begun anew, so that this is crashed too.
                lineage._COMPACT_BYTES = 500
            run(
                Path(order["dir"]),
                order["url"],
                order["trials"],
                order["kind"],
                order.get("crash_at"),
                out,
            )
        os.close(out)
        with os.fdopen(end) as f:
            passed = f.read().split()
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "steps": passed}), flush=True)


if __name__ == "__main__":
    os.environ["DET_PROGRESS"] = "0"
    # Imported before the forks rather than in each of them.
    import urllib3  # noqa: F401

    serve()

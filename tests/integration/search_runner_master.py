"""A small master for tests of search runners, run as a process of its own.

It keeps the rules of the event queue, and "trains" each trial the moment that it gets work, so that a search has
exactly one possible outcome. Control: ``GET /control`` tells what happened, ``POST /control`` sets attributes.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from determined.domain.events import (
    ExitCause,
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
    ValidationCompleted,
)
from determined.domain.operations import Close, Create, Operation, Shutdown, ValidateAfter
from determined.domain.states import ExperimentState
from determined.errors import Conflict, DeterminedError, InvalidInput, NotFound
from determined.wire.searcher import Inactive, event_to_json, operations_digest, operations_from_json


class Trial:
    def __init__(self, op: Create) -> None:
        self.hparams: dict[str, Any] = json.loads(op.hparams)
        self.source = op.checkpoint
        self.results: list[tuple[int, float]] = []
        self.pending: int | None = None
        self.started = self.closing = self.ended = False


class Experiment:
    def __init__(self, number: int) -> None:
        self.number = number
        self.state = ExperimentState.ACTIVE
        self.trials: dict[str, Trial] = {}
        self.queue: list[tuple[int, SearcherEvent]] = []
        self.next_id = 1
        self.digests: dict[int, str] = {}
        self.epoch = 0
        self.add(InitialOperations())

    def add(self, event: SearcherEvent) -> None:
        self.queue.append((self.next_id, event))
        self.next_id += 1

    def answer(self, trigger: int, ops: list[Operation]) -> None:
        digest = operations_digest(ops)
        if trigger >= self.next_id:
            raise InvalidInput(f"there is no event {trigger}")
        if self.state.is_terminal:
            return
        if not self.queue or trigger < self.queue[0][0]:
            if self.digests.get(trigger) != digest:
                raise Conflict(f"event {trigger} was answered differently")
            return
        created = [str(op.request_id) for op in ops if isinstance(op, Create)]
        if len(set(created)) < len(created) or set(created) & set(self.trials):
            raise InvalidInput("a trial is created twice")
        self.digests[trigger] = digest
        self.queue = [entry for entry in self.queue if entry[0] > trigger]
        for op in ops:
            self.apply(op)
        for request_id, trial in list(self.trials.items()):
            self.train(request_id, trial)

    def apply(self, op: Operation) -> None:
        if isinstance(op, Create):
            self.trials[str(op.request_id)] = Trial(op)
        elif isinstance(op, ValidateAfter):
            self.trials[str(op.request_id)].pending = op.length
        elif isinstance(op, Close):
            self.trials[str(op.request_id)].closing = True
        elif isinstance(op, Shutdown):
            self.state = ExperimentState.CANCELED if op.cancel else ExperimentState.COMPLETED

    def train(self, text: str, trial: Trial) -> None:
        import uuid

        request_id = uuid.UUID(text)
        if trial.ended:
            return
        if trial.pending is not None:
            if not trial.started:
                trial.started = True
                self.add(TrialCreated(request_id))
            self.add(TrialProgress(request_id, trial.pending / 2))
            if trial.hparams.get("fail"):
                self.add(TrialExitedEarly(request_id, ExitCause.ERRORED))
                trial.closing = True
            else:
                metric = abs(float(trial.hparams["x"]) - 0.3) + 1 / trial.pending
                trial.results.append((trial.pending, metric))
                self.add(ValidationCompleted(request_id, metric, trial.pending))
            trial.pending = None
        if trial.closing:
            trial.ended = True
            self.add(TrialClosed(request_id))

    def summary(self) -> dict[str, Any]:
        trials = {
            r: {"hparams": t.hparams, "results": t.results, "ended": t.ended, "source": t.source}
            for r, t in self.trials.items()
        }
        return {"state": self.state.value, "trials": trials, "events": self.next_id - 1, "epoch": self.epoch}


class Master:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.cluster_id = "cluster-1"
        self.experiments: dict[int, Experiment] = {}
        self.keys: dict[str, tuple[int, str]] = {}
        self.knows_epochs = True
        # Requests whose answer gets lost after they were carried out; counts down.
        self.lose_answers = 0
        self.hold_s = 5.0
        self.posts: list[int] = []
        # Of search runners that are trials themselves: (steps, uuid) of each checkpoint by task.
        self.checkpoints: dict[str, list[tuple[int, str]]] = {}
        self.preempted = self.acknowledged = False

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        key, content = body.get("clientKey", ""), json.dumps(body, sort_keys=True)
        if key in self.keys:
            number, before = self.keys[key]
            if before != content:
                raise Conflict("this key was used for another configuration")
        else:
            number = len(self.experiments) + 1
            self.experiments[number] = Experiment(number)
            self.keys[key] = (number, content)
        return {"experiment": {"id": number}}

    def experiment(self, number: int) -> Experiment:
        if number not in self.experiments:
            raise NotFound(f"there is no experiment {number}")
        return self.experiments[number]

    def events(self, number: int) -> dict[str, Any]:
        experiment = self.experiment(number)
        self.changed.wait_for(
            lambda: experiment.queue or experiment.state is not ExperimentState.ACTIVE, timeout=self.hold_s
        )
        if experiment.state is not ExperimentState.ACTIVE:
            return {"searcherEvents": [event_to_json(-1, Inactive(experiment.state))]}
        return {"searcherEvents": [event_to_json(i, e) for i, e in experiment.queue]}

    def operations(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        experiment, trigger = self.experiment(number), int(body["triggeredByEvent"]["id"])
        if body.get("epoch") not in (None, experiment.epoch):
            raise Conflict(f"epoch {body['epoch']} is over")
        experiment.answer(trigger, operations_from_json(body["searcherOperations"]))
        self.posts.append(trigger)
        return {}

    def best(self, number: int) -> dict[str, Any]:
        results = [t.results[-1][1] for t in self.experiment(number).trials.values() if t.results]
        found = {"bestTrialId": 7, "bestTrialSearcherMetric": min(results)} if results else {}
        return {"experiment": {"id": number, **found}}

    def attach(self, number: int) -> dict[str, Any]:
        if not self.knows_epochs:
            raise NotFound("no such path")
        experiment = self.experiment(number)
        experiment.epoch += 1
        return {"epoch": experiment.epoch}

    def control(self, body: dict[str, Any] | None) -> dict[str, Any]:
        for name, value in (body or {}).items():
            if name == "state":
                self.experiments[1].state = ExperimentState(value)
            elif name == "forget":
                self.experiments[1].queue = []
            else:
                setattr(self, name, value)
        self.changed.notify_all()
        experiments = {number: e.summary() for number, e in self.experiments.items()}
        return {
            "experiments": experiments,
            "posts": self.posts,
            "checkpoints": self.checkpoints,
            "acknowledged": self.acknowledged,
        }

    def allocation(self, verb: str, hold_s: float) -> dict[str, Any]:
        if verb == "ack_preemption":
            self.acknowledged = True
            return {}
        self.changed.wait_for(lambda: self.preempted, timeout=hold_s)
        return {"preempt": self.preempted}

    def route(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        path, _, query = path.partition("?")
        parts = path.strip("/").split("/")[2:]
        if path == "/control":
            return self.control(body)
        if parts == ["master"]:
            return {"clusterId": self.cluster_id}
        if parts == ["experiments"]:
            return self.create(body or {})
        if parts == ["checkpoints"]:
            entry = (int((body or {})["metadata"]["steps_completed"]), str((body or {})["uuid"]))
            self.checkpoints.setdefault((body or {})["taskId"], []).append(entry)
            return {}
        if parts[:1] == ["allocations"]:
            return self.allocation(parts[-1], float(query.partition("=")[2] or 0))
        if parts[:1] == ["trials"]:
            return {"trial": {"id": 7, "hparams": {"x": 0.3}}}
        number = int(parts[1])
        if len(parts) == 2:
            return self.best(number)
        if parts[2] == "searcher_attach":
            return self.attach(number)
        return self.events(number) if method == "GET" else self.operations(number, body or {})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # header and body in one packet
    master: Master

    def do_GET(self) -> None:
        self.serve(None)

    def do_POST(self) -> None:
        self.serve(json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}"))

    def serve(self, body: dict[str, Any] | None) -> None:
        with self.master.changed:
            try:
                status, answer = 200, self.master.route(self.command, self.path, body)
                self.master.changed.notify_all()
            except DeterminedError as e:
                known: list[tuple[type, int]] = [(InvalidInput, 400), (NotFound, 404), (Conflict, 409)]
                status = next((s for kind, s in known if isinstance(e, kind)), 500)
                answer = {"message": str(e), "error": {"code": 2, "reason": "", "error": str(e)}}
            if self.master.lose_answers and self.path != "/control":
                self.master.lose_answers -= 1
                self.close_connection = True
                return
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass


if __name__ == "__main__":
    Handler.master = Master()
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # Ends with whoever holds the other end.
    sys.stdin.read()

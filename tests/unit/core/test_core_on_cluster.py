"""The Core API of a trial, against a small master that speaks just its part of the protocol."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from determined import InvalidHP, _info, core
from determined._info import ClusterInfo, RendezvousInfo, TrialInfo
from determined.core._master import Master
from determined.core._retry import RetryPolicy, retry_policy
from determined.errors import InvalidInput, Unauthenticated, Unavailable

TOKEN = "secret-token"
QUICK = RetryPolicy(total=20, backoff_factor=0.001, backoff_max=0.002)


@dataclass
class TrialMaster:
    """A master for one trial (5.trial, run 2): plays back operations and remembers what it was told.

    Attributes:
        operations: lengths still to be done; the first is the current one.
        preempt: set to raise the preemption signal.
        failures: answers to give before serving: a status, or 0 to break the connection off.
        calls: method, path and body of everything that was served.
        tells_the_end: say with the last completed operation that there will be no other.
    """

    operations: deque[int] = field(default_factory=deque)
    preempt: threading.Event = field(default_factory=threading.Event)
    failures: deque[int] = field(default_factory=deque)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    best: Any = None
    tells_the_end: bool = False
    url: str = ""
    connections: set[Any] = field(default_factory=set)

    def bodies(self, path: str) -> list[Any]:
        return [body for _, called, body in self.calls if called == path]

    def paths(self) -> list[str]:
        """What was asked, without the watcher's questions, which come when they come."""
        return [path.rpartition("v1/")[2] for _, path, _ in self.calls if not path.endswith("/preemption")]

    def answer(self, path: str, query: str, body: Any) -> tuple[int, Any]:
        if path == "/api/v1/allocations/5.trial.2/signals/preemption":
            raised = self.preempt.wait(0 if query.endswith("=0") else 60)
            return 200, {"preempt": raised}
        if path == "/api/v1/trials/3/searcher/operation":
            length = self.operations[0] if self.operations else 0
            op = {"validateAfter": {"requestId": "", "length": str(length)}}
            return 200, {"op": op, "completed": not self.operations}
        if path == "/api/v1/trials/3/searcher/completed_operation":
            self.operations.popleft()
            return 200, {"done": True} if self.tells_the_end and not self.operations else {}
        if path == "/api/v1/checkpoints":
            self.metadata[body["uuid"]] = body["metadata"]
        if path.startswith("/api/v1/checkpoints/"):
            return 200, {"checkpoint": {"metadata": self.metadata[path.rpartition("/")[2]]}}
        if path.endswith("best_searcher_validation_metric"):
            return (404, {"message": "none yet"}) if self.best is None else (200, {"metric": self.best})
        if path.endswith("early_exit") and self.preempt.is_set():
            return 400, {"message": "reported before"}
        return 200, {}


def handler_for(master: TrialMaster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            master.connections.add(self.client_address)
            length = int(self.headers.get("Content-Length") or 0)
            data = self.rfile.read(length)
            place = urlsplit(self.path)
            body = json.loads(data) if data else None
            if self.headers.get("Grpc-Metadata-x-allocation-token") != f"Bearer {TOKEN}":
                return self.reply(401, {"message": "unknown run"})
            if not place.path.endswith("/preemption") and master.failures:
                status = master.failures.popleft()
                if status == 0:
                    self.close_connection = True
                    return None
                return self.reply(status, {"message": "not now"})
            master.calls.append((self.command, place.path, body))
            return self.reply(*master.answer(place.path, place.query, body))

        do_POST = do_GET

        def reply(self, status: int, content: Any) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Be quiet."""

    return Handler


@pytest.fixture
def master() -> Iterator[TrialMaster]:
    played = TrialMaster()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(played))
    server.daemon_threads = True
    played.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield played
    # Lets the last question of each watcher end, and its thread with it.
    played.preempt.set()
    server.shutdown()
    thread.join()
    server.server_close()
    for watcher in threading.enumerate():
        if watcher.name == "preemption-watcher":
            watcher.join()


@pytest.fixture
def info(master: TrialMaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterInfo:
    storage = {"type": "shared_fs", "host_path": str(tmp_path / "ckpts")}
    config = {"checkpoint_storage": storage, "searcher": {"name": "custom", "unit": "batches"}}
    trial = TrialInfo(3, 5, 42, {"lr": 0.1}, config, 0, 2, False, None)
    known = ClusterInfo(master.url, "cluster", "host", [0], "5.trial", "5.trial.2", TOKEN, "TRIAL", trial_info=trial)
    monkeypatch.setattr(_info, "_known", known)
    monkeypatch.setenv("DET_RETRY_CONFIG", '{"total": 20, "backoff_factor": 0.001}')
    return known


def env_of(master: TrialMaster, folder: Path) -> dict[str, str]:
    """The environment of a trial's process."""
    storage = {"type": "shared_fs", "host_path": str(folder / "ckpts")}
    return {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DET_MASTER": master.url,
        "DET_CLUSTER_ID": "cluster",
        "DET_AGENT_ID": "host",
        "DET_SLOT_IDS": "[0]",
        "DET_TASK_ID": "5.trial",
        "DET_ALLOCATION_ID": "5.trial.2",
        "DET_SESSION_TOKEN": TOKEN,
        "DET_TASK_TYPE": "TRIAL",
        "DET_TRIAL_ID": "3",
        "DET_EXPERIMENT_ID": "5",
        "DET_TRIAL_SEED": "42",
        "DET_HPARAMS": "{}",
        "DET_EXPERIMENT_CONFIG": json.dumps({"checkpoint_storage": storage}),
        "DET_STEPS_COMPLETED": "0",
        "DET_TRIAL_RUN_ID": "2",
    }


@pytest.mark.parametrize("in_background", [False, True])
def test_a_whole_trial_as_a_process_of_its_own(master: TrialMaster, tmp_path: Path, in_background: bool) -> None:
    """The recorded order of a trial of two operations, from the DET_* variables to exit 0."""
    master.operations.extend([2, 4])
    script = f"""
from determined import core
with core.init(background_reports={in_background}) as context:
    steps = 0
    for op in context.searcher.operations():
        while steps < op.length:
            steps += 1
            context.train.report_training_metrics(steps, {{"loss": 1 / steps}})
            op.report_progress(steps)
            assert not context.preempt.should_preempt()
        with context.checkpoint.store_path({{"steps_completed": steps}}) as (path, _):
            (path / "model").write_text(str(steps))
        context.train.report_validation_metrics(steps, {{"val": 0.5}})
        op.report_completed(0.5)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, env=env_of(master, tmp_path), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    step = ["trials/3/training_metrics", "trials/3/progress"]
    report = ["checkpoints", "trials/3/validation_metrics", "trials/3/searcher/completed_operation"]
    order = ["trials/3/searcher/operation", *step, *step, *report]
    assert master.paths() == [
        *order,
        *order,
        "trials/3/searcher/operation",
        "allocations/5.trial.2/signals/ack_preemption",
    ]
    assert master.bodies("/api/v1/trials/3/progress") == [1, 2, 3, 4]
    # One connection for the script's calls and one for the watcher's.
    assert len(master.connections) <= 2
    stored = [p.read_text() for p in sorted((tmp_path / "ckpts").glob("*/model"))]
    assert sorted(stored) == ["2", "4"]


def test_a_script_that_knows_its_last_operation_asks_for_no_other(master: TrialMaster, info: ClusterInfo) -> None:
    master.tells_the_end = True
    master.operations += [1, 3]
    with core.init() as context:
        for op in context.searcher.operations():
            op.report_completed(0.5)
    once = ["trials/3/searcher/operation", "trials/3/searcher/completed_operation"]
    assert master.paths() == [*once, *once, "allocations/5.trial.2/signals/ack_preemption"]


def test_a_script_that_never_asks_for_a_signal_costs_the_master_no_question(
    master: TrialMaster, info: ClusterInfo
) -> None:
    master.operations.append(1)
    with core.init() as context:
        for op in context.searcher.operations():
            op.report_completed(0.5)
        assert not any(path.endswith("/preemption") for _, path, _ in master.calls)
        assert not context.preempt.should_preempt()
        assert any(path.endswith("/preemption") for _, path, _ in master.calls)


def test_a_script_that_reports_in_the_background_does_not_wait_and_loses_nothing(
    master: TrialMaster, info: ClusterInfo
) -> None:
    gate, answer = threading.Event(), master.answer

    def late(path: str, query: str, body: Any) -> tuple[int, Any]:
        assert gate.wait(60)
        return answer(path, query, body)

    master.answer = late  # type: ignore[method-assign]
    with core.init(background_reports=True) as context:
        for steps in range(1, 51):
            context.train.report_training_metrics(steps, {"loss": 1 / steps})
        assert len(master.bodies("/api/v1/trials/3/training_metrics")) <= 1
        gate.set()
    reported = master.bodies("/api/v1/trials/3/training_metrics")
    assert [body["steps_completed"] for body in reported] == list(range(1, 51))


def test_a_report_that_was_refused_in_the_background_is_raised_by_the_next_call(
    master: TrialMaster, info: ClusterInfo
) -> None:
    master.failures.append(400)
    with core.init(background_reports=True) as context:
        context.train.report_training_metrics(1, {"loss": 1.0})
        with pytest.raises(InvalidInput, match="not now"):
            context.train._get_last_validation()
        context.train.report_training_metrics(2, {"loss": 0.5})
    assert [b["steps_completed"] for b in master.bodies("/api/v1/trials/3/training_metrics")] == [2]


def report_and_raise(error: BaseException) -> None:
    with core.init(background_reports=True) as context:
        context.train.report_training_metrics(1, {"loss": 1.0})
        raise error


def test_a_refused_report_does_not_keep_the_search_from_hearing_of_invalid_hyperparameters(
    master: TrialMaster, info: ClusterInfo
) -> None:
    master.failures.append(400)
    with pytest.raises(SystemExit) as end:
        report_and_raise(InvalidHP("too large"))
    assert end.value.code == 0
    assert master.bodies("/api/v1/trials/3/early_exit") == [{"reason": "EXITED_REASON_INVALID_HP"}]


@pytest.mark.parametrize("error", [ValueError("the user's own"), SystemExit(3)])
def test_a_refused_report_does_not_hide_what_the_script_has_failed_of(
    master: TrialMaster, info: ClusterInfo, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    master.failures.append(400)
    with pytest.raises(type(error)) as raised:
        report_and_raise(error)
    assert raised.value is error
    assert "closing the context failed, too: " in caplog.text
    assert "not now" in caplog.text


def test_a_refused_report_fails_a_script_that_ends_well(master: TrialMaster, info: ClusterInfo) -> None:
    master.failures.append(400)
    with pytest.raises(InvalidInput, match="not now"), core.init(background_reports=True) as context:
        context.train.report_training_metrics(1, {"loss": 1.0})


def test_an_operation_can_be_completed_after_a_report_before_it_was_refused(
    master: TrialMaster, info: ClusterInfo, tmp_path: Path
) -> None:
    master.operations.append(1)
    with core.init(background_reports=True) as context:
        for op in context.searcher.operations():
            master.failures.append(400)
            context.train.report_training_metrics(1, {"loss": 1.0})
            with pytest.raises(InvalidInput, match="not now"):
                op.report_completed(0.5)
            master.failures.append(400)
            context.train.report_training_metrics(1, {"loss": 1.0})
            with (
                pytest.raises(InvalidInput, match="not now"),
                context.checkpoint.store_path({"steps_completed": 1}) as (path, _),
            ):
                (path / "model").write_text("")
            op.report_completed(0.5)
    assert len(master.bodies("/api/v1/trials/3/searcher/completed_operation")) == 1
    assert list((tmp_path / "ckpts").glob("*/model")) == []


def test_children_that_a_script_forks_send_what_they_report(master: TrialMaster, tmp_path: Path) -> None:
    script = (
        "import multiprocessing\n"
        "from determined import core\n"
        "context = core.init(background_reports=True)\n"
        "def work():\n"
        "    for steps in range(1, 11):\n"
        "        context.train.report_training_metrics(steps, {'loss': 1.0})\n"
        "child = multiprocessing.get_context('fork').Process(target=work)\n"
        "child.start()\n"
        "child.join()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, env=env_of(master, tmp_path), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(master.bodies("/api/v1/trials/3/training_metrics")) == 10


def test_a_watcher_that_cannot_be_started_fails_each_time(
    master: TrialMaster, info: ClusterInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with core.init() as context:
        with monkeypatch.context() as patch:
            patch.setattr("determined.core._preempt._Watcher.start", start)
            for _ in range(2):
                with pytest.raises(RuntimeError, match="can't start"):
                    context.preempt.should_preempt()
        assert not context.preempt.should_preempt()


def test_a_script_that_just_ends_has_its_reports_sent(master: TrialMaster, tmp_path: Path) -> None:
    script = (
        "from determined import core\n"
        "context = core.init(background_reports=True)\n"
        "for steps in range(1, 31):\n"
        "    context.train.report_training_metrics(steps, {'loss': 1.0})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, env=env_of(master, tmp_path), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(master.bodies("/api/v1/trials/3/training_metrics")) == 30


def test_several_threads_may_be_the_first_to_ask_for_a_signal(master: TrialMaster, info: ClusterInfo) -> None:
    master.preempt.set()
    with core.init(preempt_mode=core.PreemptMode.WorkersAskMaster) as context, ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(context.preempt.should_preempt, auto_ack=False) for _ in range(8)]
        assert all(answer.result() for answer in asked)
    assert len([path for _, path, _ in master.calls if path.endswith("/preemption")]) == 1


def test_metrics_arrive_as_plain_numbers_with_the_run_and_the_steps(master: TrialMaster, info: ClusterInfo) -> None:
    with core.init() as context:
        metrics = {"loss": np.float32(0.5), "epoch": np.int64(1), "bad": math.nan, "raw": b"x"}
        context.train.report_training_metrics(np.int64(10), metrics, [{"loss": 1.0}, {"loss": math.inf}])
        context.train.report_validation_metrics(10, {"val": 1.0})
        context.train.set_status("busy")
    assert master.bodies("/api/v1/trials/3/training_metrics") == [
        {
            "trial_run_id": 2,
            "steps_completed": 10,
            "metrics": {
                "avg_metrics": {"loss": 0.5, "epoch": 1, "bad": "NaN"},
                "batch_metrics": [{"loss": 1.0}, {"loss": "Infinity"}],
            },
        }
    ]
    validation = {"trial_run_id": 2, "steps_completed": 10, "metrics": {"avg_metrics": {"val": 1.0}}}
    assert master.bodies("/api/v1/trials/3/validation_metrics") == [validation]
    assert master.bodies("/api/v1/trials/3/runner/metadata") == [{"state": "busy"}]


def test_a_missing_validation_metric_is_a_runtime_error_and_nothing_is_sent(
    master: TrialMaster, info: ClusterInfo
) -> None:
    with core.init() as context, pytest.raises(RuntimeError, match="val"):
        context.train.report_validation_metrics(1, {"val": None})
    assert master.paths() == []


@pytest.mark.parametrize(("metric", "sent"), [(0.25, 0.25), (math.nan, "NaN"), ({"a": [1, 2.0]}, {"a": [1, 2.0]})])
def test_the_searcher_metric_arrives_with_the_length_that_it_completes(
    master: TrialMaster, info: ClusterInfo, metric: Any, sent: Any
) -> None:
    master.operations.append(100)
    with core.init() as context:
        assert context.searcher.get_configured_units() is core.Unit.BATCHES
        for op in context.searcher.operations(auto_ack=False):
            op.report_completed(metric)
    body = {"op": {"length": 100}, "searcherMetric": sent}
    assert master.bodies("/api/v1/trials/3/searcher/completed_operation") == [body]
    assert "allocations/5.trial.2/signals/ack_preemption" not in master.paths()


def test_the_best_validation_is_a_number_or_none(master: TrialMaster, info: ClusterInfo) -> None:
    with core.init() as context:
        assert context.train.get_experiment_best_validation() is None
        master.best = "Infinity"
        assert context.train.get_experiment_best_validation() == math.inf


def test_a_checkpoint_is_whole_in_storage_when_the_master_hears_of_it(
    master: TrialMaster, info: ClusterInfo, tmp_path: Path
) -> None:
    seen: list[list[str]] = []
    master_answer = master.answer

    def answer(path: str, query: str, body: Any) -> tuple[int, Any]:
        if path == "/api/v1/checkpoints":
            folder = tmp_path / "ckpts" / body["uuid"]
            seen.append(sorted(p.name for p in folder.iterdir()))
        return master_answer(path, query, body)

    master.answer = answer  # type: ignore[method-assign]
    metadata: dict[str, Any] = {}
    with core.init() as context:
        with context.checkpoint.store_path(metadata) as (path, storage_id):
            (path / "sub").mkdir()
            (path / "sub" / "model").write_text("12345")
            metadata["steps_completed"] = 4
        assert seen == [["metadata.json", "sub"]]
        assert context.checkpoint.get_metadata(storage_id) == {"steps_completed": 4}
    (body,) = master.bodies("/api/v1/checkpoints")
    assert body.pop("reportTime").endswith("+00:00")
    assert body == {
        "uuid": storage_id,
        "taskId": "5.trial",
        "allocationId": "5.trial.2",
        "resources": {"sub/": "0", "sub/model": "5"},
        "metadata": {"steps_completed": 4},
        "training": {},
        "state": "STATE_COMPLETED",
    }


def test_an_upload_takes_what_is_selected_and_replaces_old_metadata(
    master: TrialMaster, info: ClusterInfo, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("keep", "skip", "metadata.json"):
        (source / name).write_text("{}")
    with core.init() as context:
        storage_id = context.checkpoint.upload(source, {"steps_completed": 1}, selector=lambda name: name != "skip")
    stored = tmp_path / "ckpts" / storage_id
    assert sorted(p.name for p in stored.iterdir()) == ["keep", "metadata.json"]
    assert json.loads((stored / "metadata.json").read_text()) == {"steps_completed": 1}
    assert master.bodies("/api/v1/checkpoints")[0]["resources"] == {"keep": "2"}


def test_without_steps_completed_nothing_is_stored_or_reported(
    master: TrialMaster, info: ClusterInfo, tmp_path: Path
) -> None:
    with core.init() as context:
        with pytest.raises(ValueError, match="steps_completed"), context.checkpoint.store_path() as (path, _):
            (path / "model").write_text("m")
        with pytest.raises(ValueError, match="steps_completed"):
            context.checkpoint.upload(path.parent, {"other": 1})
    assert master.paths() == []
    assert [p for p in (tmp_path / "ckpts").rglob("*") if p.name != ".partial"] == []


def test_the_signal_is_seen_at_once_and_acknowledged_once(master: TrialMaster, info: ClusterInfo) -> None:
    master.preempt.set()
    with core.init() as context:
        assert context.preempt.should_preempt(auto_ack=False)
        assert master.paths() == []
        assert context.preempt.should_preempt()
        assert context.preempt.should_preempt()
    assert master.paths() == ["allocations/5.trial.2/signals/ack_preemption"]


def test_a_signal_during_a_long_question_reaches_the_script(master: TrialMaster, info: ClusterInfo) -> None:
    with core.init(preempt_mode=core.PreemptMode.WorkersAskMaster) as context:
        assert not context.preempt.should_preempt()
        master.preempt.set()
        watcher = context.preempt._watcher
        assert watcher is not None
        watcher.join()
        assert context.preempt.should_preempt()


def test_bad_hyperparameters_are_reported_and_end_the_process_with_code_0(
    master: TrialMaster, info: ClusterInfo
) -> None:
    with pytest.raises(SystemExit) as caught, core.init():
        raise InvalidHP("too large")
    assert caught.value.code == 0
    assert master.bodies("/api/v1/trials/3/early_exit") == [{"reason": "EXITED_REASON_INVALID_HP"}]


def test_a_refused_early_exit_is_a_warning(
    master: TrialMaster, info: ClusterInfo, caplog: pytest.LogCaptureFixture
) -> None:
    master.preempt.set()
    with core.init() as context, caplog.at_level(logging.WARNING):
        context.train.report_early_exit(core.EarlyExitReason.USER_REQUESTED_STOP)
    assert "reported before" in caplog.text


@pytest.mark.parametrize("failure", [0, 429, 502, 503, 504, 507])
def test_a_report_is_repeated_until_the_master_serves_again(
    master: TrialMaster, info: ClusterInfo, failure: int
) -> None:
    with core.init() as context:
        master.failures.extend([failure] * 3)
        context.train.report_validation_metrics(1, {"val": 1.0})
    assert master.paths() == ["trials/3/validation_metrics"]
    assert not master.failures


def test_a_refusal_is_not_repeated(master: TrialMaster, info: ClusterInfo) -> None:
    with core.init() as context:
        master.failures.append(400)
        with pytest.raises(InvalidInput, match="not now"):
            context.train.set_status("x")
    with pytest.raises(Unauthenticated):
        Master(master.url, "other", QUICK).post("/api/v1/trials/3/progress", 1)
    assert master.paths() == []


def test_retries_end_where_the_policy_says() -> None:
    unused = "http://127.0.0.1:1"
    with pytest.raises(Unavailable):
        Master(unused, TOKEN, RetryPolicy(total=2, backoff_factor=0.001)).get("/api/v1/trials/3")


def test_the_retry_policy_can_be_set_and_outlasts_a_long_outage_by_default() -> None:
    default = retry_policy({})
    assert sum(default.pauses()) > 3600
    assert max(default.pauses()) <= default.backoff_max
    assert list(retry_policy({"DET_RETRY_CONFIG": '{"total": 0, "method_whitelist": false}'}).pauses()) == []
    for bad in ("{", "[]", '{"total": -1}', '{"backoff_max": "x"}'):
        with pytest.raises(InvalidInput, match="DET_RETRY_CONFIG"):
            retry_policy({"DET_RETRY_CONFIG": bad})


def test_one_process_that_drives_several_slots_needs_no_ranks(master: TrialMaster, info: ClusterInfo) -> None:
    info.slot_ids = [0, 1]
    with core.init() as context:
        assert context.distributed.size == 1
        context.train.report_training_metrics(1, {"loss": 1.0})
    assert master.paths() == ["trials/3/training_metrics"]


@pytest.mark.parametrize("how", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "machines"])
def test_one_of_several_processes_without_ranks_is_told_how_to_give_them(
    master: TrialMaster, info: ClusterInfo, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "machines":
        info._rendezvous_info = RendezvousInfo(["10.0.0.1", "10.0.0.2"], 1, [1, 1])
    else:
        monkeypatch.setenv(how, "2")
    with pytest.raises(ValueError, match=f"several processes .*{how}.*from_torch_distributed"):
        core.init()


IN_SEVERAL_RANKS = """
import json, os, sys
from determined import core
rank, size = int(sys.argv[1]), int(sys.argv[2])
def tell(*words):
    print(json.dumps(words), flush=True)
def attempt(call):
    try:
        call()
    except RuntimeError as error:
        tell("refused", str(error))
ranks = dict(rank=rank, size=size, local_rank=rank, local_size=size, cross_rank=0, cross_size=1)
mode = core.PreemptMode[sys.argv[3]]
distributed = core.DistributedContext(**ranks)
with core.init(distributed=distributed, preempt_mode=mode) as context:
    for op in context.searcher.operations():
        tell("length", op.length)
        if rank == 0:
            context.train.report_training_metrics(op.length, {"loss": 0.5})
            op.report_progress(op.length)
            op.report_completed(0.5)
        else:
            attempt(lambda: context.train.report_training_metrics(1, {}))
            attempt(lambda: context.train.report_validation_metrics(1, {}))
            attempt(lambda: op.report_progress(1))
            attempt(lambda: op.report_completed(1))
        with context.checkpoint.store_path({"steps_completed": op.length}, shard=True) as (path, storage_id):
            (path / f"{rank}").write_text("")
        tell("stored", storage_id)
    if rank == 0 or mode is not core.PreemptMode.ChiefOnly:
        while not context.preempt.should_preempt():
            pass
        tell("preempted")
    else:
        attempt(context.preempt.should_preempt)
        attempt(lambda: next(context.searcher.operations(core.SearcherMode.ChiefOnly)))
"""


@pytest.mark.parametrize("mode", ["WorkersAskChief", "ChiefOnly", "WorkersAskMaster"])
def test_of_several_ranks_only_the_chief_speaks_to_the_master_and_all_do_the_same(
    master: TrialMaster, tmp_path: Path, mode: str
) -> None:
    master.operations.extend([2, 4])
    env = env_of(master, tmp_path)
    command = [sys.executable, "-c", IN_SEVERAL_RANKS]
    master.preempt.set()
    started = [
        subprocess.Popen([*command, str(rank), "3", mode], env=env, stdout=subprocess.PIPE, text=True)
        for rank in range(3)
    ]
    told = [[json.loads(line) for line in process.communicate()[0].splitlines()] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    for words in told:
        assert [w[1] for w in words if w[0] == "length"] == [2, 4]
    stored = [[w[1] for w in words if w[0] == "stored"] for words in told]
    assert stored[0] == stored[1] == stored[2]
    bodies = master.bodies("/api/v1/checkpoints")
    assert [body["uuid"] for body in bodies] == stored[0]
    assert [sorted(body["resources"]) for body in bodies] == [["0", "1", "2"]] * 2
    assert len(master.bodies("/api/v1/trials/3/training_metrics")) == 2
    assert len(master.bodies("/api/v1/trials/3/searcher/completed_operation")) == 2
    for rank in (1, 2):
        refused = [w[1] for w in told[rank] if w[0] == "refused"]
        assert len(refused) == (10 if mode == "ChiefOnly" else 8)
        assert ["preempted"] in told[rank] or mode == "ChiefOnly"
    asked = [path for _, path, _ in master.calls if path.endswith("signals/preemption")]
    # One that has heard that it is raised asks no more.
    assert len(asked) == (3 if mode == "WorkersAskMaster" else 1)


def test_a_task_that_is_no_trial_works_as_off_the_cluster(
    master: TrialMaster, info: ClusterInfo, tmp_path: Path
) -> None:
    info.task_type = "SHELL"
    with core.init(checkpoint_storage=tmp_path) as context:
        for op in context.searcher.operations():
            assert op.length == 1
            op.report_completed(1.0)
    assert master.calls == []


def test_tensorboard_files_are_copied_by_hand_in_manual_mode(
    master: TrialMaster, info: ClusterInfo, tmp_path: Path
) -> None:
    with core.init(tensorboard_mode=core.TensorboardMode.MANUAL) as context:
        folder = context.train.get_tensorboard_path()
        (folder / "events").write_text("1")
        (folder / "other").write_text("1")
        context.train.upload_tensorboard_files(
            selector=lambda path: path.name == "events", mangler=lambda path, rank: path.with_suffix(f".{rank}")
        )
    place = tmp_path / "ckpts" / "cluster" / "tensorboard" / "experiment" / "5" / "trial" / "3"
    assert [p.name for p in place.iterdir()] == ["events.0"]
    assert not folder.exists()


def test_tensorboard_files_are_copied_in_the_background_in_auto_mode(
    master: TrialMaster, info: ClusterInfo, tmp_path: Path
) -> None:
    with core.init() as context:
        (context.train.get_tensorboard_path() / "events").write_text("1")
        context.train.report_training_metrics(1, {"loss": 1.0})
        (context.train.get_tensorboard_path() / "late").write_text("1")
        with pytest.raises(RuntimeError, match="MANUAL"):
            context.train.upload_tensorboard_files()
    place = tmp_path / "ckpts" / "cluster" / "tensorboard" / "experiment" / "5" / "trial" / "3"
    assert sorted(p.name for p in place.iterdir()) == ["events", "late"]


def test_metrics_are_mirrored_with_a_writer_that_the_script_has_imported(
    master: TrialMaster, info: ClusterInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "lib"
    library.mkdir()
    (library / "tensorboardX.py").write_text(
        "import pathlib\n"
        "class SummaryWriter:\n"
        "    def __init__(self, folder): self.path, self.seen = pathlib.Path(folder, 'events'), []\n"
        "    def add_scalar(self, *args): self.seen.append(args)\n"
        "    def flush(self): self.path.write_text(repr(self.seen))\n"
        "    def close(self): self.flush()\n"
    )
    monkeypatch.syspath_prepend(str(library))
    monkeypatch.delitem(sys.modules, "tensorboardX", raising=False)
    __import__("tensorboardX")
    with core.init() as context:
        context.train.report_validation_metrics(7, {"val": 0.5, "bad": math.nan, "text": "t"})
    (events,) = (tmp_path / "ckpts").rglob("events")
    assert events.read_text() == "[('Determined/val', 0.5, 7)]"

"""The first process of a run, started as the launcher starts it, with a master that knows the rendezvous."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

RENDEZVOUS = {"rendezvousInfo": {"addresses": ["127.0.0.1"], "rank": 0, "slots": [1]}}
SHOW = "import os, sys; print(os.getpid(), *sys.argv[1:])"


@dataclass
class StartLine:
    """Answers the rendezvous.

    Attributes:
        answers: status and content to give before the right answer; status 0 breaks the connection off.
        asked: path and token of each question.
    """

    answers: deque[tuple[int, Any]] = field(default_factory=deque)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def line() -> Iterator[StartLine]:
    line = StartLine()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            line.asked.append((self.path, self.headers.get("Grpc-Metadata-x-allocation-token")))
            status, content = line.answers.popleft() if line.answers else (200, RENDEZVOUS)
            if status:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    line.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield line
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Run:
    """A prepared run: its folders, environment and configuration."""

    work: Path
    info: Path
    storage: Path
    env: dict[str, str]
    config: dict[str, Any]

    def argv(self, *arguments: str) -> list[str]:
        cluster = {
            "master_url": self.env["MASTER"],
            "cluster_id": "c",
            "agent_id": "host",
            "slot_ids": [0],
            "task_id": "5.trial",
            "allocation_id": "5.trial.1",
            "session_token": "token",
            "task_type": "TRIAL",
        }
        trial = {
            "trial_id": 3,
            "experiment_id": 5,
            "trial_seed": 1,
            "hparams": {},
            "config": self.config,
            "steps_completed": 0,
            "trial_run_id": 1,
        }
        (self.info / "cluster.json").write_text(json.dumps(cluster))
        (self.info / "trial.json").write_text(json.dumps(trial))
        return [sys.executable, "-m", "determined.exec.launch", *arguments]

    def launch(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*arguments), check=False, cwd=self.work, env=self.env, capture_output=True, text=True
        )


@pytest.fixture
def run(line: StartLine, tmp_path: Path) -> Run:
    work, info, storage = (tmp_path / name for name in ("work", "info", "storage"))
    work.mkdir()
    info.mkdir()
    (work / "show.py").write_text(SHOW)
    env = {
        "MASTER": line.url,
        "DET_INFO_DIR": str(info),
        "DET_RESOURCES_ID": "R",
        "DET_RETRY_CONFIG": '{"total": 5, "backoff_factor": 0.001}',
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    config = {"checkpoint_storage": {"type": "shared_fs", "host_path": str(storage)}}
    return Run(work, info, storage, env, config)


def test_the_entrypoint_takes_the_place_of_the_process(run: Run, line: StartLine) -> None:
    process = subprocess.Popen(
        run.argv("python show.py --a=1 b"), cwd=run.work, env=run.env, stdout=subprocess.PIPE, text=True
    )
    out, _ = process.communicate()
    assert (process.returncode, out.split()) == (0, [str(process.pid), "--a=1", "b"])
    asked = "/api/v1/allocations/5.trial.1/resources/R/rendezvous"
    assert line.asked == [(asked, "Bearer token")]
    written = {"container_addrs": ["127.0.0.1"], "container_rank": 0, "container_slot_counts": [1]}
    assert json.loads((run.info / "rendezvous.json").read_text()) == written
    assert [p.name for p in run.storage.rglob("*")] == [".partial", f"probe-{os.getuid()}"]


@pytest.mark.parametrize("members", [1, 2])
def test_members_that_the_master_names_count_and_a_single_one_tells_nothing_new(
    run: Run, line: StartLine, members: int
) -> None:
    """A launcher that has started several members may know their addresses where the master does not."""
    known = {"container_addrs": ["10.0.0.1", "10.0.0.9"], "container_rank": 0, "container_slot_counts": [1, 1]}
    (run.info / "rendezvous.json").write_text(json.dumps(known))
    told = {"addresses": ["10.0.0.1", "10.0.0.2"][:members], "rank": members - 1, "slots": [4, 4][:members]}
    line.answers.append((200, {"rendezvousInfo": told}))
    show = "import determined as det; i = det.get_cluster_info(); print(i.container_addrs, i.container_rank)"
    done = run.launch("python", "-c", show)
    addresses, rank = (told["addresses"], 1) if members == 2 else (known["container_addrs"], 0)
    assert done.stdout.splitlines() == [f"{addresses} {rank}"], done.stderr


def test_shell_text_lists_and_the_configuration_all_work(run: Run) -> None:
    assert run.launch("python show.py 'a b' | cut -d' ' -f2-; exit 3").returncode == 3
    assert run.launch("python", "show.py", "a  b").stdout.endswith("a  b\n")
    run.config["entrypoint"] = ["./just one word"]
    (run.work / "just one word").write_text("#!/bin/sh\necho ran")
    (run.work / "just one word").chmod(0o755)
    assert run.launch("./just one word").stdout == "ran\n"
    assert run.launch().stdout == "ran\n"


def test_a_signal_reaches_the_entrypoint_itself(run: Run) -> None:
    (run.work / "wait.py").write_text(
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    process = subprocess.Popen(run.argv("python wait.py"), cwd=run.work, env=run.env, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 7


def test_a_startup_hook_is_sourced_before_everything_else(run: Run, line: StartLine) -> None:
    """What the hook exports must hold for the storage test and for the entrypoint."""
    (run.work / "startup-hook.sh").write_text('export GREETING="hello there"\necho hook "$@"\n')
    done = run.launch("""echo "$GREETING" "${DET_STARTUP_HOOK_DONE:-unset}" """)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "hello there unset")
    assert len(line.asked) == 1


@pytest.mark.parametrize("hook", ["exit 4", "false\necho went on", "no-such-command"])
def test_a_startup_hook_that_fails_ends_the_run(run: Run, line: StartLine, hook: str) -> None:
    (run.work / "startup-hook.sh").write_text(hook)
    done = run.launch("python show.py")
    assert done.returncode != 0
    assert done.stdout == ""
    assert line.asked == []


def test_a_storage_that_cannot_be_written_ends_the_run_with_code_1(run: Run) -> None:
    run.storage.write_text("a file where a folder should be")
    done = run.launch("python show.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert str(run.storage) in done.stderr
    assert "Traceback" not in done.stderr


def test_unfinished_checkpoints_of_earlier_runs_of_the_trial_are_removed(run: Run) -> None:
    for name in ("5.trial--one", "6.other--two"):
        (run.storage / ".partial" / name).mkdir(parents=True)
    assert run.launch("python show.py").returncode == 0
    assert {p.name for p in (run.storage / ".partial").iterdir()} == {"6.other--two", f"probe-{os.getuid()}"}


@pytest.mark.parametrize(
    "answer", [(503, {}), (0, None), (200, b'{"rendezvousInfo": {"addr')], ids=["busy", "gone", "broken off"]
)
def test_the_rendezvous_is_repeated_while_the_master_does_not_serve(
    run: Run, line: StartLine, answer: tuple[int, Any]
) -> None:
    line.answers.extend([answer, answer])
    done = run.launch("python show.py")
    assert (done.returncode, len(line.asked)) == (0, 3)
    assert done.stderr.count("WARNING") == 1


@pytest.mark.parametrize("answer", [(404, {"message": "no such allocation"}), (401, {}), (200, {}), (200, [])])
def test_a_run_that_the_master_does_not_want_ends_with_code_1(
    run: Run, line: StartLine, answer: tuple[int, Any]
) -> None:
    line.answers.append(answer)
    done = run.launch("python show.py")
    assert (done.returncode, done.stdout, len(line.asked)) == (1, "", 1)
    assert done.stderr.startswith("ERROR: [")
    assert "Traceback" not in done.stderr


def test_a_master_that_stays_away_ends_the_run_with_code_1(run: Run) -> None:
    run.env["MASTER"] = "http://127.0.0.1:1"
    done = run.launch("python show.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not answer" in done.stderr


@pytest.mark.parametrize("missing", ["DET_INFO_DIR", "DET_RESOURCES_ID"])
def test_outside_of_a_trial_there_is_a_message_and_code_1(run: Run, missing: str) -> None:
    argv = run.argv("python show.py")
    del run.env[missing]
    done = subprocess.run(argv, check=False, cwd=run.work, env=run.env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "through the master" in done.stderr


def test_a_list_that_cannot_be_executed_is_named(run: Run) -> None:
    done = run.launch("./missing", "argument")
    assert done.returncode == 1
    assert "./missing" in done.stderr

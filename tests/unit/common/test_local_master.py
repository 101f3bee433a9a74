from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from determined.common import local_ports
from determined.common.api.session import Session
from determined.common.local_master import (
    MasterOptions,
    cluster_down,
    cluster_up,
    ensure_master,
    find_running,
    run_in_foreground,
)
from determined.common.processes import Handle
from determined.errors import FailedPrecondition, InvalidInput, Unavailable

STAND_IN = """
import argparse, http.server, json, os, pathlib, signal, sys
parser = argparse.ArgumentParser()
for name in ("--data", "--host", "--port", "--slots", "--ready-fd"):
    parser.add_argument(name)
parser.add_argument("--open", action="store_true")
args = parser.parse_args()
data = pathlib.Path(args.data)
with (data / "starts").open("a") as starts:
    starts.write("x")
print("starting up in", os.getcwd(), "with secrets", os.environ.get("DET_PASS"), flush=True)
mode = (data / "mode").read_text() if (data / "mode").exists() else ""
if mode == "refuse":
    os.write(int(args.ready_fd), b'{"error": "the disk is full"}\\n')
    sys.exit(1)
if mode == "port taken once":
    (data / "mode").unlink()
    os.write(int(args.ready_fd), b'{"error": "cannot listen (Address already in use)"}\\n')
    sys.exit(1)
if mode == "crash":
    raise SystemExit("it went wrong here")
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"status": "ok", "argv": sys.argv[1:]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer((args.host, int(args.port)), Handler)
url = f"http://{args.host}:{server.server_address[1]}"
(data / "master.json").write_text(json.dumps({"url": url, "pid": os.getpid(), "version": "x", "data": args.data}))
if args.ready_fd:
    os.write(int(args.ready_fd), json.dumps({"url": url}).encode() + b"\\n")
    os.close(int(args.ready_fd))
server.serve_forever()
"""


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MasterOptions]:
    monkeypatch.delenv("DET_MASTER", raising=False)
    monkeypatch.delenv("DET_MASTER_ADDR", raising=False)
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    data = tmp_path / "data"
    # Other tests start masters too, at the same time: each gets a port of its own.
    port = local_ports.any_free("127.0.0.1")
    yield MasterOptions(data, port=port, command=(sys.executable, str(tmp_path / "stand_in.py")))
    try:
        cluster_down(data, timeout_s=0 if (data / "mode").exists() else 30)
    except Unavailable:
        os.kill(json.loads((data / "master.json").read_text())["pid"], 9)


def in_mode(options: MasterOptions, mode: str) -> MasterOptions:
    options.data_dir.mkdir(exist_ok=True)
    (options.data_dir / "mode").write_text(mode)
    return options


def starts(options: MasterOptions) -> int:
    return len((options.data_dir / "starts").read_text())


def test_a_master_is_started_once_and_then_found(options: MasterOptions) -> None:
    first = cluster_up(options)
    again = cluster_up(options)
    assert (first.started, again.started) == (True, False)
    assert (first.url, first.pid) == (again.url, again.pid)
    assert starts(options) == 1


def test_the_master_runs_in_its_own_folder_and_session_without_our_secrets(
    options: MasterOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DET_PASS", "hunter2")
    master = cluster_up(options)
    assert os.getsid(master.pid) == master.pid
    assert master.log_path.read_text() == f"starting up in {options.data_dir.resolve()} with secrets None\n"
    assert master.log_path.stat().st_mode & 0o777 == 0o600
    assert options.data_dir.stat().st_mode & 0o777 == 0o700


def test_options_reach_the_master(options: MasterOptions) -> None:
    port = options.port
    master = cluster_up(replace(options, slots=3, open=True))
    assert master.url == f"http://127.0.0.1:{port}"
    with Session(master.url) as session:
        argv = session.get("/health")["argv"]
    assert argv[:-2] == [
        "--data",
        str(options.data_dir),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--open",
        "--slots",
        "3",
    ]


def test_callers_at_the_same_time_start_one_master(options: MasterOptions) -> None:
    barrier = threading.Barrier(4)

    def call(_: int) -> int:
        barrier.wait()
        return cluster_up(options).pid

    with ThreadPoolExecutor(4) as pool:
        pids = set(pool.map(call, range(4)))
    assert len(pids) == 1
    assert starts(options) == 1


def test_stopping_waits_until_the_master_is_gone(options: MasterOptions) -> None:
    master = cluster_up(options)
    stopped = cluster_down(options.data_dir)
    assert stopped is not None
    assert stopped.pid == master.pid
    with Handle(master.pid) as process:
        assert process.wait(0)
    assert cluster_down(options.data_dir) is None
    assert find_running(options.data_dir) is None


def test_a_master_that_was_stopped_comes_back_on_its_port(options: MasterOptions) -> None:
    first = cluster_up(options)
    cluster_down(options.data_dir)
    assert cluster_up(replace(options, port=None)).url == first.url


def test_a_master_that_lost_its_port_to_another_gets_a_free_one(options: MasterOptions) -> None:
    first = cluster_up(in_mode(replace(options, port=None), "port taken once"))
    assert first.started
    assert starts(options) == 2


def test_a_process_that_got_the_number_of_a_dead_master_is_left_alone(options: MasterOptions) -> None:
    options.data_dir.mkdir()
    note = {"url": "http://127.0.0.1:1", "pid": os.getpid(), "version": "x", "data": str(options.data_dir)}
    (options.data_dir / "master.json").write_text(json.dumps(note))
    assert find_running(options.data_dir) is None
    assert cluster_down(options.data_dir) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"url": 3, "pid": "x"}', '{"url": "http://x", "pid": -1}'])
def test_a_damaged_note_counts_as_no_master(options: MasterOptions, text: str) -> None:
    options.data_dir.mkdir()
    (options.data_dir / "master.json").write_text(text)
    assert find_running(options.data_dir) is None


def test_a_master_that_refuses_to_start_says_why(options: MasterOptions) -> None:
    with pytest.raises(Unavailable, match=r"(?s)did not start: the disk is full.*master\.log, ends with:\nstarting up"):
        cluster_up(in_mode(options, "refuse"))


def test_a_master_that_crashes_shows_the_end_of_its_log(options: MasterOptions) -> None:
    with pytest.raises(Unavailable, match=r"(?s)did not start: it ended\..*it went wrong here"):
        cluster_up(in_mode(options, "crash"))


def test_a_master_that_does_not_stop_is_reported(options: MasterOptions) -> None:
    master = cluster_up(in_mode(options, "stubborn"))
    with pytest.raises(Unavailable, match=f"kill -9 {master.pid}"):
        cluster_down(options.data_dir, timeout_s=0.01)


def test_a_configured_master_is_taken_and_none_is_started(
    options: MasterOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DET_MASTER", "box:9")
    assert ensure_master(options) == "http://box:9"
    assert not options.data_dir.exists()
    assert capsys.readouterr().err == ""


def test_starting_is_announced_in_one_line_with_how_to_stop(
    options: MasterOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ensure_master(options)
    assert ensure_master(options) == url
    assert capsys.readouterr().err == (
        f"Started a local master at {url} (stop it with: det deploy local cluster-down)\n"
    )


def test_a_second_master_in_the_foreground_is_refused(options: MasterOptions) -> None:
    master = cluster_up(options)
    with pytest.raises(FailedPrecondition, match=master.url):
        run_in_foreground(options)


def test_the_port_is_the_wanted_one_or_one_that_is_free(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert local_ports.choose(tmp_path, "127.0.0.1", 7777) == 7777
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        local_ports.note(tmp_path, port)
        assert not local_ports.is_free("127.0.0.1", port)
        other = local_ports.choose(tmp_path, "127.0.0.1", None)
    assert other != port
    assert f"Port {port} of the last local master is taken" in capsys.readouterr().err
    assert local_ports.choose(tmp_path, "127.0.0.1", None) == port


def test_bad_ports_hosts_and_folders_are_refused(options: MasterOptions, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="1 to 65535"):
        cluster_up(replace(options, port=70000))
    with pytest.raises(InvalidInput, match="nothing can listen on"):
        local_ports.any_free("192.0.2.1")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="DET_DATA_DIR"):
        cluster_up(replace(options, data_dir=tmp_path / "file" / "data"))

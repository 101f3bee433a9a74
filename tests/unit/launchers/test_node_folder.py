"""What a node of a Ray cluster keeps for runs, without Ray."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from determined.errors import FailedPrecondition, Unavailable
from determined.launchers.on_ray import node
from determined.launchers.on_ray.node import NodeFolder
from determined.launchers.on_ray.wire import ContextPlace

KEEPER = """
import asyncio
from determined.launchers.local import LocalLauncher
from determined.launchers.on_ray.node import NodeFolder
from determined.testing.launcher_contract import RecordingListener, make_spec

async def main():
    launcher, listener = LocalLauncher(NodeFolder("c").claim("1.a.1"), 0, leashed=True), RecordingListener()
    await launcher.open(listener)
    text = "(setsid sh -c 'echo child $$; sleep 1000' &); echo main $$; sleep 1000"
    await launcher.start(make_spec("1.a.1", "sh", "-c", text))
    print(await listener.line_of("1.a.1", "child "), await listener.line_of("1.a.1", "main "), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeFolder:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return NodeFolder("c")


def test_what_dead_keepers_left_is_ended_and_deleted_and_nothing_else(folder: NodeFolder) -> None:
    """Keeper and shim were killed together, so a daemon of the run has nobody left who knows of it."""
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER], stdout=subprocess.PIPE, text=True)
    assert keeper.stdout is not None
    child, main = (psutil.Process(int(pid)) for pid in keeper.stdout.readline().split())
    folder.clear()
    assert main.is_running()
    assert (folder.path / "1.a.1").exists()
    shim = main.parents()[0]
    shim.suspend()
    with keeper:
        keeper.kill()
    shim.kill()
    psutil.wait_procs([main, shim])
    assert child.is_running()
    folder.clear()
    psutil.wait_procs([child])
    assert not (folder.path / "1.a.1").exists()


def test_a_run_has_one_keeper(folder: NodeFolder) -> None:
    folder.claim("1.a.1")
    with pytest.raises(FailedPrecondition, match="another process keeps"):
        folder.claim("1.a.1")


class _Master(BaseHTTPRequestHandler):
    """Has one model definition; ``/refused`` is refused, ``/late`` fails at first."""

    data = b"an archive"
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status = {"/refused": 403, "/late": 503 if len(self.asked) == 1 else 200}.get(self.path, 200)
        body = json.dumps({"b64Tgz": base64.b64encode(self.data).decode()}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    _Master.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Master) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def place(url: str, data: bytes = _Master.data) -> ContextPlace:
    return ContextPlace(url, {}, hashlib.sha256(data).hexdigest(), "model.tgz")


def test_a_model_definition_is_fetched_once_from_a_master_that_comes_back(folder: NodeFolder, url: str) -> None:
    for name in ("1.a.1", "1.b.1"):
        found = folder.fetch(place(f"{url}/late"), folder.claim(name))
        assert found == folder.path / name / "model.tgz"
        assert found.read_bytes() == _Master.data
    assert _Master.asked == ["/late", "/late"]


def test_a_refused_or_different_model_definition_is_no_model_definition(folder: NodeFolder, url: str) -> None:
    run = folder.claim("1.a.1")
    with pytest.raises(Unavailable, match="403"):
        folder.fetch(place(f"{url}/refused"), run)
    with pytest.raises(Unavailable, match="another model definition"):
        folder.fetch(place(url, b"something else"), run)
    assert list(run.glob("model*")) == []


def test_old_model_definitions_are_forgotten_but_not_taken_away(
    folder: NodeFolder, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "MAX_CONTEXTS", 1)
    first = folder.fetch(place(url), folder.claim("1.a.1"))
    monkeypatch.setattr(_Master, "data", b"another archive")
    folder.fetch(place(url, b"another archive"), folder.claim("1.b.1"))
    assert first.read_bytes() == b"an archive"
    assert [path.read_bytes() for path in folder.path.glob(".contexts/[!.]*")] == [b"another archive"]

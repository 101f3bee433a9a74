"""A Ray cluster on this machine: each node is a raylet of its own with a folder for temporary files of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
from ray._private.state import GlobalState
from ray._raylet import GcsClientOptions  # type: ignore[attr-defined]  # without types
from ray.cluster_utils import Cluster

from determined.launchers.protocol import RunSpec

MEMORY_BYTES = 80 * 2**20


def on(cluster: RayCluster) -> list[str]:
    """Arguments for a master that runs its trials there."""
    return ["--ray", cluster.address, "--ray-idle", "1"]


class RayCluster:
    """A head without CPUs, where masters connect, and nodes for runs; a context manager that leaves nothing behind.

    Attributes:
        address: of the head.
        nodes: name -> Ray's handle; ``head`` is one of them.
    """

    def __init__(self, port: int | None = None, **nodes: int) -> None:
        """Nothing is started before it is entered.

        Args:
            port: of the head; None for any.
            nodes: name -> how many CPUs.
        """
        self._wanted = nodes
        self._port = port
        self._home = Path(tempfile.mkdtemp(prefix="dray"))
        (self._home / "ray").mkdir()
        self.nodes: dict[str, Any] = {}
        self._cluster = Cluster()

    def __enter__(self) -> RayCluster:
        self.add("head", 0)
        for name, cpus in self._wanted.items():
            self.add(name, cpus)
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.shutdown()
        for process in self.keepers():
            process.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def address(self) -> str:
        """Of the head."""
        return str(self._cluster.address)

    def add(self, name: str, cpus: int, gpus: int = 0) -> None:
        """Start a node; GPUs need not exist."""
        temporary = self._home / name
        temporary.mkdir(exist_ok=True)
        options: dict[str, Any] = {"num_cpus": cpus, "object_store_memory": MEMORY_BYTES, "include_dashboard": False}
        options["num_gpus"] = gpus
        if name == "head" and self._port is not None:
            options["gcs_server_port"] = self._port
        # How soon the head notices that a node is dead.
        health = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4"}
        # Otherwise what runs on nodes gives way to all other tests.
        health["RAY_worker_niceness"] = "0"
        with _environment(TMPDIR=str(temporary), RAY_TMPDIR=str(self._home), **health):
            self.nodes[name] = self._cluster.add_node(**options)

    def kill_raylet(self, name: str) -> None:
        """SIGKILL to a node's raylet, and to nothing else of it."""
        for info in self.nodes[name].all_processes["raylet"]:
            info.process.kill()

    def remove(self, name: str) -> None:
        """SIGKILL to all of Ray's processes of a node."""
        self._cluster.remove_node(self.nodes.pop(name), allow_graceful=False)

    def id_of(self, name: str) -> str:
        """Ray's name of a node."""
        return str(self.nodes[name].node_id)

    def replace(self, name: str) -> None:
        """Clear away a node whose raylet was killed, and start another."""
        self.remove(name)
        self.add(name, 1)

    def until_nothing_is_left(self) -> None:
        """Wait until keepers and reservations are gone, and templates with them; runs and shims must be gone already.

        The masters of these tests leave a node a second after its last run.
        """
        assert self.runs() == [], [process.cmdline() for process in self.runs()]
        assert self.shims() == []
        _, left = psutil.wait_procs([*self.keepers(), *self.templates()], timeout=30)
        assert not left
        assert self.reservations() == []

    def reservations(self, *states: str) -> list[str]:
        """Names of what masters have asked of Ray, sorted; without states all that have not been given back."""
        state = GlobalState()
        state._initialize_global_state(GcsClientOptions.create(self.address, None, True, False))
        try:
            table = state.placement_group_table()
        finally:
            state.disconnect()
        found = [(group["name"], group["state"]) for group in table.values()]
        return sorted(name for name, state in found if (state in states if states else state != "REMOVED"))

    def templates(self) -> list[psutil.Process]:
        """Processes that runs are forked from, with modules loaded or without."""
        return [p for p in self._processes() if "determined.launchers.fork_server" in " ".join(p.cmdline()[:4])]

    def shims(self) -> list[psutil.Process]:
        """Processes beside runs."""
        return [p for p in self._processes() if p.name() == "det-shim"]

    def keepers(self) -> list[psutil.Process]:
        """Actors that keep the runs of a node."""
        return [p for p in self._processes() if "ray::Keeper" in " ".join(p.cmdline()[:1])]

    def runs(self) -> list[psutil.Process]:
        """Processes of runs, on whatever node."""
        return [p for p in self._processes() if p.environ().get("DET_RUN_FOLDER", "").startswith(str(self._home))]

    def runs_on(self, node: str) -> list[psutil.Process]:
        """Those of one node."""
        return [process for process in self.runs() if self.node_of(process) == node]

    def _processes(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and str(self._home) in str(process.environ()):
                    yield process

    def node_of(self, process: psutil.Process) -> str:
        """The name of the node on which a process of ours runs."""
        return Path(process.environ()["TMPDIR"]).name


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Archives(BaseHTTPRequestHandler):
    """Answers with the file that the path names, as the master answers with a model definition."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)  # type: ignore[attr-defined]
        data = base64.b64encode(Path(self.path).read_bytes()).decode()
        body = json.dumps({"b64Tgz": data}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class ArchiveServer:
    """Stands where nodes get model definitions when there is no master.

    Attributes:
        requests: the archives that were asked for, in order.
    """

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Archives)
        self.requests: list[str] = []
        self._server.requests = self.requests  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def locate(self, spec: RunSpec) -> tuple[str, Mapping[str, str]]:
        """Where the archive of a run is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{spec.context}", {}

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

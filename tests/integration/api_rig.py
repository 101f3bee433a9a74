"""The master's API in process: the real service over a store in memory and a launcher without processes."""

from __future__ import annotations

import asyncio
import base64
import functools
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from determined.launchers.fake import FakeLauncher
from determined.master.api.app import create_app
from determined.master.api.identity import Identity
from determined.master.api.log_ring import LogRing
from determined.master.api.pages import Pages
from determined.master.service import runs
from determined.master.service.auth import Auth
from determined.master.service.contexts import Contexts
from determined.master.service.service import MasterService
from determined.storage.memory import MemoryStore

URL = "http://localhost:8080"
CLUSTER = "8d7f0c1e-1111-4222-8333-444455556666"
CONFIG = """
name: a test
entrypoint: python train.py
searcher: {name: custom, metric: loss, smaller_is_better: true}
resources: {slots_per_trial: 1}
"""
FILES = [{"path": "train.py", "type": 48, "content": base64.b64encode(b"pass").decode(), "mode": 33188, "mtime": "1"}]


def request_id(number: int) -> str:
    return str(uuid.UUID(int=number))


@dataclass
class Rig:
    """A master and a client that is logged in as its local user."""

    client: httpx.AsyncClient
    service: MasterService
    store: MemoryStore
    auth: Auth
    launcher: FakeLauncher
    ring: LogRing
    password: str
    app: Any
    folder: Path

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        full = f"/api{path}" if path.startswith("/v1/") else path
        return await self.client.request(method, full, content=content, **options)

    async def get(self, path: str, **options: Any) -> Any:
        return ok(await self.call("GET", path, **options))

    async def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return ok(await self.call("POST", path, body, **options))

    async def lines(self, path: str, **options: Any) -> list[Any]:
        response = await self.call("GET", path, **options)
        assert response.status_code == 200, response.text
        assert response.content == b"" or response.content.endswith(b"\n")
        return [msgspec.json.decode(line)["result"] for line in response.content.splitlines()]

    async def create(self, config: str = CONFIG, **fields: Any) -> int:
        body = {"config": config, "modelDefinition": FILES, "activate": True, **fields}
        number: int = (await self.post("/v1/experiments", body))["experiment"]["id"]
        return number

    async def operate(self, experiment: int, trigger: int | None, *operations: Any, **fields: Any) -> httpx.Response:
        body = {"searcherOperations": list(operations), **fields}
        if trigger is not None:
            body["triggeredByEvent"] = {"id": trigger}
        return await self.call("POST", f"/v1/experiments/{experiment}/searcher_operations", body)

    async def start_trial(self, experiment: int, number: int = 1, length: int = 100) -> Running:
        """A trial whose process has passed the start line."""
        rid = request_id(number)
        ok(await self.operate(experiment, None, create_trial(rid), validate_after(rid, length)))
        running = await self.attach_to(experiment, f"{experiment}.{rid}.1")
        await running.get(f"/v1/allocations/{running.allocation}/resources/r/rendezvous")
        return running

    async def attach_to(self, experiment: int, allocation: str) -> Running:
        """The trial of a run, once it has been started."""
        await self.launcher.started(allocation)
        token = self.auth.mint_run_token(allocation)
        trials = await self.get(f"/v1/experiments/{experiment}/trials", params={"limit": -1})
        trial = next(t["id"] for t in trials["trials"] if t["taskId"] == allocation.rpartition(".")[0])
        return Running(self, experiment, trial, allocation, token)

    async def login(self, name: str, password: str) -> str:
        body = {"username": name, "password": password, "isHashed": False}
        token: str = (await self.post("/v1/auth/login", body))["token"]
        return token


@dataclass
class Running:
    """A trial with a live run, and what its process would ask with the run's token alone."""

    rig: Rig
    experiment: int
    trial: int
    allocation: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": "", "Grpc-Metadata-x-allocation-token": f"Bearer {self.token}"}

    async def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self.rig.call(method, path, body, headers=self.headers)

    async def get(self, path: str) -> Any:
        return ok(await self.call("GET", path))

    async def post(self, path: str, body: Any = None) -> Any:
        return ok(await self.call("POST", path, body))

    async def report(self, group: str, steps: int, metrics: Any) -> None:
        body = {"trial_run_id": 1, "steps_completed": steps, "metrics": {"avg_metrics": metrics}}
        await self.post(f"/v1/trials/{self.trial}/{group}_metrics", body)

    async def checkpoint(self, number: int, steps: int) -> str:
        name = request_id(number)
        body = {
            "uuid": name,
            "taskId": self.allocation.rpartition(".")[0],
            "allocationId": self.allocation,
            "reportTime": "2023-06-01T10:00:00+00:00",
            "resources": {"model.bin": "1024", "sub/": "0"},
            "metadata": {"steps_completed": steps, "framework": "none"},
            "training": {},
            "state": "STATE_COMPLETED",
        }
        await self.post("/v1/checkpoints", body)
        return name


def ok(response: httpx.Response) -> Any:
    assert response.status_code == 200, f"{response.request.method} {response.request.url}: {response.text}"
    assert response.headers["content-type"] == "application/json"
    return response.json()


def refused(response: httpx.Response, status: int, part: str = "") -> str:
    """The message of an error, which must be in both shapes."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body["message"] == body["error"]["error"]
    assert isinstance(body["error"]["code"], int)
    assert part in body["message"]
    message: str = body["message"]
    return message


def create_trial(rid: str, **hparams: Any) -> dict[str, Any]:
    return {"createTrial": {"requestId": rid, "hyperparams": msgspec.json.encode(hparams).decode()}}


def validate_after(rid: str, length: int) -> dict[str, Any]:
    return {"trialOperation": {"validateAfter": {"requestId": rid, "length": str(length)}}}


def close_trial(rid: str) -> dict[str, Any]:
    return {"closeTrial": {"requestId": rid}}


SHUT_DOWN = {"shutDown": {"cancel": False, "failure": False}}


def served(test: Callable[[Rig], Awaitable[None]]) -> Callable[[], None]:
    """Make a test of a coroutine that wants a master."""

    @functools.wraps(test)
    def run() -> None:
        asyncio.run(_serve(test))

    del run.__wrapped__  # or the argument would be taken for a fixture
    return run


async def _serve(test: Callable[[Rig], Awaitable[None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rig = await make_rig(Path(folder))
        try:
            async with rig.client:
                await test(rig)
        finally:
            await rig.service.stop()
            rig.auth.close()


async def make_rig(folder: Path, store: MemoryStore | None = None, slots: int = 4) -> Rig:
    store = store or MemoryStore()
    await store.open()
    auth = Auth(store, b"a secret of the tests", rounds=4)
    started = await auth.bootstrap()
    launcher = FakeLauncher(slots)
    contexts = Contexts(folder / "contexts")
    storage = {"type": "shared_fs", "host_path": str(folder / "checkpoints")}
    who = runs.Identity(master_id="m", cluster_id=CLUSTER, url=URL)
    service = MasterService(store, launcher, contexts, auth, who, storage)
    await service.start()
    ring = LogRing()
    identity = Identity(master_id="m", cluster_id=CLUSTER, version="0.1.0", config={"checkpoint_storage": storage})
    app = create_app(service, store, auth, identity, ring, Pages(folder / "webui"))
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url=URL,
        headers={"Authorization": f"Bearer {started.local_token}"},
        timeout=60,
    )
    return Rig(client, service, store, auth, launcher, ring, started.password or "", app, folder)

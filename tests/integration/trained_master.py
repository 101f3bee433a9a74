"""A master behind a real port in a thread of this process, with trials that train in no time.

Everything between the client and the store is real; in place of processes, coroutines ask for work and report over
HTTP with the tokens of their runs.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import uvicorn

from determined.common.api.session import Session
from tests.integration.api_rig import Rig, Running, make_rig

T = TypeVar("T")
Metric = Callable[[dict[str, Any], int], Any]
"""From hyperparameters and length to the metric; None lets the trial fail."""


def loss(hparams: dict[str, Any], length: int) -> float:
    """Better with an x near 0.3, and with training."""
    return float(abs(hparams["x"] - 0.3) + 1 / (1 + length))


class TrainedMaster:
    """The master; a context manager.

    Attributes:
        url: where it serves; ``session`` is of its local user.
        env: what a client has to find in its environment.
    """

    def __init__(self, metric: Metric = loss) -> None:
        self.metric = metric
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._error: BaseException | None = None

    def __enter__(self) -> TrainedMaster:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def call(self, work: Callable[[Rig], Coroutine[Any, Any, T]]) -> T:
        """Do something with the rig, in its loop."""
        return asyncio.run_coroutine_threadsafe(work(self.rig), self._loop).result()

    def create(self, config: dict[str, Any]) -> int:
        """A new experiment."""
        return self.call(lambda rig: rig.create(json.dumps(config)))

    def wait(self, experiment_id: int) -> str:
        """Its state at the end."""
        state = ""
        for line in self.session.stream(f"/api/v1/experiments/{experiment_id}/watch", {"follow": True}):
            state = line["result"]["state"]
        return state

    async def _serve(self) -> None:
        self._leave = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        try:
            with tempfile.TemporaryDirectory() as folder:
                await self._serve_in(Path(folder))
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve_in(self, folder: Path) -> None:
        self.rig = rig = await make_rig(folder)
        config = uvicorn.Config(rig.app, host="127.0.0.1", port=0, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve())
        training = asyncio.create_task(self._train(rig))
        while not server.started:  # noqa: ASYNC110  # nobody tells us when
            await asyncio.sleep(0)
        port = server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.token = rig.client.headers["Authorization"].removeprefix("Bearer ")
        self.session = Session(self.url, token=self.token)
        self.env = {"DET_MASTER": self.url, "DET_USER": "determined", "DET_PASS": rig.password}
        self._ready.set()
        leave = asyncio.create_task(self._leave.wait())
        await asyncio.wait([leave, training], return_when=asyncio.FIRST_COMPLETED)
        if training.done():
            training.result()
        training.cancel()
        await asyncio.gather(training, return_exceptions=True)
        server.should_exit = True
        await serving
        await rig.client.aclose()
        await rig.service.stop()
        rig.auth.close()

    async def _train(self, rig: Rig) -> None:
        """Bring every run that starts to its end."""
        done = 0
        runs: set[asyncio.Task[None]] = set()
        try:
            while True:
                names = await rig.launcher.started_count(done + 1)
                for name in names[done:]:
                    runs.add(asyncio.create_task(self._run(rig, name)))
                done = len(names)
                for run in [run for run in runs if run.done()]:
                    run.result()
                    runs.discard(run)
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    async def _run(self, rig: Rig, allocation: str) -> None:
        env = rig.launcher.runs[allocation].spec.env
        trial = int(env["DET_TRIAL_ID"])
        run = Running(rig, int(env["DET_EXPERIMENT_ID"]), trial, allocation, rig.auth.mint_run_token(allocation))
        await run.get(f"/v1/allocations/{allocation}/resources/r/rendezvous")
        hparams = json.loads(env["DET_HPARAMS"])
        number = int(env["DET_TRIAL_RUN_ID"])
        code = 0
        while True:
            work = await run.get(f"/v1/trials/{trial}/searcher/operation")
            length = int(work["op"]["validateAfter"]["length"])
            if work["completed"]:
                break
            await run.post(f"/v1/trials/{trial}/progress", length / 2)
            value = self.metric(hparams, length)
            if value is None:
                code = 1
                break
            await self._report(run, number, length, value)
        if code == 0:
            await run.post(f"/v1/allocations/{allocation}/signals/ack_preemption")
        await rig.launcher.exit(allocation, code)

    async def _report(self, run: Running, number: int, length: int, value: float) -> None:
        for group, metrics in (("training", {"loss": 2 * value}), ("validation", {"loss": value, "steps": length})):
            body = {"trial_run_id": number, "steps_completed": length, "metrics": {"avg_metrics": metrics}}
            await run.post(f"/v1/trials/{run.trial}/{group}_metrics", body)
        done = {"op": {"length": str(length)}, "searcherMetric": value}
        await run.post(f"/v1/trials/{run.trial}/searcher/completed_operation", done)

"""A keeper's runs on a node, without Ray."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from determined.errors import FailedPrecondition
from determined.launchers.on_ray.keeping import Keeping
from determined.launchers.on_ray.node import NodeFolder
from determined.launchers.on_ray.wire import Bundle, News, Order, Place, Reservation, Seat
from determined.launchers.protocol import Warm

RESERVATION = Reservation("r", Place((Bundle(cpus=3),)), (Seat("node", "4,5"),))
PARENTS = "shim = open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1]"
"""Finds what the process beside a run was forked from."""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeFolder:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return NodeFolder("c")


def order(name: str, text: str) -> Order:
    argv = ("/master/python", "-c", text)
    return Order(name, argv, {"DET_ALLOCATION_ID": name}, {}, "/master/python", RESERVATION)


def warm_order(name: str, folder: Path) -> Order:
    script = folder / "train.py"
    script.write_text(f"import os\n{PARENTS}\nprint(shim)\n")
    words = (str(script),)
    argv = ("/master/python", *words)
    return Order(name, argv, {"DET_ALLOCATION_ID": name}, {}, "/master/python", RESERVATION, warm=Warm(words))


async def ended(keeping: Keeping, order: Order) -> tuple[int | None, list[str]]:
    """Run to the end; exit code and lines."""
    news: News | None = await keeping.begin("now", order)
    lines: list[str] = []
    while news is not None:
        lines += [line.text for line in news.lines]
        if news.end is not None:
            await keeping.finish(order.allocation_id)
            return news.end.code, lines
        news = await keeping.news(order.allocation_id, len(lines), True)
    raise AssertionError("the keeper does not know the run")


def test_an_order_of_a_driver_that_was_replaced_is_refused(node: NodeFolder) -> None:
    """It was on its way when its driver died; the next driver has looked, and has the run start elsewhere."""

    async def scenario() -> None:
        keeping = Keeping(node, "k", "node", 3600.0, sets_threads=True)
        staying = asyncio.create_task(keeping.stay())
        assert await keeping.hello("before") == []
        assert await keeping.hello("now") == []
        with pytest.raises(FailedPrecondition, match="replaced"):
            await keeping.begin("before", order("1.a.1", "print('late')"))
        assert await keeping.news("1.a.1", 0, False) is None
        assert not await keeping.kill("1.a.1")
        await keeping.hello(None)
        assert await ended(keeping, order("1.a.1", "print('in time')")) == (0, ["in time"])
        staying.cancel()
        await keeping.leave()

    asyncio.run(scenario())
    assert not (node.path / "k").exists()


def test_runs_of_a_node_are_forked_from_one_template_and_know_what_ray_gave_them(
    node: NodeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    text = "import os; print(*(os.environ[n] for n in ('DET_AGENT_ID', 'CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS')))"

    async def scenario() -> None:
        keeping = Keeping(node, "k", "node", 3600.0, sets_threads=True)
        staying = asyncio.create_task(keeping.stay())
        await keeping.hello("now")
        assert await ended(keeping, order("1.a.1", text)) == (0, ["node 4,5 3"])
        first, second = [await ended(keeping, warm_order(name, tmp_path)) for name in ("1.b.1", "1.c.1")]
        assert first == second
        assert first[0] == 0
        template = psutil.Process(int(first[1][0]))
        assert "fork_server" in " ".join(template.cmdline())
        staying.cancel()
        await keeping.leave()
        assert not template.is_running()

    asyncio.run(scenario())

"""The launcher for tests of the master."""

from __future__ import annotations

import asyncio

import pytest

from determined.errors import FailedPrecondition
from determined.launchers.fake import FakeLauncher
from determined.launchers.protocol import Launcher
from determined.testing.launcher_contract import RecordingListener, make_spec


def test_it_is_a_launcher() -> None:
    launcher: Launcher = FakeLauncher(slots=3)
    assert len(launcher.slots()) == 3


def test_a_run_does_what_the_test_says() -> None:
    async def scenario() -> None:
        launcher, listener = FakeLauncher(), RecordingListener()
        await launcher.open(listener)
        waiting = asyncio.create_task(launcher.started("1.a.1"))
        await launcher.start(make_spec("1.a.1", "train"))
        await launcher.start(make_spec("1.a.1", "train"))
        assert (await waiting).argv == ("train",)
        assert await launcher.started_count(1) == ["1.a.1"]
        await launcher.running("1.a.1")
        await launcher.log("1.a.1", "one", "two")
        await launcher.log("1.a.1", "three", stdtype="stderr")
        with pytest.raises(FailedPrecondition):
            await launcher.remove("1.a.1")
        await launcher.exit("1.a.1", 0)
        assert listener.story == [
            "1.a.1 running",
            "1.a.1 lines 0..1",
            "1.a.1 lines 2..2",
            "1.a.1 ended: RunExit(code=0, at=0.0, reason='')",
        ]
        await launcher.remove("1.a.1")
        assert not await launcher.adopt("1.a.1", 0)

    asyncio.run(scenario())


def test_a_killed_run_ends_unless_the_test_wants_to_say_when() -> None:
    async def scenario() -> None:
        launcher, listener = FakeLauncher(), RecordingListener()
        await launcher.open(listener)
        await launcher.start(make_spec("1.a.1", "train"))
        await launcher.kill("1.a.1")
        await launcher.kill("1.a.1")
        await launcher.killed("1.a.1")
        assert (await listener.exit_of("1.a.1")).code == 137
        launcher.kill_code = None
        await launcher.start(make_spec("1.b.1", "train"))
        await launcher.kill("1.b.1")
        await launcher.kill("1.unknown.1")
        await launcher.exit("1.b.1", 1)
        assert (await listener.exit_of("1.b.1")).code == 1

    asyncio.run(scenario())


def test_what_happens_without_a_master_is_told_to_the_next_one() -> None:
    async def scenario() -> None:
        launcher, first, second = FakeLauncher(), RecordingListener(), RecordingListener({"1.a.1": 1})
        await launcher.open(first)
        await launcher.start(make_spec("1.a.1", "train"))
        await launcher.log("1.a.1", "one")
        await launcher.close()
        await launcher.running("1.a.1")
        await launcher.log("1.a.1", "two")
        await launcher.exit("1.a.1", 3)
        await launcher.open(second)
        assert await launcher.adopt("1.a.1", 1)
        assert (await second.exit_of("1.a.1")).code == 3
        assert second.texts("1.a.1") == ["two"]
        assert first.texts("1.a.1") == ["one"]
        await launcher.close()

    asyncio.run(scenario())

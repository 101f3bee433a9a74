"""The launcher's contract on Ray."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from pathlib import Path

import psutil
import pytest

from determined.errors import Unavailable
from determined.launchers.on_ray import launcher as launcher_module
from determined.launchers.on_ray.bridge import DRIVER
from determined.launchers.on_ray.launcher import RayLauncher, RayOptions
from determined.launchers.protocol import ClusterLauncher, Launcher, RunExit, SlotKind
from determined.testing.launcher_contract import Gate, LauncherContract, RecordingListener, make_context, make_spec
from tests.on_ray.support import ArchiveServer, RayCluster


class TestRayLauncher(LauncherContract):
    @pytest.fixture(autouse=True)
    def _use(self, cluster: RayCluster, archives: ArchiveServer) -> None:
        self.cluster = cluster
        self.archives = archives

    def make_launcher(self, folder: Path) -> Launcher:
        name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        return RayLauncher(
            RayOptions(self.cluster.address, slots=4, idle_s=5.0), name, folder / "ray", self.archives.locate
        )

    def test_what_the_master_has_done_with_is_ended(self, tmp_path: Path) -> None:
        """A master that died between the end of a run and the dismissal of its actor left one behind."""

        async def scenario() -> None:
            gate = Gate(tmp_path / "gate")
            async with self.opened(tmp_path / "data") as (launcher, listener):
                for name in ("1.a.1", "1.b.1"):
                    await launcher.start(make_spec(name, "sh", "-c", f"echo pid $$; {gate.wait}; exit 4"))
                kept = int(await listener.line_of("1.a.1", "pid "))
                other = psutil.Process(int(await listener.line_of("1.b.1", "pid ")))
            async with self.opened(tmp_path / "data") as (launcher, listener):
                assert isinstance(launcher, ClusterLauncher)
                assert await launcher.adopt("1.a.1", 0)
                await launcher.settle({"1.a.1"})
                psutil.wait_procs([other])
                assert [process.pid for process in self.cluster.runs()] == [kept]
                gate.open()
                assert (await listener.exit_of("1.a.1")).code == 4
                assert not await launcher.adopt("1.b.1", 0)

        asyncio.run(scenario())

    def test_runs_of_a_node_fetch_a_model_definition_once(self, tmp_path: Path) -> None:
        """However many they are."""
        context = make_context(tmp_path / "context.tgz", {"model.py": f"{tmp_path}\n"})

        async def scenario() -> None:
            async with self.opened(tmp_path / "data") as (launcher, listener):
                for name in ("1.a.1", "1.b.1", "1.c.1", "1.d.1"):
                    await launcher.start(make_spec(name, "cat", "model.py", context=context))
                for name in ("1.a.1", "1.b.1", "1.c.1", "1.d.1"):
                    assert (await listener.exit_of(name)).code == 0
                    assert listener.texts(name) == [str(tmp_path)]

        asyncio.run(scenario())
        assert self.archives.requests.count(str(context)) <= len(self.cluster.nodes)

    def test_a_run_on_two_nodes_has_one_start_one_count_of_lines_and_one_end(self, tmp_path: Path) -> None:
        """Also for a later master: each line of each part comes once, in the order of its part."""
        gate = Gate(tmp_path / "gate")
        say = "for n in 1 2 3; do echo $DET_RESOURCES_ID $DET_SLOT_IDS $n; done"
        spec = make_spec("1.a.1", "sh", "-c", f"{say}; {gate.wait}; {say}", env={"DET_SLOT_IDS": "[2, 3]"})
        data = tmp_path / "data"

        async def scenario() -> list[str]:
            async with self.opened(data) as (launcher, listener):
                assert isinstance(launcher, ClusterLauncher)
                with pytest.raises(Unavailable):
                    await launcher.members("1.a.1")
                await launcher.start(dataclasses.replace(spec, slot_ids=(2, 3)))
                await listener.until(lambda: len(listener.texts("1.a.1")) == 6, "the lines of both parts")
                assert listener.seen_running == {"1.a.1"}
                assert [member.slots for member in await launcher.members("1.a.1")] == [1, 1]
                assert sorted(len(machine.held) for machine in await launcher.machines()) == [0, 1, 1]
                lines = listener.texts("1.a.1")
            assert {self.cluster.node_of(process) for process in self.cluster.runs()} == {"first", "second"}
            async with self.opened(data, {"1.a.1": 6}) as (launcher, listener):
                assert await launcher.adopt("1.a.1", 6)
                gate.open()
                gate.open()
                assert (await listener.exit_of("1.a.1")).code == 0
                lines += listener.texts("1.a.1")
                await launcher.remove("1.a.1")
            return lines

        lines = asyncio.run(scenario())
        for part, slot in ((0, 2), (1, 3)):
            expected = [f"1.a.1.{part} [{slot}] {n}" for n in (1, 2, 3, 1, 2, 3)]
            assert [line for line in lines if line.startswith(f"1.a.1.{part} ")] == expected
        assert len(lines) == 12
        assert list((data / "ray").glob("lines-*")) == []

    def test_nodes_that_come_and_go_are_told_although_nothing_runs(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with self.opened(tmp_path / "data") as (launcher, _):
                assert isinstance(launcher, ClusterLauncher)
                told = asyncio.Event()
                launcher.when_machines_change(told.set)

                async def until(number: int) -> None:
                    while len(await launcher.machines()) != number:
                        await told.wait()
                        told.clear()

                await until(3)
                # Ray starts nodes in main threads only.
                self.cluster.add("passing", 0)
                await until(4)
                self.cluster.remove("passing")
                await until(3)

        asyncio.run(scenario())

    def test_a_run_without_a_place_waits_in_ray_and_can_be_killed_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Meanwhile the launcher says that it is crowded."""
        monkeypatch.setattr(launcher_module, "CROWDED_AFTER_S", 0.0)

        async def scenario() -> None:
            gate = Gate(tmp_path / "gate")
            async with self.opened(tmp_path / "data") as (launcher, listener):
                assert isinstance(launcher, ClusterLauncher)
                for number, name in enumerate(("1.a.1", "1.b.1", "1.c.1")):
                    spec = make_spec(name, "sh", "-c", f"echo up; {gate.wait}")
                    await launcher.start(dataclasses.replace(spec, slot_ids=(number,)))
                await listener.until(lambda: len(listener.seen_running) == 2, "as many runs as there are CPUs")
                [waiting] = {"1.a.1", "1.b.1", "1.c.1"} - listener.seen_running
                assert launcher.is_crowded()
                assert sorted(len(machine.held) for machine in await launcher.machines()) == [0, 1, 1]
                await launcher.kill(waiting)
                assert (await listener.exit_of(waiting)).code == 137
                assert not launcher.is_crowded()
                gate.open()
                gate.open()
                for name in listener.seen_running:
                    assert (await listener.exit_of(name)).code == 0

        asyncio.run(scenario())

    def test_a_run_that_ends_leaves_its_place_to_the_one_that_waits(self, tmp_path: Path) -> None:
        """Ray, which is asked for a third place meanwhile, would take a second or two to notice."""

        async def scenario() -> None:
            gate = Gate(tmp_path / "gate")
            async with self.opened(tmp_path / "data") as (launcher, listener):
                for number, name in enumerate(("1.a.1", "1.b.1")):
                    spec = make_spec(name, "sh", "-c", gate.wait)
                    await launcher.start(dataclasses.replace(spec, slot_ids=(number,)))
                await listener.until(lambda: len(listener.seen_running) == 2, "as many runs as there are CPUs")
                places = await asyncio.to_thread(self.cluster.reservations, "CREATED")
                spec = make_spec("1.c.1", "sh", "-c", f"echo up; {gate.wait}")
                await launcher.start(dataclasses.replace(spec, slot_ids=(2,)))
                gate.open()
                await listener.line_of("1.c.1", "up")
                assert set(await asyncio.to_thread(self.cluster.reservations, "CREATED")) <= set(places)
                gate.open()
                gate.open()
                for name in ("1.a.1", "1.b.1", "1.c.1"):
                    assert (await listener.exit_of(name)).code == 0

        asyncio.run(scenario())

    def test_what_was_set_aside_is_given_back_though_a_node_does_not_answer_and_dies(self, tmp_path: Path) -> None:
        """The driver outlives its master for that: nobody else knows of the reservations."""

        earlier = set(self.cluster.keepers()), set(psutil.Process().children()), set(self.cluster.reservations())

        async def scenario() -> tuple[psutil.Process, psutil.Process, set[str]]:
            async with self.opened(tmp_path / "data") as (launcher, listener):
                await launcher.start(make_spec("1.a.1", "true"))
                await listener.exit_of("1.a.1")
                [keeper] = set(self.cluster.keepers()) - earlier[0]
                [driver] = [p for p in set(psutil.Process().children()) - earlier[1] if DRIVER in p.cmdline()]
                keeper.suspend()
                return keeper, driver, set(self.cluster.reservations()) - earlier[2]

        keeper, driver, reserved = asyncio.run(scenario())
        assert len(reserved) == 1
        assert driver.is_running()
        keeper.kill()
        assert psutil.wait_procs([driver], timeout=60)[1] == []
        assert reserved.isdisjoint(self.cluster.reservations())

    def test_a_run_that_ended_keeps_no_place_for_the_next_master(self, tmp_path: Path) -> None:
        """Its keeper has it yet, since its master left before it had taken note of the end."""
        earlier = set(psutil.Process().children()), set(self.cluster.reservations())

        class Deaf(RecordingListener):
            async def on_exit(self, allocation_id: str, end: RunExit) -> None:
                await super().on_exit(allocation_id, end)
                await asyncio.Event().wait()

        async def first() -> psutil.Process:
            launcher, listener = self.make_launcher(tmp_path / "data"), Deaf()
            await launcher.open(listener)
            await launcher.start(make_spec("1.a.1", "true"))
            await listener.exit_of("1.a.1")
            [driver] = [p for p in set(psutil.Process().children()) - earlier[0] if DRIVER in p.cmdline()]
            await launcher.close()
            return driver

        async def second() -> None:
            async with self.opened(tmp_path / "data") as (launcher, listener):
                assert await launcher.adopt("1.a.1", 0)
                assert (await listener.exit_of("1.a.1")).code == 0
                await launcher.remove("1.a.1")
                await launcher.start(make_spec("1.b.1", "sh", "-c", "echo up"))
                assert (await listener.exit_of("1.b.1")).code == 0

        driver = asyncio.run(first())
        assert psutil.wait_procs([driver], timeout=60)[1] == []
        assert set(self.cluster.reservations()) <= earlier[1]
        asyncio.run(second())

    def test_a_run_sees_the_gpus_that_ray_chose_and_no_others(self, tmp_path: Path) -> None:
        """Also when it has the place of one that has ended."""
        self.cluster.add("gpus", 0, 3)

        async def scenario() -> None:
            gate = Gate(tmp_path / "gate")
            options = RayOptions(self.cluster.address, SlotKind.CUDA, slots=4, idle_s=5.0)
            launcher, listener = (
                RayLauncher(options, "gpus", tmp_path / "ray", self.archives.locate),
                RecordingListener(),
            )
            await launcher.open(listener)
            text = f'echo "sees $CUDA_VISIBLE_DEVICES"; {gate.wait}'
            sizes = {"1.a.1": (0, 1), "1.b.1": (2,), "1.c.1": (3,)}
            for name, slots in sizes.items():
                await launcher.start(dataclasses.replace(make_spec(name, "sh", "-c", text), slot_ids=slots))
            two, one = [await listener.line_of(name, "sees ") for name in ("1.a.1", "1.b.1")]
            assert sorted([*two.split(","), one]) == ["0", "1", "2"]
            gate.open()
            gate.open()
            seen = await listener.line_of("1.c.1", "sees ")
            assert seen in {"0", "1", "2"}
            gate.open()
            for name in sizes:
                assert (await listener.exit_of(name)).code == 0
            await launcher.close()

        asyncio.run(scenario())
        self.cluster.remove("gpus")

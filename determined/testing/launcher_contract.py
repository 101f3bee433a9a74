"""What every launcher must do: inherit `LauncherContract` in a test module and say how to make one."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
import tarfile
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from determined.launchers.protocol import Launcher, LogLine, RunExit, RunSpec

PATIENCE_S = 60.0


class RecordingListener:
    """Keeps all news and checks the promises about it: lines without gaps, nothing after an exit, one exit.

    Attributes:
        story: every piece of news in order, for messages.
    """

    def __init__(self, lines_known: Mapping[str, int] | None = None) -> None:
        self.story: list[str] = []
        self.lines: dict[str, list[LogLine]] = {}
        self.exits: dict[str, RunExit] = {}
        self.seen_running: set[str] = set()
        self._known = dict(lines_known or {})
        self._changed = asyncio.Event()

    async def on_running(self, allocation_id: str) -> None:
        """Record it."""
        self.seen_running.add(allocation_id)
        self._record(f"{allocation_id} running")

    async def on_logs(self, allocation_id: str, first: int, lines: Sequence[LogLine]) -> None:
        """Record lines."""
        kept = self.lines.setdefault(allocation_id, [])
        expected = self._known.get(allocation_id, 0) + len(kept)
        assert first == expected, f"{allocation_id}: lines from {first} came, {expected} was next"
        assert lines, "an empty batch says nothing"
        kept += lines
        self._record(f"{allocation_id} lines {first}..{first + len(lines) - 1}")

    async def on_exit(self, allocation_id: str, end: RunExit) -> None:
        """Record the end."""
        assert allocation_id not in self.exits, f"{allocation_id} ended twice: {self.exits[allocation_id]}, {end}"
        self.exits[allocation_id] = end
        self._record(f"{allocation_id} ended: {end}")

    def _record(self, text: str) -> None:
        self.story.append(text)
        self._changed.set()

    def texts(self, allocation_id: str, stdtype: str | None = None) -> list[str]:
        """The text of a run's lines so far, perhaps of one stream only."""
        lines = self.lines.get(allocation_id, [])
        return [line.text for line in lines if stdtype in (None, line.stdtype)]

    async def exit_of(self, allocation_id: str) -> RunExit:
        """Wait for a run's end."""
        await self.until(lambda: allocation_id in self.exits, f"the end of {allocation_id}")
        return self.exits[allocation_id]

    async def line_of(self, allocation_id: str, start: str) -> str:
        """Wait for a line that starts with a text; the rest of it."""

        def found() -> list[str]:
            return [text for text in self.texts(allocation_id) if text.startswith(start)]

        await self.until(lambda: bool(found()), f"a line {start!r} of {allocation_id}")
        return found()[0][len(start) :]

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until the news make something true."""
        while not is_so():
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), PATIENCE_S)
            except asyncio.TimeoutError as error:
                raise AssertionError(f"waited for {what}; what came: {self.story}") from error


def make_spec(
    allocation_id: str,
    *argv: str,
    env: Mapping[str, str] | None = None,
    context: Path | None = None,
    info_files: Mapping[str, str] | None = None,
) -> RunSpec:
    """A run of a command."""
    full_env = {"DET_ALLOCATION_ID": allocation_id, **(env or {})}
    return RunSpec(allocation_id, argv, full_env, context, info_files=info_files or {})


def make_context(path: Path, files: Mapping[str, str]) -> Path:
    """A gzipped tar of text files."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


class Gate:
    """Holds runs until the test opens it: they read from `path`, a FIFO."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR)
        weakref.finalize(self, os.close, self._fd)

    @property
    def wait(self) -> str:
        """Shell text that waits at the gate."""
        return f"read _ < {self.path}"

    def open(self) -> None:
        """Let one run go on, or through as soon as it comes."""
        os.write(self._fd, b"go\n")


class LauncherContract:
    """Tests for any launcher that runs commands on this machine.

    Attributes:
        many: how many runs at once it must bear.
    """

    many = 50

    def make_launcher(self, folder: Path) -> Launcher:
        """A launcher that keeps what it keeps in ``folder``; two on one folder are a restart of the master."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def opened(
        self, folder: Path, lines_known: Mapping[str, int] | None = None
    ) -> AsyncIterator[tuple[Launcher, RecordingListener]]:
        """An open launcher and its listener."""
        launcher, listener = self.make_launcher(folder), RecordingListener(lines_known)
        await launcher.open(listener)
        try:
            yield launcher, listener
        finally:
            await launcher.close()

    async def run(self, folder: Path, spec: RunSpec) -> tuple[RunExit, list[str]]:
        """Run to the end; the end and the lines."""
        async with self.opened(folder) as (launcher, listener):
            await launcher.start(spec)
            end = await listener.exit_of(spec.allocation_id)
            return end, listener.texts(spec.allocation_id)

    def run_shell(self, folder: Path, text: str) -> tuple[RunExit, list[str]]:
        """Run a shell text to its end."""
        return asyncio.run(self.run(folder, make_spec("1.a.1", "sh", "-c", text)))

    def test_slots_have_ids_of_their_own(self, tmp_path: Path) -> None:
        """Slots are told apart by id."""
        ids = [slot.id for slot in self.make_launcher(tmp_path).slots()]
        assert ids
        assert len(set(ids)) == len(ids)

    def test_exit_code_and_output_are_reported(self, tmp_path: Path) -> None:
        """The plainest run."""
        end, lines = self.run_shell(tmp_path, "echo one; echo two; exit 3")
        assert (end.code, lines) == (3, ["one", "two"])

    def test_running_is_reported_before_the_end(self, tmp_path: Path) -> None:
        """A master that waits for a start is told."""

        async def scenario() -> None:
            async with self.opened(tmp_path) as (launcher, listener):
                await launcher.start(make_spec("1.a.1", "true"))
                await listener.exit_of("1.a.1")
                assert listener.story[0] == "1.a.1 running"

        asyncio.run(scenario())

    def test_a_signal_counts_as_128_and_its_number(self, tmp_path: Path) -> None:
        """As shells count."""
        assert self.run_shell(tmp_path, "kill -SEGV $$")[0].code == 139

    def test_a_command_that_does_not_exist_is_the_runs_own_failure(self, tmp_path: Path) -> None:
        """The log says what was tried."""
        end, lines = asyncio.run(self.run(tmp_path, make_spec("1.a.1", "no-such-command", "x")))
        assert end.code == 127
        assert "no-such-command" in "\n".join(lines)

    def test_a_context_that_is_no_archive_is_the_runs_own_failure(self, tmp_path: Path) -> None:
        """Not the system's: it would be repeated for ever."""
        bad = tmp_path / "bad.tgz"
        bad.write_bytes(b"this is no archive")
        end, lines = asyncio.run(self.run(tmp_path / "data", make_spec("1.a.1", "true", context=bad)))
        assert end.code not in (0, None)
        assert "bad.tgz" in "\n".join(lines)

    def test_environment_context_and_info_files_reach_the_run(self, tmp_path: Path) -> None:
        """All a trial reads before it talks to the master."""
        spec = make_spec(
            "1.a.1",
            "sh",
            "-c",
            'echo "$COLOUR"; cat sub/model.py; cat "$DET_INFO_DIR/trial.json"; cd "$DET_WORKDIR" && ls',
            env={"COLOUR": "blue"},
            context=make_context(tmp_path / "context.tgz", {"sub/model.py": "the model\n"}),
            info_files={"trial.json": '{"trial_id": 1}\n'},
        )
        end, lines = asyncio.run(self.run(tmp_path / "data", spec))
        assert (end.code, lines) == (0, ["blue", "the model", '{"trial_id": 1}', "sub"])

    def test_starting_twice_runs_once(self, tmp_path: Path) -> None:
        """The effect of a start may be performed again after a crash."""

        async def scenario() -> None:
            gate = Gate(tmp_path / "gate")
            spec = make_spec("1.a.1", "sh", "-c", f"echo up; {gate.wait}; echo down")
            async with self.opened(tmp_path / "data") as (launcher, listener):
                await launcher.start(spec)
                await launcher.start(spec)
                await listener.line_of("1.a.1", "up")
                await launcher.start(spec)
                gate.open()
                await listener.exit_of("1.a.1")
                assert listener.texts("1.a.1") == ["up", "down"]

        asyncio.run(scenario())

    def test_a_run_that_ignores_sigterm_can_be_killed(self, tmp_path: Path) -> None:
        """Kill is not a request."""

        async def scenario() -> None:
            gate = Gate(tmp_path / "gate")
            async with self.opened(tmp_path / "data") as (launcher, listener):
                await launcher.start(make_spec("1.a.1", "sh", "-c", f"trap '' TERM INT; echo up; {gate.wait}"))
                await listener.line_of("1.a.1", "up")
                await launcher.kill("1.a.1")
                assert (await listener.exit_of("1.a.1")).code == 137
                await launcher.kill("1.a.1")

        asyncio.run(scenario())

    def test_killing_an_unknown_run_changes_nothing(self, tmp_path: Path) -> None:
        """A kill may come late."""

        async def scenario() -> None:
            async with self.opened(tmp_path) as (launcher, listener):
                await launcher.kill("7.x.1")
                assert not listener.story

        asyncio.run(scenario())

    def test_a_new_master_takes_up_a_live_run(self, tmp_path: Path) -> None:
        """Each line is delivered once, by one of the two; the process stays the same."""

        async def scenario() -> None:
            gate = Gate(tmp_path / "gate")
            text = f"echo pid $$; {gate.wait}; echo pid $$; exit 4"
            async with self.opened(tmp_path / "data") as (launcher, listener):
                await launcher.start(make_spec("1.a.1", "sh", "-c", text))
                before = await listener.line_of("1.a.1", "pid ")
            async with self.opened(tmp_path / "data", {"1.a.1": 1}) as (launcher, listener):
                assert await launcher.adopt("1.a.1", 1)
                gate.open()
                assert (await listener.exit_of("1.a.1")).code == 4
                assert listener.texts("1.a.1") == [f"pid {before}"]

        asyncio.run(scenario())

    def test_a_new_master_learns_of_an_end_it_did_not_see(self, tmp_path: Path) -> None:
        """All of the log included."""

        async def scenario() -> None:
            gate = Gate(tmp_path / "gate")
            async with self.opened(tmp_path / "data") as (launcher, listener):
                await launcher.start(make_spec("1.a.1", "sh", "-c", f"echo one; {gate.wait}; echo two; exit 5"))
                await listener.line_of("1.a.1", "one")
            gate.open()
            async with self.opened(tmp_path / "data") as (launcher, listener):
                assert await launcher.adopt("1.a.1", 0)
                assert (await listener.exit_of("1.a.1")).code == 5
                assert listener.texts("1.a.1") == ["one", "two"]

        asyncio.run(scenario())

    def test_a_run_that_was_never_started_cannot_be_adopted(self, tmp_path: Path) -> None:
        """So the master starts it."""

        async def scenario() -> None:
            async with self.opened(tmp_path) as (launcher, _):
                assert not await launcher.adopt("1.a.1", 0)

        asyncio.run(scenario())

    def test_a_removed_run_is_forgotten(self, tmp_path: Path) -> None:
        """Its files too; removing it again changes nothing."""

        async def scenario() -> None:
            async with self.opened(tmp_path) as (launcher, listener):
                await launcher.start(make_spec("1.a.1", "true"))
                await listener.exit_of("1.a.1")
                await launcher.remove("1.a.1")
                await launcher.remove("1.a.1")
                assert not await launcher.adopt("1.a.1", 0)

        asyncio.run(scenario())

    def test_news_that_the_master_cannot_take_comes_again(self, tmp_path: Path) -> None:
        """A full data base must not lose lines or ends."""

        async def scenario() -> None:
            listener = _Faltering()
            launcher = self.make_launcher(tmp_path)
            await launcher.open(listener)
            await launcher.start(make_spec("1.a.1", "sh", "-c", "echo one; exit 6"))
            assert (await listener.exit_of("1.a.1")).code == 6
            assert listener.texts("1.a.1") == ["one"]
            assert listener.refused == {"logs", "exit"}
            await launcher.close()

        asyncio.run(scenario())

    def test_many_runs_at_once_do_not_disturb_each_other(self, tmp_path: Path) -> None:
        """Each with output and a code of its own."""

        async def scenario() -> None:
            async with self.opened(tmp_path) as (launcher, listener):
                ids = [f"1.r{number}.1" for number in range(self.many)]
                for number, name in enumerate(ids):
                    await launcher.start(make_spec(name, "sh", "-c", f"echo {number}; echo x >&2; exit {number}"))
                for number, name in enumerate(ids):
                    assert (await listener.exit_of(name)).code == number
                    assert listener.texts(name, "stdout") == [str(number)]
                    assert listener.texts(name, "stderr") == ["x"]

        asyncio.run(scenario())

    def test_python_runs_use_the_masters_interpreter(self, tmp_path: Path) -> None:
        """And may import from their working folder."""
        context = make_context(tmp_path / "context.tgz", {"own_module.py": "print('imported')\n"})
        command = "import sys, own_module; print(sys.executable)"
        spec = make_spec("1.a.1", "python", "-c", command, context=context)
        _, lines = asyncio.run(self.run(tmp_path / "data", spec))
        assert [Path(line).parent for line in lines[1:]] == [Path(sys.executable).parent]
        assert lines[0] == "imported"


class _Faltering(RecordingListener):
    """Refuses the first lines and the first end."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()

    async def on_logs(self, allocation_id: str, first: int, lines: Sequence[LogLine]) -> None:
        if "logs" not in self.refused:
            self.refused.add("logs")
            raise OSError("the disk is full")
        await super().on_logs(allocation_id, first, lines)

    async def on_exit(self, allocation_id: str, end: RunExit) -> None:
        if "exit" not in self.refused:
            self.refused.add("exit")
            raise OSError("the disk is full")
        await super().on_exit(allocation_id, end)

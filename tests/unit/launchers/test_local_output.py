"""What a run prints arrives, whatever it prints."""

from __future__ import annotations

import asyncio
import sys

from determined.launchers.protocol import LogLine
from determined.launchers.spool import MAX_LINE_BYTES
from determined.testing.launcher_contract import Gate, make_spec
from determined.testing.local_machine import Machine


def run_python(machine: Machine, text: str) -> list[LogLine]:
    async def scenario() -> list[LogLine]:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", sys.executable, "-c", text))
            assert (await listener.exit_of("1.a.1")).code == 0
            return listener.lines.get("1.a.1", [])

    return asyncio.run(scenario())


def test_both_streams_are_told_apart_and_keep_their_order(machine: Machine) -> None:
    lines = run_python(machine, "import sys\nfor n in range(500):\n print(n)\n print(-n, file=sys.stderr)")
    assert [line.text for line in lines if line.stdtype == "stdout"] == [str(n) for n in range(500)]
    assert [line.text for line in lines if line.stdtype == "stderr"] == [str(-n) for n in range(500)]
    assert sorted(line.at for line in lines) == [line.at for line in lines]


def test_a_last_line_without_a_newline_is_kept(machine: Machine) -> None:
    assert [line.text for line in run_python(machine, "print('a\\nb', end='')")] == ["a", "b"]


def test_binary_output_and_empty_lines_are_lines_too(machine: Machine) -> None:
    lines = run_python(machine, r"import os; os.write(1, b'\xff\x00\n\n\x1b[1mbold\n')")
    assert [line.text for line in lines] == ["\ufffd\ufffd", "", "\x1b[1mbold"]


def test_a_very_long_line_comes_in_pieces(machine: Machine) -> None:
    lines = run_python(machine, "print('x' * 10_000_000)")
    assert "".join(line.text for line in lines) == "x" * 10_000_000
    assert max(len(line.text) for line in lines) == MAX_LINE_BYTES


def test_a_flood_of_lines_is_complete(machine: Machine) -> None:
    lines = run_python(machine, "import sys; sys.stdout.write(''.join(f'{n}\\n' for n in range(200_000)))")
    assert [line.text for line in lines] == [str(n) for n in range(200_000)]


def test_no_output_is_no_lines(machine: Machine) -> None:
    assert run_python(machine, "") == []


def test_a_line_arrives_while_the_run_goes_on(machine: Machine) -> None:
    async def scenario() -> None:
        gate = Gate(machine.data.parent / "gate")
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", f"{gate.wait}; echo one; {gate.wait}; echo two"))
            gate.open()
            await listener.line_of("1.a.1", "one")
            assert "1.a.1" not in listener.exits
            gate.open()
            await listener.exit_of("1.a.1")
            assert listener.texts("1.a.1") == ["one", "two"]

    asyncio.run(scenario())


def test_the_log_on_disk_can_be_read_by_people(machine: Machine) -> None:
    async def scenario() -> str:
        async with machine.opened() as (launcher, listener):
            await launcher.start(make_spec("1.a.1", "sh", "-c", "echo one; echo two >&2"))
            await listener.exit_of("1.a.1")
            return launcher.log_path("1.a.1").read_text()

    words = [line.split(" ", 2)[1:] for line in asyncio.run(scenario()).splitlines()]
    assert sorted(words) == [["e", "two"], ["o", "one"]]


def test_a_run_reads_nothing_from_the_masters_terminal(machine: Machine) -> None:
    assert [line.text for line in run_python(machine, "import sys; print(repr(sys.stdin.read()))")] == ["''"]

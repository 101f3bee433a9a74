"""Cutting a run's output into lines."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from determined.launchers.spool import MAX_LINE_BYTES, LineSplitter, Spool, format_line
from determined.launchers.spool_reader import SpoolReader


def cut(*chunks: bytes) -> list[bytes]:
    splitter = LineSplitter()
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]
    return pieces + splitter.finish()


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\n\nb", [b"a", b"", b"b"]),
        (b"no newline", [b"no newline"]),
        (b"dos\r\nends\r\n", [b"dos", b"ends"]),
        (b"\r\n", [b""]),
        (b"\r10%\r20%\r30%\n", [b"10%", b"20%", b"30%"]),
        (b"10%\r", [b"10%"]),
        (b"text\r\r\n", [b"text"]),
    ],
)
def test_line_ends_and_progress_bars_are_cut(data: bytes, lines: list[bytes]) -> None:
    assert cut(data) == lines


def test_a_step_of_a_progress_bar_is_given_before_the_next_one_comes() -> None:
    assert LineSplitter().feed(b"10%\r20%") == [b"10%"]


def test_a_line_is_cut_at_the_bound_and_not_inside_a_character() -> None:
    line = b"x" * (MAX_LINE_BYTES - 1) + "é".encode() + b"tail"
    assert cut(line + b"\n") == [b"x" * (MAX_LINE_BYTES - 1), "é".encode() + b"tail"]


def test_a_line_of_exactly_the_bound_is_one_line() -> None:
    assert cut(b"x" * MAX_LINE_BYTES, b"\n", b"next\n") == [b"x" * MAX_LINE_BYTES, b"next"]


def test_a_long_line_is_not_kept_in_memory_until_it_ends() -> None:
    splitter = LineSplitter()
    pieces = [piece for _ in range(64) for piece in splitter.feed(b"x" * 65536)]
    assert len(pieces) == 63


@given(
    text=st.text("a\n\ré#", max_size=12),
    places=st.lists(st.integers(0, 200_000), max_size=5),
)
def test_the_lines_do_not_depend_on_how_the_stream_arrives(text: str, places: list[int]) -> None:
    data = text.replace("#", "x" * 40_000).encode()
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    assert cut(*(data[start:end] for start, end in pairwise(edges))) == cut(data)


def test_what_is_not_text_becomes_the_replacement_character(tmp_path: Path) -> None:
    tmp_path.joinpath("log").write_bytes(format_line(12.5, "e", b"a\0b\xffc"))
    (line,) = SpoolReader(tmp_path / "log").read()
    assert (line.at, line.stdtype, line.text) == (12.5, "stderr", "a\ufffdb\ufffdc")


def test_a_full_disk_blocks_the_spool_and_loses_nothing() -> None:
    spool = Spool(Path("/dev/full"))
    spool.append(b"line\n")
    assert spool.blocked
    with pytest.raises(OSError, match="No space"):
        spool.sync()
    spool.close()

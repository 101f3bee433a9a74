"""Reading a spool while it grows."""

from __future__ import annotations

from pathlib import Path

from determined.launchers.spool_reader import SpoolReader


def spool(tmp_path: Path, text: bytes) -> Path:
    path = tmp_path / "log"
    path.write_bytes(text)
    return path


def test_a_spool_that_does_not_exist_has_no_lines(tmp_path: Path) -> None:
    assert SpoolReader(tmp_path / "log").read() == []


def test_only_whole_lines_are_read_until_the_end(tmp_path: Path) -> None:
    path = spool(tmp_path, b"1.000000 o one\n2.000000 e tw")
    reader = SpoolReader(path)
    assert [line.text for line in reader.read()] == ["one"]
    assert reader.read() == []
    assert [line.text for line in reader.read(final=True)] == ["tw"]
    assert reader.read(final=True) == []


def test_lines_that_come_later_are_read_once(tmp_path: Path) -> None:
    path = spool(tmp_path, b"1.000000 o one\n")
    reader = SpoolReader(path)
    reader.read()
    with path.open("ab") as file:
        file.write(b"2.000000 o two\n")
    assert [line.text for line in reader.read()] == ["two"]
    assert reader.next_index == 2


def test_reading_can_begin_at_a_known_line(tmp_path: Path) -> None:
    reader = SpoolReader(spool(tmp_path, b"".join(b"%d.000000 o %d\n" % (n, n) for n in range(100_000))))
    reader.skip_to(99_998)
    assert reader.next_index == 99_998
    assert [line.text for line in reader.read()] == ["99998", "99999"]


def test_skipping_beyond_the_end_stops_at_the_end(tmp_path: Path) -> None:
    reader = SpoolReader(spool(tmp_path, b"1.000000 o one\n"))
    reader.skip_to(7)
    assert reader.next_index == 1


def test_a_damaged_line_stays_a_line(tmp_path: Path) -> None:
    reader = SpoolReader(spool(tmp_path, b"\0\0garbage\n2.000000 o two\n"))
    assert [line.text for line in reader.read()] == ["\ufffd\ufffdgarbage", "two"]

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from determined.domain.ids import RunId, TrialId
from determined.domain.records import LogRecord
from determined.errors import InvalidInput
from determined.wire.logs import level_from_name, log_entry, message, parse_line
from determined.wire.times import from_text, to_text

AT = 1685613600.123456


@given(st.integers(0, 4_000_000_000), st.integers(0, 999_999))
def test_moments_survive_the_way_to_text_and_back(seconds: int, microseconds: int) -> None:
    at = seconds + microseconds / 1e6
    text = to_text(at)
    assert text.endswith("Z")
    assert from_text(text) == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2023-06-01T10:00:00Z", 1685613600.0),
        ("2023-06-01T10:00:00.5Z", 1685613600.5),
        ("2023-06-01T10:00:00.123456789Z", 1685613600.123456789),
        ("2023-06-01T12:00:00+02:00", 1685613600.0),
        ("2023-06-01T12:00:00+0200", 1685613600.0),
        ("2023-06-01 10:00:00", 1685613600.0),
        ("2023-06-01T10:00", 1685613600.0),
    ],
)
def test_moments_are_read_in_every_spelling_that_clients_use(text: str, at: float) -> None:
    assert from_text(text) == pytest.approx(at)


@pytest.mark.parametrize("text", ["", "now", "2023-13-01T00:00:00Z", "2023-06-01", "\u0662023-06-01T10:00:00Z", "1e9"])
def test_other_texts_are_no_moments(text: str) -> None:
    with pytest.raises(InvalidInput):
        from_text(text)


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("hello", (None, "", "hello")),
        ("", (None, "", "")),
        ("[rank=0] hello", (0, "", "hello")),
        ("[rank=12] ERROR: boom", (12, "ERROR", "boom")),
        ("INFO: [rank=1] x", (None, "INFO", "[rank=1] x")),
        ("WARNING: ", (None, "WARNING", "")),
        ("TRACE: x", (None, "", "TRACE: x")),
        ("INFO:x", (None, "", "INFO:x")),
        (" INFO: x", (None, "", " INFO: x")),
        ("[rank=x] y", (None, "", "[rank=x] y")),
    ],
)
def test_rank_and_level_are_taken_off_the_front_of_a_line(line: str, parsed: tuple[int | None, str, str]) -> None:
    assert parse_line(line) == parsed


@given(st.text())
def test_a_parsed_line_shows_the_original_unchanged(line: str) -> None:
    rank, level, text = parse_line(line)
    front = "" if rank is None else f"[rank={rank}] "
    shown = message(record(text, level=level, rank=rank))
    if line.startswith(front):
        assert f"{level}: {text}\n" in shown if level else shown.endswith(f"|| {text}\n")


def record(text: str, *, level: str = "", rank: int | None = None, container_id: str = "") -> LogRecord:
    return LogRecord(
        trial_id=TrialId(3),
        run_id=RunId(1),
        allocation_id="a",
        at=AT,
        text=text,
        level=level,
        rank=rank,
        container_id=container_id,
        id=17,
    )


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        (record("x"), "[2023-06-01T10:00:00.123456Z]          || x\n"),
        (record("x", container_id="0123456789"), "[2023-06-01T10:00:00.123456Z] 01234567 || x\n"),
        (record("x", container_id="01"), "[2023-06-01T10:00:00.123456Z] 01       || x\n"),
        (record("x", level="ERROR", rank=2), "[2023-06-01T10:00:00.123456Z]          [rank=2] || ERROR: x\n"),
    ],
)
def test_lines_are_shown_in_one_format(given_: LogRecord, shown: str) -> None:
    assert message(given_) == shown


def test_an_entry_has_text_for_its_id_and_a_known_level() -> None:
    entry = log_entry(record("x", level="WARNING"))
    assert (entry.id, entry.level, entry.trial_id) == ("17", "LOG_LEVEL_WARNING", 3)
    assert log_entry(record("x")).level == "LOG_LEVEL_UNSPECIFIED"


def test_levels_are_named_with_or_without_prefix() -> None:
    assert level_from_name("LOG_LEVEL_INFO") == level_from_name("info") == "INFO"
    assert level_from_name("LOG_LEVEL_UNSPECIFIED") == ""
    with pytest.raises(InvalidInput, match="LOUD"):
        level_from_name("LOUD")

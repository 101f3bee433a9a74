"""Lines of a trial's log: read from what a process wrote, and shown as clients print them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from determined.domain.records import LogRecord
from determined.errors import InvalidInput
from determined.wire.times import to_text

LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""Levels that a record may have, from the least to the most severe; "" stands for none."""

_RANK = re.compile(r"\[rank=(\d{1,9})\] ?", re.ASCII)
_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL): ")
_NO_CONTAINER = " " * 8


def parse_line(text: str) -> tuple[int | None, str, str]:
    """Rank, level and rest of a line as a trial's process wrote it.

    Returns:
        The rank that the launch layer put in front, if it did; the level that the line names, "" for none; the text
        without both.
    """
    rank = _RANK.match(text)
    rest = text if rank is None else text[rank.end() :]
    level = _LEVEL.match(rest)
    number = None if rank is None else int(rank.group(1))
    return (number, "", rest) if level is None else (number, level.group(1), rest[level.end() :])


def message(record: LogRecord) -> str:
    """The line as clients print it, with its newline."""
    container = record.container_id[:8].ljust(8) if record.container_id else _NO_CONTAINER
    rank = "" if record.rank is None else f" [rank={record.rank}]"
    level = f"{record.level}: " if record.level else ""
    return f"[{to_text(record.at)}] {container}{rank} || {level}{record.text}\n"


class LogEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One line of a trial's log."""

    id: str
    level: str
    message: str
    timestamp: str
    log: str
    stdtype: str
    source: str
    agent_id: str
    container_id: str
    allocation_id: str
    trial_id: int | None = None
    task_id: str | None = None
    rank_id: int | None = None


def log_entry(record: LogRecord, task_id: str | None = None) -> LogEntry:
    """The record for trial logs, or for task logs when the task is named."""
    return LogEntry(
        id=str(record.id),
        level=level_name(record.level),
        message=message(record),
        timestamp=to_text(record.at),
        log=record.text,
        stdtype=record.stdtype,
        source=record.source,
        agent_id=record.agent_id,
        container_id=record.container_id,
        allocation_id=record.allocation_id,
        trial_id=record.trial_id,
        task_id=task_id,
        rank_id=record.rank,
    )


def level_name(level: str) -> str:
    """The wire's name of a level."""
    return f"LOG_LEVEL_{level or 'UNSPECIFIED'}"


def level_from_name(name: str) -> str:
    """The level that a request names, with or without prefix.

    Raises:
        InvalidInput: there is no such level.
    """
    bare = name.upper().removeprefix("LOG_LEVEL_")
    if bare == "UNSPECIFIED":
        return ""
    if bare not in LEVELS:
        raise InvalidInput(
            f"there is no log level {name[:40]!r} (allowed: {', '.join(map(level_name, ('', *LEVELS)))})"
        )
    return bare


class LogFields(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The values that occur in a log, for each filter."""

    agent_ids: Sequence[str] = ()
    container_ids: Sequence[str] = ()
    allocation_ids: Sequence[str] = ()
    rank_ids: Sequence[int] = ()
    stdtypes: Sequence[str] = ()
    sources: Sequence[str] = ()


def log_fields(values: Mapping[str, Sequence[str]]) -> LogFields:
    """The store's values of each filter; levels are not among them, since clients know those."""
    ranks = [int(text) for text in values.get("rank_ids", ())]
    texts = {name: values.get(name, ()) for name in LogFields.__struct_fields__ if name != "rank_ids"}
    return LogFields(rank_ids=ranks, **texts)

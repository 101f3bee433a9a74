"""The file of a recorded search: a header, its facts and reports line by line, and a last line that vouches for them.

The format is gzip over lines of JSON. The header is an object with ``detrec``, the number of the format. Each further
line is a list that begins with what it is: ``fact``, ``report``, and at last ``end`` with the numbers of both and the
SHA-256 of all lines before it. The same search always makes the same bytes.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.records import JournalRow
from determined.errors import CorruptState, DeterminedError, InvalidInput
from determined.wire.values import protect, restore

FORMAT = 1
SUFFIX = ".detrec"
_encode = msgspec.json.Encoder().encode


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording is of.

    Attributes:
        format: of the file.
        software: version of the program that made the recording.
        state: of the experiment when it was recorded, without prefix.
        config: the complete configuration, without what is secret in it.
    """

    format: int = msgspec.field(name="detrec", default=FORMAT)
    software: str
    experiment_id: ExperimentId
    name: str
    state: str
    config: Mapping[str, Any]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial reported of its training.

    Attributes:
        group: ``training`` or ``validation``.
        steps: as the trial counts them; usually batches.
        at: seconds since the epoch.
        archived: superseded by a later run that went back.
        metrics: by name; non-finite numbers as floats.
    """

    trial_id: TrialId
    run_id: RunId
    group: str
    steps: int
    at: float
    archived: bool
    metrics: Mapping[str, Any]


Line = JournalRow | Report


def default_name(experiment_id: int) -> Path:
    """What the file of an experiment is called."""
    return Path(f"experiment-{experiment_id}{SUFFIX}")


def write(path: Path, header: Header, lines: Iterable[Line]) -> Counter[str]:
    """Write a recording; the file appears when it is whole.

    Args:
        lines: facts in order, and reports; taken one by one, so that a long search needs no memory.
    Returns:
        How many facts and reports there are, by ``fact`` and ``report``.
    Raises:
        InvalidInput: there can be no such file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    counts: Counter[str] = Counter()
    digest = hashlib.sha256()
    try:
        with temporary.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file:
            for text in _texts(header, lines, counts):
                digest.update(text)
                file.write(text)
            file.write(_encode(_End(counts["fact"], counts["report"], digest.hexdigest())) + b"\n")
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, DeterminedError):
            # It comes from where the lines come from.
            raise
        raise InvalidInput(
            f"{path} cannot be written: {error.strerror or error}; name a file in a folder that is there and can be "
            "written to"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return counts


def _texts(header: Header, lines: Iterable[Line], counts: Counter[str]) -> Iterator[bytes]:
    yield _encode(header) + b"\n"
    for line in lines:
        if isinstance(line, JournalRow):
            counts["fact"] += 1
            yield _encode(_Fact(line.seq, line.at, line.kind, line.format, msgspec.Raw(line.body))) + b"\n"
        else:
            counts["report"] += 1
            place = {name: getattr(line, name) for name in _PLACE}
            yield _encode(_Reported(**place, metrics=protect(dict(line.metrics)))) + b"\n"


class _Fact(msgspec.Struct, array_like=True, tag="fact"):
    seq: int
    at: float
    kind: str
    format: int
    body: msgspec.Raw


class _Reported(msgspec.Struct, array_like=True, tag="report"):
    trial_id: TrialId
    run_id: RunId
    group: str
    steps: int
    at: float
    archived: bool
    metrics: dict[str, Any]


class _End(msgspec.Struct, array_like=True, tag="end"):
    facts: int
    reports: int
    sha256: str


_PLACE = ("trial_id", "run_id", "group", "steps", "at", "archived")
_decode = msgspec.json.Decoder(_Fact | _Reported | _End).decode


def read(path: Path) -> tuple[Header, list[Line]]:
    """The header and everything else of a recording.

    Raises:
        InvalidInput: there is no such file, or it is no recording.
        CorruptState: it is damaged, cut off, or of a newer format.
    """
    try:
        with gzip.open(path) as file:
            first = file.readline()
            header = _header(path, first)
            return header, _lines(path, header, first, file)
    except (EOFError, zlib.error) as error:
        raise CorruptState(f"{path} is cut off or damaged ({error}); export the experiment again") from error
    except gzip.BadGzipFile as error:
        raise _no_recording(path) from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from error


def _header(path: Path, line: bytes) -> Header:
    try:
        number = msgspec.json.decode(line, type=_Format).detrec
    except (msgspec.MsgspecError, ValueError) as error:
        raise _no_recording(path) from error
    if number > FORMAT:
        raise CorruptState(
            f"{path} is a recording of format {number}, this version reads up to {FORMAT}; upgrade determined-search"
        )
    try:
        return msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptState(f"{path}: the header is damaged ({error}); export the experiment again") from error


class _Format(msgspec.Struct):
    detrec: int


def _lines(path: Path, header: Header, first: bytes, file: Iterable[bytes]) -> list[Line]:
    digest = hashlib.sha256(first)
    lines: list[Line] = []
    end: _End | None = None
    for number, text in enumerate(file, 2):
        if end is not None:
            raise CorruptState(f"{path}: line {number} comes after the end; export the experiment again")
        try:
            line = _decode(text)
        except (msgspec.MsgspecError, ValueError) as error:
            raise CorruptState(f"{path}: line {number} is damaged ({error}); export the experiment again") from error
        if isinstance(line, _End):
            end = line
        else:
            lines.append(_line(header, line))
            digest.update(text)
    if end is None:
        raise CorruptState(f"{path} is cut off after line {len(lines) + 1}; export the experiment again")
    facts = sum(isinstance(line, JournalRow) for line in lines)
    if end != _End(facts, len(lines) - facts, digest.hexdigest()):
        raise CorruptState(f"{path} is not what its last line says; export the experiment again")
    return lines


def _line(header: Header, line: _Fact | _Reported) -> Line:
    if isinstance(line, _Reported):
        place = {name: getattr(line, name) for name in _PLACE}
        return Report(**place, metrics=restore(line.metrics))
    return JournalRow(
        experiment_id=header.experiment_id,
        seq=line.seq,
        at=line.at,
        kind=line.kind,
        format=line.format,
        body=bytes(line.body),
    )


def _no_recording(path: Path) -> InvalidInput:
    return InvalidInput(f"{path} is no recorded experiment; `det experiment export EXPERIMENT` writes such a file")

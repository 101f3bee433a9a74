"""One saved generation: a folder with the method's own files and a manifest that vouches for everything.

A folder gets its final name only when all of it is on the disk, so a name without an intact manifest is damage.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from determined import files
from determined.domain.operations import Operation
from determined.errors import CorruptState
from determined.searcher.event_log import Part, read_part
from determined.wire.searcher import operation_to_json, operations_from_json

MANIFEST = "searcher_manifest.json"
FORMAT = 2
_WITHOUT_ANSWERS = 1


class NewerFormat(CorruptState):
    """Intact, but written by a version that knows more than this one."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a generation consists of.

    Attributes:
        operations: the answer to the events of this generation, as JSON; posted again after a crash.
        files: the files in the generation's folder.
        base: state that the event log starts from, a file beside the folder; None for an empty state.
        log: the committed part of the event log, beside the folder; None when ``files`` hold the whole state.
        method: files beside the folder with a deterministic method as it was at the beginning of the log; None when
            the method is in ``files``.
        answered: newest event that was answered before this generation; ``operations`` answer those after it.
        answers: name of the file beside the folder with the answers since; "" for a generation that has none.
    """

    experiment_id: int
    last_event_id: int
    operations: list[Any]
    files: list[Part]
    base: Part | None = None
    log: Part | None = None
    method: list[Part] | None = None
    answered: int = -1
    answers: str = ""

    def read_operations(self) -> list[Operation]:
        """The operations as values."""
        return operations_from_json(self.operations)

    def parts(self) -> set[str]:
        """Names of the files beside the folder that this generation needs."""
        # A log without a byte need not be there, and is made with the first.
        return {part.name for part in (self.base, self.log) if part is not None and part.size} | names_of(self.method)

    def needs(self) -> set[str]:
        """The same with the answers since."""
        return self.parts() | ({self.answers} if self.answers else set())


def names_of(method: Iterable[Part] | None) -> set[str]:
    """Names of the folders that hold files of a method."""
    return {part.name.split("/", 1)[0] for part in method or ()}


class _Sealed(msgspec.Struct):
    format: int
    sha256: str
    body: msgspec.Raw


def seal(
    folder: Path,
    experiment_id: int,
    last_event_id: int,
    operations: Iterable[Operation],
    base: Part | None = None,
    log: Part | None = None,
    method: list[Part] | None = None,
    answered: int = -1,
    beside: Sequence[Path] = (),
    answers: str = "",
) -> Manifest:
    """Bring a filled folder to the disk and write its manifest, which makes it a generation.

    Args:
        beside: files that it stands on and that are to be on the disk as well.
        answers: name of the file for the answers since.

    Raises:
        ValueError: the method wrote a file under the manifest's name.
    """
    refuse_reserved(folder)
    manifest = Manifest(
        experiment_id=experiment_id,
        last_event_id=last_event_id,
        operations=[operation_to_json(op) for op in operations],
        files=inventory(folder),
        base=base,
        log=log,
        method=method,
        answered=answered,
        answers=answers,
    )
    body = msgspec.json.encode(manifest)
    # Versions that know of no answers can read a manifest without any.
    number = FORMAT if answers else _WITHOUT_ANSWERS
    sealed = _Sealed(number, _digest(number, body), msgspec.Raw(body))
    files.write_file(folder / MANIFEST, msgspec.json.encode(sealed), "runner.state.manifest", sync=False)
    files.sync_tree(folder, "runner.state.files", beside)
    return manifest


def refuse_reserved(folder: Path) -> None:
    """Refuse what a method wrote under the manifest's name.

    Raises:
        ValueError: there is such a file.
    """
    if (folder / MANIFEST).exists():
        raise ValueError(f"save_method_state wrote a file named {MANIFEST}, which is reserved; use another name")


def read(folder: Path, experiment_id: int | None = None) -> Manifest:
    """The manifest of a generation, once it and all files in its folder have been checked.

    Raises:
        CorruptState: anything is missing or changed, or it belongs to another experiment.
        NewerFormat: this version cannot read it.
    """
    manifest = _unseal(folder)
    for part in manifest.files:
        read_part(folder, part)
    if experiment_id is not None and manifest.experiment_id != experiment_id:
        raise CorruptState(f"it belongs to experiment {manifest.experiment_id}, not {experiment_id}")
    return manifest


def _unseal(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if path.is_symlink():
        raise CorruptState(f"{MANIFEST} is a link, not the file that was saved")
    try:
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        if _digest(sealed.format, bytes(sealed.body)) != sealed.sha256:
            raise CorruptState(f"{MANIFEST} has changed since it was saved")
        if sealed.format > FORMAT:
            raise NewerFormat(
                f"{path} has format {sealed.format}, this version reads up to {FORMAT}; "
                "upgrade determined-search to go on with this search"
            )
        return msgspec.json.decode(sealed.body, type=Manifest)
    except OSError as e:
        raise CorruptState(f"{MANIFEST} cannot be read: {e.strerror or e}") from e
    except (msgspec.MsgspecError, ValueError) as e:
        raise CorruptState(f"{MANIFEST} is damaged: {e}") from e


def _digest(number: int, body: bytes) -> str:
    return hashlib.sha256(f"{number}\n".encode() + body).hexdigest()


def inventory(folder: Path) -> list[Part]:
    """Every file below a folder."""
    parts = []
    for root, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            file = Path(root, name)
            if file.is_file() and not file.is_symlink():
                data = file.read_bytes()
                relative = file.relative_to(folder).as_posix()
                parts.append(Part(relative, len(data), hashlib.sha256(data).hexdigest()))
    return parts

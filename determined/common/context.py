"""Packs a model definition for upload: which files go along, and in what form."""

from __future__ import annotations

import base64
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from determined.common.util import sizeof_fmt
from determined.errors import InvalidContext

MAX_CONTEXT_BYTES = 95 << 20
"""All files together; the request that carries them is a third larger."""

DEFAULT_IGNORES = (
    "__pycache__/",
    "*.py[co]",
    "*$py.class",
    "terraform",
    "terraform*",
    ".terraform*",
    ".git/",
    ".vscode/",
    ".idea/",
    ".mypy_cache/",
    "/shared_fs",
)
_IGNORE_FILE = ".detignore"
_NAMED_FILES = 5
_FILE, _FOLDER = ord(tarfile.REGTYPE), ord(tarfile.DIRTYPE)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder that goes along.

    Attributes:
        source: where it is now.
        path: where it will be, relative, with ``/``.
        info: of what ``source`` leads to.
    """

    source: Path
    path: str
    info: os.stat_result

    @property
    def is_folder(self) -> bool:
        """A folder; its content comes as entries of its own."""
        return stat.S_ISDIR(self.info.st_mode)

    @property
    def size_bytes(self) -> int:
        """Size of the content, 0 for a folder."""
        return 0 if self.is_folder else self.info.st_size


def read_context(
    root: str | os.PathLike[str] | None,
    includes: Iterable[str | os.PathLike[str]] = (),
    *,
    limit_bytes: int = MAX_CONTEXT_BYTES,
) -> list[dict[str, Any]]:
    """The files of a model definition as ``POST experiments`` takes them, folders before what is in them.

    Args:
        root: a folder, whose content goes to the top; or a single file; or None for nothing.
        includes: files and folders that go beside it under their own base names.
        limit_bytes: bound for all of them together.

    Raises:
        InvalidContext: something is missing, unreadable, too large, leads outside, or has a name twice.
    """
    entries = list_context(root, includes)
    _check_size(entries, limit_bytes)
    return [_packed(entry) for entry in entries]


def list_context(root: str | os.PathLike[str] | None, includes: Iterable[str | os.PathLike[str]] = ()) -> list[Entry]:
    """What ``read_context`` would pack, without reading it; in a stable order."""
    entries: list[Entry] = []
    if root is not None:
        entries += _tree(Path(root), prefix="")
    for include in includes:
        path = Path(include)
        name = path.resolve().name
        if not name:
            raise InvalidContext(
                f"{os.fspath(include)!r} cannot be included, since it has no name; include what is in it"
            )
        entries += _tree(path, prefix=name)
    _check_names(entries)
    return entries


def _tree(top: Path, prefix: str) -> list[Entry]:
    real = top.resolve()
    try:
        info = real.stat()
    except OSError as error:
        raise InvalidContext(
            f"{top} cannot be packed: {_why(error)}; check the path of the model definition"
        ) from error
    if stat.S_ISREG(info.st_mode):
        return [Entry(real, real.name, info)]
    if not stat.S_ISDIR(info.st_mode):
        raise InvalidContext(f"{top} is neither a folder nor a file; name one of them")
    head = [Entry(real, prefix, info)] if prefix else []
    return head + list(_Walk(real, prefix).entries(real, "", frozenset({real})))


class _Walk:
    """Goes through one folder, leaving out what its ``.detignore`` says."""

    def __init__(self, top: Path, prefix: str) -> None:
        import pathspec

        self._top = top
        self._prefix = f"{prefix}/" if prefix else ""
        try:
            own = (top / _IGNORE_FILE).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            own = []
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidContext(f"{top / _IGNORE_FILE} cannot be read: {error}") from error
        try:
            self._ignored = pathspec.GitIgnoreSpec.from_lines([*DEFAULT_IGNORES, *own])
        except ValueError as error:
            raise InvalidContext(f"{top / _IGNORE_FILE} has a pattern that cannot be used: {error}") from error

    def entries(self, folder: Path, relative: str, above: frozenset[Path]) -> Iterator[Entry]:
        """Everything in ``folder``, sorted; ``above`` are the real folders on the way to it."""
        try:
            names = sorted(child.name for child in folder.iterdir())
        except OSError as error:
            raise _unpackable(folder, _why(error)) from error
        for name in names:
            source, path = folder / name, relative + name
            if name == _IGNORE_FILE or self._ignored.match_file(path) or self._is_ignored_folder(source, path):
                continue
            entry = self._entry(source, path)
            yield entry
            if entry.is_folder:
                real = source.resolve()
                if real in above:
                    raise _unpackable(source, "it links back to a folder that it is in")
                yield from self.entries(source, f"{path}/", above | {real})

    def _is_ignored_folder(self, source: Path, path: str) -> bool:
        return self._ignored.match_file(f"{path}/") and source.is_dir()

    def _entry(self, source: Path, path: str) -> Entry:
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise _unpackable(source, "its name is not UTF-8") from error
        try:
            real = source.resolve(strict=True)
            info = source.stat()
        except (OSError, RuntimeError) as error:
            raise _unpackable(source, "it links to nothing" if source.is_symlink() else _why(error)) from error
        if not real.is_relative_to(self._top):
            raise _unpackable(source, f"it links to {real}, outside of {self._top}", "copy it in, use --include,")
        if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
            raise _unpackable(source, "it is neither a file nor a folder")
        return Entry(source, self._prefix + path, info)


def _check_names(entries: list[Entry]) -> None:
    seen: dict[str, Entry] = {}
    for entry in entries:
        other = seen.setdefault(entry.path, entry)
        if other is not entry:
            raise InvalidContext(
                f"{other.source} and {entry.source} would both become {entry.path!r}; rename one, or do not include it"
            )


def _check_size(entries: list[Entry], limit_bytes: int) -> None:
    total = sum(entry.size_bytes for entry in entries)
    if total <= limit_bytes:
        return
    largest = sorted(entries, key=lambda e: e.size_bytes, reverse=True)[:_NAMED_FILES]
    listed = "".join(f"\n  {sizeof_fmt(e.size_bytes):>9}  {e.path}" for e in largest if e.size_bytes)
    raise InvalidContext(
        f"the model definition has {sizeof_fmt(total)}, and {sizeof_fmt(limit_bytes)} are allowed;"
        f" name what is not needed in {_IGNORE_FILE}, and read data from elsewhere. The largest files:{listed}"
    )


def _packed(entry: Entry) -> dict[str, Any]:
    content = b""
    if not entry.is_folder:
        try:
            content = entry.source.read_bytes()
        except OSError as error:
            raise _unpackable(entry.source, _why(error)) from error
    return {
        "path": entry.path,
        "type": _FOLDER if entry.is_folder else _FILE,
        "content": base64.b64encode(content).decode("ascii"),
        "mode": entry.info.st_mode,
        "mtime": str(int(entry.info.st_mtime)),
        "uid": 0,
        "gid": 0,
    }


def _unpackable(source: Path, why: str, also: str = "") -> InvalidContext:
    way_out = f"{also} or name it in {_IGNORE_FILE}" if also else f"remove it, or name it in {_IGNORE_FILE}"
    return InvalidContext(f"{str(source)!r} cannot be packed: {why}; {way_out}")


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)

"""Model definitions on disk: one gzipped tar each, named by the hash of its contents.

Archives are written once and never changed, so experiments with the same files share one. The archive is made here,
from checked members; nothing of the client's archive formats reaches the disk.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
import threading
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from determined import files
from determined.errors import InvalidContext, NotFound, StorageFailed, TooLarge
from determined.master.service.ports import ContextFile

MAX_BYTES = 96 * 1024 * 1024
"""Of the raw files of one model definition."""
MAX_FILES = 20_000
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4096


def check_files(files: Sequence[ContextFile]) -> None:
    """Refuse a model definition that cannot be unpacked safely and as it was meant.

    Raises:
        InvalidContext: naming the member and what is wrong with it.
        TooLarge: more files or bytes than are allowed.
    """
    if len(files) > MAX_FILES:
        raise TooLarge(f"the model definition has {len(files)} files (allowed: {MAX_FILES}); list some in .detignore")
    size = sum(len(f.content) for f in files if f.content is not None)
    if size > MAX_BYTES:
        raise TooLarge(f"the model definition has {size} bytes (allowed: {MAX_BYTES}); list large files in .detignore")
    kinds: dict[str, bool] = {}
    for f in files:
        path = _check_path(f.path)
        is_folder = f.content is None
        if path in kinds:
            raise InvalidContext(f"the model definition holds {f.path!r} twice")
        kinds[path] = is_folder
    for path in kinds:
        for parent in PurePosixPath(path).parents:
            if kinds.get(str(parent)) is False:
                raise InvalidContext(f"{path!r} lies below {str(parent)!r}, which is a file")


def _check_path(path: str) -> str:
    pure = PurePosixPath(path)
    if not path or "\0" in path:
        raise InvalidContext(f"the model definition holds the path {path!r}; give each file a name")
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        raise InvalidContext(f"the path {path!r} is not valid Unicode; rename the file") from None
    if pure.is_absolute() or ".." in pure.parts:
        raise InvalidContext(f"the path {path!r} leaves the model definition; use paths relative to its folder")
    if len(raw) > MAX_PATH_BYTES or any(len(p.encode()) > MAX_NAME_BYTES for p in pure.parts):
        raise InvalidContext(f"the path {path[:80]!r}... is too long (allowed: {MAX_NAME_BYTES} bytes a name)")
    if not pure.parts:
        raise InvalidContext(f"the path {path!r} names the folder itself")
    return str(pure)


def archive(files: Sequence[ContextFile]) -> bytes:
    """A gzipped tar of checked files; the same files give the same bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for f in sorted(files, key=lambda f: PurePosixPath(f.path).parts):
            info = tarfile.TarInfo(str(PurePosixPath(f.path)))
            info.mtime = f.mtime
            info.mode = stat.S_IMODE(f.mode) & 0o777 | (0o700 if f.content is None else 0o600)
            if f.content is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(f.content)
                tar.addfile(info, io.BytesIO(f.content))
    return gzip.compress(plain.getvalue(), compresslevel=6, mtime=0)


class Contexts:
    """The folder of archives. Blocking: call it from a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._turn = threading.Lock()
        files.make_folder(folder, "master.contexts")
        # An archive of a dead master's may be found whose name is not on the disk yet.
        files.settle(folder)
        for left in folder.glob(".*.new"):
            files.remove(left, "master.context.clear")

    def path(self, name: str) -> Path:
        """Where the archive of this name lies."""
        return self.folder / f"{name}.tgz"

    def put(self, data: bytes) -> str:
        """Store an archive durably.

        Returns:
            Its name: the SHA-256 of its bytes, in hex.
        Raises:
            StorageFailed: the disk refuses it.
        """
        name = hashlib.sha256(data).hexdigest()
        target = self.path(name)
        with self._turn:
            if not target.exists():
                try:
                    files.replace_file(target, data, "master.context", 0o600)
                except OSError as error:
                    raise StorageFailed(
                        error.errno, f"cannot store the model definition: {error.strerror}; nothing was stored"
                    ) from error
        return name

    def get(self, name: str) -> bytes:
        """The archive of this name.

        Raises:
            NotFound: it is not there.
        """
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the model definition {name} is missing from {self.folder}") from None

"""Unpacking a model definition into a run's working folder, without writing anywhere else."""

from __future__ import annotations

import errno
import gzip
import lzma
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from determined.errors import InvalidContext

_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError)
_BAD_NAMES = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP)
_ADVICE = "Pack the folder again with plain files, folders and relative links."


def unpack(archive: Path, target: Path) -> None:
    """Unpack a (gzipped) tar into an existing, empty folder.

    Raises:
        InvalidContext: it is not a whole archive, or a member would land or point outside of the folder.
        OSError: the archive cannot be opened, or the disk refuses.
    """
    with archive.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:*") as tar:
                for member in tar:
                    _extract(tar, member, target)
                _read_to_end(tar)
        except InvalidContext:
            raise
        except _DAMAGE as error:
            raise InvalidContext(f"the model definition {archive.name} is damaged: {error}. {_ADVICE}") from error


def _read_to_end(tar: tarfile.TarFile) -> None:
    """Only at its very end does a compressed stream show that it is whole."""
    stream = tar.fileobj
    while stream.read(1 << 20):
        continue


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    name = PurePosixPath(member.name)
    _check_name(name, member.name)
    _check_kind(member)
    member.mode = (member.mode & 0o755) | (0o700 if member.isdir() else 0o600)
    member.uid = member.gid = -1
    member.uname = member.gname = ""
    try:
        _check_way(name, target, member)
        if hasattr(tarfile, "data_filter"):
            tar.extract(member, target, filter="data")
        else:
            tar.extract(member, target, numeric_owner=True)
    except OSError as error:
        if error.errno not in _BAD_NAMES:
            raise
        raise InvalidContext(
            f"the model definition's member {member.name!r} cannot be unpacked: {error.strerror}. {_ADVICE}"
        ) from error


def _check_name(name: PurePosixPath, text: str) -> None:
    if name.is_absolute() or ".." in name.parts or "\0" in text:
        raise InvalidContext(f"the model definition has a member {text!r} outside of its folder. {_ADVICE}")


def _check_kind(member: tarfile.TarInfo) -> None:
    if member.isreg() or member.isdir():
        return
    if not member.issym():
        raise InvalidContext(
            f"the model definition has a member {member.name!r} that is a device, a FIFO or a hard link. {_ADVICE}"
        )
    link = PurePosixPath(member.linkname)
    ups = 0
    while ups < len(link.parts) and link.parts[ups] == "..":
        ups += 1
    depth = len(PurePosixPath(member.name).parts) - 1
    if link.is_absolute() or ".." in link.parts[ups:] or ups > depth:
        raise InvalidContext(
            f"the model definition has a link {member.name!r} to {member.linkname!r}, which may be outside of its "
            f"folder. {_ADVICE}"
        )


def _check_way(name: PurePosixPath, target: Path, member: tarfile.TarInfo) -> None:
    """No member is written through, or over, a link that came earlier."""
    place = target
    for part in name.parts:
        place /= part
        if place.is_symlink():
            raise InvalidContext(
                f"the model definition has a member {member.name!r} whose path goes through a link. {_ADVICE}"
            )

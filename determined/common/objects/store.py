"""One object store, opened through fsspec: bytes in and out, tried again while that can help."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from determined.common.objects.names import checked_relative
from determined.common.objects.place import DRIVERS, Place, missing_package
from determined.common.objects.transfer import PIECE_BYTES, Tally, Watcher, run_all
from determined.common.objects.trouble import explained, may_pass
from determined.errors import DeterminedError, InvalidInput, NotFound, StorageFailed

logger = logging.getLogger("determined.storage")
T = TypeVar("T")

PATIENCE_S = 300.0
"""How long a store that does not answer is tried again, before a transfer fails."""
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 10.0
_PART_BYTES = 8 << 20
_MOST_PARTS = 9000


class ObjectStore:
    """Objects under one place. Safe to use from several threads.

    Every method raises errors of ours only, each one sentence: PermissionDenied (credentials), NotFound (no such
    bucket), Unavailable (not reached in time), StorageFailed (anything else), InvalidInput (a package is missing).

    Args:
        place: where.
        patience_s: how long to try again what a later try may do, in seconds.
    """

    def __init__(self, place: Place, patience_s: float = PATIENCE_S) -> None:
        self.place = place
        self._patience_s = patience_s

    def __repr__(self) -> str:
        return str(self.place)

    def patient(self, seconds: float) -> ObjectStore:
        """The same store with another patience."""
        other = ObjectStore(self.place, seconds)
        other.__dict__["_files"] = self._files
        return other

    @functools.cached_property
    def _files(self) -> Any:
        protocol = self.place.protocol
        if problem := missing_package(protocol):
            raise InvalidInput(f"{self.place} {problem}")
        import fsspec

        # Names that this process remembers are no proof of what is there.
        options: dict[str, Any] = {"use_listings_cache": False, **self.place.options}
        if protocol == "s3":
            # It is tried again here, and told; botocore would be silent about it for long.
            options["config_kwargs"] = {"retries": {"mode": "standard", "total_max_attempts": 2}}
        try:
            return fsspec.filesystem(protocol, **options)
        except (ImportError, ValueError) as error:
            text = self.place.without_secrets(str(error))
            schemes = ", ".join(f"{name}://" for name in DRIVERS)
            raise InvalidInput(f"{self.place} cannot be opened ({text}); use a path, or one of {schemes}") from error
        except Exception as error:
            raise explained(error, self.place) from error

    def write(self, name: str, data: bytes) -> None:
        """Make one object of ``data``."""
        self._try(lambda: self._files.pipe_file(self._path(name), data))

    def write_file(self, source: Path, name: str) -> None:
        """Make one object of a file; large ones go in parts.

        Raises:
            OSError: the file cannot be read.
        """
        options = _part_options(self.place.protocol, source.stat().st_size)
        # A file that is gone must not look as if the bucket were.
        with source.open("rb"):
            self._try(lambda: self._files.put_file(str(source), self._path(name), **options))

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """The bytes of an object, or those from ``start`` up to, but without, ``end``.

        Raises:
            NotFound: it is not there.
        """
        part = {} if start is None else {"start": start, "end": end}
        try:
            return self._try(lambda: bytes(self._files.cat_file(self._path(name), **part)))
        except NotFound as error:
            raise NotFound(f"{name} is not in {self.place}") from error

    def sizes(self, folder: str) -> dict[str, int]:
        """Relative path -> size in bytes of all objects below ``folder``; the folders between them end in "/"."""
        path = self._path(folder)
        found = self._try(lambda: self._files.find(path, detail=True))
        start = len(self._files._strip_protocol(path).strip("/")) + 1
        sizes: dict[str, int] = {}
        for full, entry in sorted(found.items()):
            # Other clients mark a folder by an empty object.
            is_folder = entry.get("type") == "directory" or full.endswith("/")
            if not (name := full.strip("/")[start:]):
                continue
            checked_relative(name)
            for count in range(1, name.count("/") + 1):
                sizes["/".join(name.split("/")[:count]) + "/"] = 0
            sizes[name + "/" if is_folder else name] = 0 if is_folder else int(entry.get("size") or 0)
        return sizes

    def remove(self, name: str) -> None:
        """Remove one object; one that is not there is ignored."""

        def remove() -> None:
            try:
                self._files.rm_file(self._path(name))
            except FileNotFoundError as error:
                if _is_missing_bucket(error):
                    raise
            except KeyError:
                # The file system in memory says it in this way.
                return

        self._try(remove)

    def remove_folder(self, folder: str) -> None:
        """Remove all objects below ``folder``; none is fine."""

        def remove() -> None:
            try:
                self._files.rm(self._path(folder), recursive=True)
            except FileNotFoundError as error:
                # A bucket that is missing would be told in the same way.
                if _is_missing_bucket(error):
                    raise

        self._try(remove)

    def abort_parts(self, folder: str) -> None:
        """Drop the parts of uploads below ``folder`` that somebody began and did not end.

        They are no objects, but are paid for. Google's and Azure's stores drop them by themselves after a week.
        """
        if self.place.protocol != "s3":
            return
        bucket, _, prefix = self._path(folder).partition("/")
        try:
            answer = self._files.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/")
            for upload in answer.get("Uploads") or ():
                key, upload_id = upload["Key"], upload["UploadId"]
                self._files.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload_id)
        except Exception as error:
            # Needs rights of its own, and nothing but the bill depends on it.
            logger.info("unfinished parts below %s/%s stay (%s)", self.place, folder, explained(error, self.place))

    def upload(self, source: Path, names: Iterable[str], folder: str, done: Callable[[str], None]) -> None:
        """Make objects of files of ``source``, several at a time; ``done`` hears of each from whatever thread.

        Raises:
            OSError: a file cannot be read.
            StorageFailed: what is in the store afterwards is not as large as the files are.
        """
        sizes = {checked_relative(name): (source / name).stat().st_size for name in names}

        def job(name: str) -> None:
            self.write_file(source / name, f"{folder}/{name}")
            done(name)

        run_all([functools.partial(job, name) for name in sizes])
        there = self.sizes(folder) if sizes else {}
        for name, size in sizes.items():
            if there.get(name) != size:
                raise StorageFailed(
                    f"{folder}/{name} has {there.get(name, 'no')} bytes in {self.place}, and {size} here;"
                    " was the file written to while it was uploaded? try again"
                )

    def download(self, folder: str, sizes: Mapping[str, int], target: Path, watch: Watcher | None = None) -> None:
        """Fetch files below ``folder`` into ``target``, several at a time and large ones in pieces.

        Args:
            sizes: what to fetch, as ``sizes()`` tells it; folders in it are made.
            watch: is told how far it is.
        Raises:
            StorageFailed: a file is not as large as it was when listed.
        """
        target.mkdir(parents=True, exist_ok=True)
        wanted = {name: size for name, size in sizes.items() if not name.endswith("/")}
        for name in sizes:
            place = target / checked_relative(name)
            (place if name.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        for name, size in wanted.items():
            with (target / name).open("wb") as file:
                file.truncate(size)
        tally = Tally(wanted, watch)
        pieces = [
            functools.partial(self._fetch, f"{folder}/{name}", target / name, name, start, size)
            for name, size in wanted.items()
            for start in range(0, max(size, 1), PIECE_BYTES)
        ]
        run_all(pieces, lambda piece: tally.add(*piece))

    def _fetch(self, path: str, target: Path, name: str, start: int, size: int) -> tuple[str, int]:
        end = min(start + PIECE_BYTES, size)
        whole = start == 0 and end == size
        data = b"" if size == 0 else self.read(path) if whole else self.read(path, start, end)
        if len(data) != end - start:
            raise StorageFailed(
                f"{path} in {self.place} gave {len(data)} bytes instead of {end - start}; it was changed meanwhile,"
                " or is damaged"
            )
        with target.open("r+b") as file:
            file.seek(start)
            file.write(data)
        return name, end - start

    def _path(self, name: str) -> str:
        return f"{self.place.root}/{checked_relative(name)}"

    def _try(self, call: Callable[[], T]) -> T:
        began, pause = time.monotonic(), _FIRST_PAUSE_S
        was_told = False
        while True:
            try:
                answer = call()
            except DeterminedError:
                raise
            except Exception as error:
                waited = time.monotonic() - began
                if waited >= self._patience_s or not may_pass(error):
                    raise explained(error, self.place, waited) from error
                if not was_told:
                    text = self.place.without_secrets(str(error))
                    logger.warning("%s does not answer (%s); trying for %.0f s", self.place, text, self._patience_s)
                    was_told = True
                time.sleep(min(pause * random.uniform(0.5, 1.0), self._patience_s - waited))
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                continue
            if was_told:
                logger.warning("%s answers again, after %.0f s", self.place, time.monotonic() - began)
            return answer


def _part_options(protocol: str, size: int) -> dict[str, Any]:
    """How a file of that size goes up. A file system would else hold up to 100 MB of each file in memory."""
    if protocol == "s3":
        return {"chunksize": max(_PART_BYTES, -(-size // _MOST_PARTS)), "max_concurrency": 4}
    if protocol in ("gs", "gcs"):
        return {"chunksize": _PART_BYTES}
    return {"max_concurrency": 4} if protocol in ("abfs", "az") else {}


def _is_missing_bucket(error: BaseException) -> bool:
    response = getattr(error.__cause__, "response", None)
    return isinstance(response, dict) and response.get("Error", {}).get("Code") == "NoSuchBucket"

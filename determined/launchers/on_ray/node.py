"""What a node keeps for the runs of one master: a folder for each keeper, and a store of model definitions.

Everything is scratch: it is of use only as long as the keeper lives. Blocking: call it from a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import urllib3

from determined import files
from determined.errors import FailedPrecondition, Unavailable
from determined.launchers import sweep
from determined.launchers.deleting import delete_tree
from determined.launchers.on_ray.wire import ContextPlace

RUNS = "runs"
"""Folder of runs in a keeper's folder; that of `determined.launchers.local.LocalLauncher`."""
MAX_CONTEXTS = 32
"""Model definitions that a node keeps for later runs."""
MAX_BACKOFF_S = 5.0
_OWNER = "keeper.lock"
_CONTEXTS = ".contexts"
_TIMEOUT = urllib3.Timeout(connect=10.0, read=120.0)


class NodeFolder:
    """A master's folder on this node, below the folder for temporary files (``TMPDIR``)."""

    def __init__(self, cluster: str) -> None:
        """Make the folder.

        Raises:
            FailedPrecondition: it is somebody else's.
        """
        top = Path(tempfile.gettempdir()) / f"determined-ray-{os.getuid()}"
        files.make_folder(top, "node.folder", 0o700)
        if top.is_symlink() or top.stat().st_uid != os.getuid():
            raise FailedPrecondition(f"{top} belongs to somebody else; remove it, or set TMPDIR where Ray is started.")
        self.path = top / cluster
        files.make_folder(self.path, "node.cluster", 0o700)

    def claim(self, keeper: str) -> Path:
        """Make a keeper's folder; it counts as ours until this process ends."""
        folder = self.path / keeper
        with self._locked():
            files.make_folder(folder, "node.keeper", 0o700)
            # Never closed: a lock that is free says that the keeper is dead.
            if sweep.take_lock(folder / _OWNER) is None:
                raise FailedPrecondition(f"another process keeps the runs of {folder}")
        return folder

    def clear(self) -> None:
        """End and delete what keepers that died have left."""
        for folder in self.path.iterdir():
            if not folder.name.startswith("."):
                self.sweep(folder)

    def sweep(self, folder: Path) -> None:
        """Kill what is left of a keeper's runs, and delete its folder, if it is dead."""
        owner = None
        with self._locked(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            owner = sweep.take_lock(folder / _OWNER)
        if owner is not None:
            try:
                for run in (folder / RUNS).glob("[!.]*"):
                    sweep.kill_all(run, (), lambda: False)
                delete_tree(folder)
            finally:
                os.close(owner)

    def fetch(self, place: ContextPlace, folder: Path, certificate: Path | None = None) -> Path:
        """Put a model definition into a folder; runs of this node that want the same one fetch it once.

        Waits for a master that is away, for ever.

        Args:
            certificate: what the master's certificate is checked against; None for what this node trusts.

        Raises:
            Unavailable: the master refuses it.
        """
        store = self.path / _CONTEXTS
        files.make_folder(store, "node.contexts", 0o700)
        kept, mine = store / place.sha256, folder / Path(place.name).name
        with _lock(store / f".{place.sha256}.lock"):
            if not kept.exists():
                files.replace_file(kept, _download(place, certificate), "node.context", 0o600, sync=False)
                self._evict(store, kept)
            with files.action("node.context.use"):
                mine.unlink(missing_ok=True)
                mine.hardlink_to(kept)
                os.utime(kept)
        return mine

    def _evict(self, store: Path, new: Path) -> None:
        """Forget the definitions that were not used for longest; runs that use them have links of their own."""
        kept = sorted((path for path in store.glob("[!.]*") if path != new), key=lambda path: _used_at(path))
        for path in kept[: max(len(kept) + 1 - MAX_CONTEXTS, 0)]:
            files.remove(path, "node.context.evict")
            files.remove(store / f".{path.name}.lock", "node.context.evict_lock")

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return _lock(self.path / ".lock")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _used_at(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


@contextlib.contextmanager
def _waiting_for_the_master(url: str) -> Iterator[None]:
    """Lets pass what a master that is away looks like, but not one that is another."""
    try:
        yield
    except urllib3.exceptions.SSLError as error:
        raise Unavailable(f"the certificate of the master at {url} cannot be trusted: {error}") from error
    except urllib3.exceptions.HTTPError:
        return


class _Definition(msgspec.Struct):
    data: bytes = msgspec.field(name="b64Tgz")


def _download(place: ContextPlace, certificate: Path | None) -> bytes:
    backoff_s = 0.1
    tls = ssl.create_default_context()
    if certificate is not None:
        tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        tls.load_verify_locations(certificate)
    with urllib3.PoolManager(
        retries=False, timeout=_TIMEOUT, ssl_context=tls, assert_hostname=place.server_name
    ) as pool:
        while True:
            with _waiting_for_the_master(place.url):
                answer = pool.request("GET", place.url, headers=dict(place.headers))
                if answer.status == 200:
                    data = msgspec.json.decode(answer.data, type=_Definition).data
                    if hashlib.sha256(data).hexdigest() == place.sha256:
                        return data
                    raise Unavailable(f"{place.url} answered with another model definition than {place.sha256}")
                if answer.status < 500:
                    said = answer.data[:300].decode("utf-8", "replace")
                    raise Unavailable(
                        f"the master refuses the model definition at {place.url} ({answer.status}): {said}"
                    )
            time.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

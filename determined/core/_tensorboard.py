"""TensorBoard files of a run: written to a local folder, copied to checkpoint storage for others to read.

Optional throughout: without a writer library metrics are just not mirrored, and without files nothing is copied.
"""

from __future__ import annotations

import enum
import logging
import math
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from determined.core._storage import Storage

logger = logging.getLogger("determined.core")

PathSelector = Callable[[Path], bool]
Mangler = Callable[[Path, int], Path]


class TensorboardMode(enum.Enum):
    """Who fills and uploads the TensorBoard folder."""

    AUTO = "AUTO"
    """Reported metrics are mirrored there, and its files are uploaded in the background."""
    MANUAL = "MANUAL"
    """The script does both, with ``upload_tensorboard_files``."""


def tensorboard_prefix(cluster_id: str, experiment_id: int, trial_id: int) -> str:
    """Where the files of a trial lie, relative to the root of checkpoint storage."""
    return f"{cluster_id}/tensorboard/experiment/{experiment_id}/trial/{trial_id}"


class TensorboardFiles:
    """A local folder whose files are copied to checkpoint storage when they have changed.

    Args:
        storage: where to.
        prefix: under which name there.
    """

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage = storage
        self._prefix = prefix
        self._folder: Path | None = None
        self._sent: dict[Path, tuple[int, int]] = {}
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """The local folder, made when first asked for."""
        if self._folder is None:
            import tempfile

            self._folder = Path(tempfile.mkdtemp(prefix="tensorboard-"))
        return self._folder

    def upload(
        self, selector: PathSelector = lambda _: True, mangler: Mangler = lambda path, _: path, rank: int = 0
    ) -> None:
        """Copy the files that were added or changed since the last time.

        Args:
            selector: says whether a file, given with its local path, is wanted.
            mangler: from a path relative to the folder, and the rank, to the relative path in storage.
            rank: of this process.
        """
        if self._folder is None:
            return
        with self._lock:
            for path in sorted(p for p in self._folder.rglob("*") if p.is_file() and selector(p)):
                status = path.stat()
                version = (status.st_mtime_ns, status.st_size)
                if self._sent.get(path) != version:
                    name = mangler(path.relative_to(self._folder), rank)
                    self._storage.put(path, f"{self._prefix}/{name.as_posix()}")
                    self._sent[path] = version

    def remove(self) -> None:
        """Remove the local folder."""
        if self._folder is not None:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class Mirror:
    """Writes reported metrics to the folder, and uploads it from a thread of its own."""

    def __init__(self, files: TensorboardFiles) -> None:
        self._files = files
        self._writer: Any = None
        self._wanted = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, steps_completed: int, metrics: Mapping[str, Any]) -> None:
        """Mirror the numbers among ``metrics``; what goes wrong is logged and never stops training."""
        if self._writer is None:
            self._writer = _find_writer(self._files)
        if self._writer is not None:
            self._write(steps_completed, metrics)
        self.sync()

    def _write(self, steps_completed: int, metrics: Mapping[str, Any]) -> None:
        try:
            for name, value in metrics.items():
                if isinstance(value, (int, float)) and math.isfinite(value):
                    self._writer.add_scalar(f"Determined/{name}", value, steps_completed)
            self._writer.flush()
        except Exception as error:
            logger.warning("metrics were not mirrored to TensorBoard (%s)", error)

    def sync(self) -> None:
        """Have changed files uploaded soon."""
        if self._files._folder is None or self._closed:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="tensorboard-upload", daemon=True)
            self._thread.start()
        self._wanted.set()

    def close(self) -> None:
        """Upload what is left, and stop."""
        self._closed = True
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()
        if self._writer is not None:
            self._writer.close()
        self._upload()

    def _run(self) -> None:
        while not self._closed:
            self._wanted.wait()
            self._wanted.clear()
            self._upload()

    def _upload(self) -> None:
        try:
            self._files.upload()
        except Exception as error:
            logger.warning("TensorBoard files were not uploaded (%s)", error)


def _find_writer(files: TensorboardFiles) -> Any:
    import importlib

    # Importing a deep-learning library takes seconds: only use one that the script has imported already.
    for library, module in (("tensorboardX", "tensorboardX"), ("torch", "torch.utils.tensorboard")):
        if library in sys.modules:
            try:
                return importlib.import_module(module).SummaryWriter(str(files.folder))
            except ImportError as error:
                logger.debug("no TensorBoard writer in %s (%s)", module, error)
    return None

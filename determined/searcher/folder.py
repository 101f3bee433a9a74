"""The folder of a local search: who works in it, which experiment it is about, and the promise made before that.

The experiment is created under a key that is on the disk before the first request, so a runner that dies at any
moment finds the same experiment again, and never starts a second one.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from determined import files
from determined.errors import CorruptState, FailedPrecondition, InvalidInput, RunnerBusy

EXPERIMENT_ID_FILE = "experiment_id.txt"
INTENT_FILE = "intent.json"
LOCK_FILE = ".searcher.lock"
HOLDER_FILE = ".searcher.pid"
FORMAT = 1


class Intent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was decided before the experiment existed.

    Attributes:
        client_key: the experiment is created under this key, once.
        cluster_id: the master that was asked; "" when it did not say.
        master_url: where it was then.
    """

    format: int = FORMAT
    client_key: str
    cluster_id: str = ""
    master_url: str = ""


class SearcherFolder:
    """``searcher_dir`` of a local search.

    Raises:
        FileExistsError: the path names something that is no folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_dir():
            raise FileExistsError(f"searcher_dir={path} exists and is no folder; give another searcher_dir")
        files.make_folder(path, "runner.home")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other runner out while the block runs.

        Raises:
            RunnerBusy: another runner is in.
            InvalidInput: the folder cannot be written to.
        """
        lock = FileLock(self.path / LOCK_FILE, timeout=0, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout:
            raise RunnerBusy(
                f"another search runner{self._holder()} works in {self.path}; "
                "wait until it has ended, or give another searcher_dir for another search"
            ) from None
        except OSError as e:
            raise InvalidInput(f"searcher_dir={self.path} cannot be written to ({e}); give another one") from e
        try:
            files.settle(self.path)
            files.write_file(self.path / HOLDER_FILE, str(os.getpid()).encode(), "runner.holder", sync=False)
            yield
        finally:
            lock.release()

    def _holder(self) -> str:
        try:
            return f" (process {int((self.path / HOLDER_FILE).read_text())})"
        except (OSError, ValueError):
            return ""

    def experiment_id(self) -> int | None:
        """The experiment of this folder, None while it has none.

        A file that cannot be read counts as none while there is an intent, since that finds the experiment again.

        Raises:
            CorruptState: it cannot be read, and nothing else tells.
        """
        file = self.path / EXPERIMENT_ID_FILE
        if not file.exists():
            return None
        text = file.read_bytes()[:100].decode(errors="replace").strip()
        if text.isascii() and text.isdigit():
            return int(text)
        if (self.path / INTENT_FILE).exists():
            return None
        raise CorruptState(
            f"{file} should hold the number of an experiment, but holds {text!r}. Write the number there if you know "
            "it (`det e list` shows it), or remove the file to start a new search."
        )

    def record_experiment(self, experiment_id: int) -> None:
        """Note which experiment was created; on disk when this returns."""
        files.replace_file(self.path / EXPERIMENT_ID_FILE, str(experiment_id).encode(), "runner.experiment_id")

    def intent(self) -> Intent | None:
        """What was decided at the start of this search, None if nothing was yet.

        Raises:
            CorruptState: the file is damaged or from a newer version.
        """
        file = self.path / INTENT_FILE
        if not file.exists():
            return None
        try:
            intent = msgspec.json.decode(file.read_bytes(), type=Intent)
        except (msgspec.MsgspecError, OSError, ValueError) as e:
            raise CorruptState(
                f"{file} is damaged ({e}). Without it nobody knows whether the experiment was created: look for it "
                "with `det e list`, then start again with another searcher_dir."
            ) from e
        if intent.format > FORMAT:
            raise CorruptState(f"{file} has format {intent.format}, this version reads up to {FORMAT}; upgrade it")
        return intent

    def decide(self, cluster_id: str, master_url: str) -> Intent:
        """The intent of this search, made and kept now if there is none."""
        intent = self.intent()
        if intent is None:
            intent = Intent(client_key=str(uuid.uuid4()), cluster_id=cluster_id, master_url=master_url)
            files.replace_file(self.path / INTENT_FILE, msgspec.json.encode(intent), "runner.intent")
        return intent

    def check_cluster(self, cluster_id: str, master_url: str) -> None:
        """Refuse to go on with this search on a master that does not know it.

        Raises:
            FailedPrecondition: the search was started on another master.
        """
        intent = self.intent()
        if intent is not None and cluster_id and intent.cluster_id not in ("", cluster_id):
            raise FailedPrecondition(
                f"the search in {self.path} runs on the master that was at {intent.master_url}, but {master_url} is "
                "another one; set DET_MASTER to the first, or give another searcher_dir for a new search"
            )

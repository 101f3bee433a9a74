"""Shows how far a download is: a bar on a terminal, a line now and then elsewhere. Always on standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from determined.common.objects.transfer import Moved

SWITCH = "DET_PROGRESS"
_LINES = 10
"""Without a terminal, so many lines at most."""


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Callable[[Moved], None] | None]:
    """Something to tell how far it is, while the block runs; None when nobody wants to know."""
    if quiet or os.environ.get(SWITCH) == "0":
        yield None
    elif sys.stderr.isatty():
        with _bar() as tell:
            yield tell
    else:
        yield _Lines().tell


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[Moved], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    files = TextColumn("{task.fields[files]}")
    columns = (files, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("download", total=None, files="")

        def tell(moved: Moved) -> None:
            bar.update(
                task,
                total=moved.size_bytes,
                completed=moved.bytes_done,
                files=f"{moved.files_done} of {moved.files} files",
            )

        yield tell


class _Lines:
    def __init__(self) -> None:
        self._tenth = 0

    def tell(self, moved: Moved) -> None:
        tenth = _LINES * moved.bytes_done // moved.size_bytes if moved.size_bytes else _LINES
        if tenth > self._tenth:
            self._tenth = tenth
            print(
                f"Downloaded {moved.files_done} of {moved.files} files,"
                f" {moved.bytes_done / 1e6:.1f} of {moved.size_bytes / 1e6:.1f} MB",
                file=sys.stderr,
                flush=True,
            )

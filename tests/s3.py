"""A real server of S3's protocol as a process of its own, and what is in its buckets."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from determined.common.objects.place import Place, place_of

SCRIPT = Path(__file__).parent / "scripts" / "s3_server.py"


class S3Server:
    """moto's server; a context manager that leaves no process behind.

    Args:
        users: only ``key`` with ``secret`` may do anything, instead of everybody.
    """

    def __init__(self, users: bool = False) -> None:
        self._users = users

    def __enter__(self) -> S3Server:
        command = [sys.executable, str(SCRIPT), *(["users"] if self._users else [])]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        port, self.key, self.secret = self._process.stdout.readline().split()
        self.url = f"http://127.0.0.1:{port}"
        self._seen: list[str] = []
        self._news = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._news:
                self._seen.append(line.strip())
                self._news.notify_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def tell(self, order: str) -> None:
        """Give an order, see the script; returns once it is obeyed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().split() == order.split()[:1]

    def mark(self) -> int:
        """How many requests there were until now."""
        return len(self._seen)

    def until(self, *parts: str, times: int = 1, since: int = 0) -> list[str]:
        """Wait until so many requests since the mark have all these parts in their lines; returns the lines."""

        def found() -> list[str]:
            return [line for line in self._seen[since:] if all(part in line for part in parts)]

        with self._news:
            assert self._news.wait_for(lambda: len(found()) >= times, timeout=60), self._seen[since:]
        return found()

    def section(self, **more: Any) -> dict[str, Any]:
        """A ``checkpoint_storage`` section for a bucket that is made now."""
        section = {
            "type": "s3",
            "bucket": f"bucket-{uuid.uuid4()}",
            "prefix": "some/prefix",
            "access_key": self.key,
            "secret_key": self.secret,
            "endpoint_url": self.url,
            **more,
        }
        self.files().mkdir(section["bucket"])
        return section

    def files(self) -> Any:
        """The server as a file system that remembers nothing."""
        return self._files

    @functools.cached_property
    def _files(self) -> Any:
        import fsspec

        options = {"key": self.key, "secret": self.secret, "client_kwargs": {"endpoint_url": self.url}}
        return fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True, **options)

    def names(self, section: dict[str, Any]) -> list[str]:
        """Every object below the place of a section, relative to it."""
        root = place_of(section).root
        return [path[len(root) + 1 :] for path in self.files().find(root)]

    def place(self, section: dict[str, Any]) -> Place:
        """The place of a section."""
        return place_of(section)

"""Orders searches from the zygote, and reads what came of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.digest import digest

ROOT = Path(__file__).parent.parent.parent
Death = tuple[str, int]


class Broken(Exception):
    """A search did not come to its end."""


@dataclass
class Stage:
    """Plays searches."""

    home: Path
    zygote: subprocess.Popen[str]
    played: int = 0

    def play(self, *deaths: Death, plant: str = "") -> tuple[dict[str, Any], list[Death], int]:
        """One search: its digest, the steps of its last master, and how many masters died.

        Raises:
            Broken: it did not end as completed.
        """
        self.played += 1
        folder = self.home / str(self.played)
        folder.mkdir()
        assert self.zygote.stdin is not None
        assert self.zygote.stdout is not None
        order = {"folder": str(folder), "deaths": deaths, "plant": plant}
        self.zygote.stdin.write(json.dumps(order) + "\n")
        self.zygote.stdin.flush()
        answer = json.loads(self.zygote.stdout.readline())
        if answer["code"] != 0:
            log = folder / "runner.log"
            told = answer.get("told") or (log.read_text()[-3000:] if log.exists() else "")
            raise Broken(f"after {deaths}: {answer['code']}\n{told}")
        found = digest(folder / "data")
        shutil.rmtree(folder)
        return found, [(name, n) for name, n in answer["steps"]], answer["died"]


@contextmanager
def opened() -> Iterator[Stage]:
    """A stage, in memory where there is a folder for that."""
    memory = Path("/dev/shm")
    command = [sys.executable, "-m", "tests.crash.zygote"]
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as home:
        zygote = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        try:
            yield Stage(Path(home), zygote)
        finally:
            assert zygote.stdin is not None
            assert zygote.stdout is not None
            zygote.stdin.close()
            zygote.wait()
            zygote.stdout.close()

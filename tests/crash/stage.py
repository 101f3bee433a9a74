"""Orders searches from the zygote, and reads what came of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from determined.testing.cluster import TEST_DB
from determined.testing.digest import digest
from determined.testing.postgres import shared_server
from tests.crash.ask import ask

ROOT = Path(__file__).parent.parent.parent
Death = tuple[str, int]
ShimDeath = tuple[int, str, int]
SHARE = max(int(os.environ.get("DET_CRASH_SHARE", "40")), 1)
"""One in so many points is played; ``make crash`` plays all."""
BEGINS = {"ours": "hello from trial"}
"""What a trial's log says of each piece of work that it does, by search."""


class Broken(Exception):
    """A search did not come to its end."""


@dataclass(frozen=True)
class Played:
    """One search, from nothing to its end.

    Attributes:
        digest: what must be equal.
        steps: those of the last master.
        died: how many masters.
        shim_steps: of the processes beside the runs.
        unnamed: changes of files that passed no step.
        restarts: of all trials.
    """

    digest: dict[str, Any]
    steps: Sequence[Death]
    died: int
    shim_steps: Sequence[ShimDeath]
    unnamed: Sequence[str]
    restarts: int


@dataclass
class Stage:
    """Plays searches."""

    home: Path
    zygote: subprocess.Popen[str]
    played: int = 0
    quiet: dict[tuple[str, bool], Played] = field(default_factory=dict)

    def undisturbed(self, search: str = "ours", killed: bool = False) -> Played:
        """The search without any death; played once."""
        if (search, killed) not in self.quiet:
            self.quiet[search, killed] = self.play(search=search, killed=killed)
        return self.quiet[search, killed]

    def play(
        self,
        *deaths: Death,
        search: str = "ours",
        shim: ShimDeath | None = None,
        plant: str = "",
        killed: bool = False,
    ) -> Played:
        """One search.

        Args:
            deaths: of one master after the other.
            search: "ours", or one of the chaos searches.
            shim: death of a process beside a run.
            killed: leave out of the digest what a run does again after it was lost.

        Raises:
            Broken: it did not end as completed.
        """
        self.played += 1
        folder = self.home / str(self.played)
        folder.mkdir()
        assert self.zygote.stdin is not None
        assert self.zygote.stdout is not None
        order = {"folder": str(folder), "search": search, "deaths": deaths, "shim": shim, "plant": plant}
        self.zygote.stdin.write(json.dumps(order) + "\n")
        self.zygote.stdin.flush()
        answer = json.loads(self.zygote.stdout.readline())
        if answer["code"] != 0:
            log = folder / "runner.log"
            told = answer.get("told") or (log.read_text()[-3000:] if log.exists() else "")
            raise Broken(f"after {deaths} {shim}: {answer['code']}\n{told}")
        found = digest(folder / "data", only_experiment(folder / "data"), BEGINS.get(search, "trained"), killed=killed)
        [restarts] = ask(folder / "data", "SELECT sum(restarts) FROM trials")
        passed = [line.split() for line in (folder / "shim_steps").read_text().splitlines()]
        shutil.rmtree(folder)
        return Played(
            found,
            [(name, n) for name, n in answer["steps"]],
            answer["died"],
            [(int(k), name, int(n)) for k, name, n in passed],
            answer["unnamed"],
            restarts,
        )


def only_experiment(data: Path) -> int:
    """The one experiment on a data folder."""
    found = ask(data, "SELECT id FROM experiments")
    assert len(found) == 1, f"there are {len(found)} experiments"
    return int(found[0])


@contextmanager
def opened() -> Iterator[Stage]:
    """A stage, in memory where there is a folder for that."""
    memory = Path("/dev/shm")
    if TEST_DB == "postgres":
        # Here, so that it outlives the zygote, and that there is one.
        shared_server()
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

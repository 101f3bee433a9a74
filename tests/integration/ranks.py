"""Processes of a trial without a master: each runs the same few lines, with ranks of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECRET = "a secret of this test, long enough"
_PRELUDE = """
import json, os, signal, sys
from determined import core
def tell(value):
    print(json.dumps(value), flush=True)
def meet(**more):
    ranks = json.loads(os.environ["TEST_RANKS"])
    return core.DistributedContext(**{**ranks, **more})
"""


@dataclass
class Ended:
    """How one process ended, and what it has told."""

    code: int
    told: list[Any]
    errors: str


def ranks_of(rank: int, size: int, machines: int) -> dict[str, Any]:
    """The arguments of a DistributedContext, with as many processes on each machine."""
    local = size // machines
    return {
        "rank": rank,
        "size": size,
        "local_rank": rank % local,
        "local_size": local,
        "cross_rank": rank // local,
        "cross_size": machines,
        "chief_ip": "127.0.0.1",
    }


def start(
    body: str, rank: int, size: int, machines: int = 1, port: int | None = None, **env: str
) -> subprocess.Popen[str]:
    """Start one process; ``meet()`` in its body makes its context."""
    ranks = ranks_of(rank, size, machines)
    if port is not None:
        ranks["pub_port"] = port
    full = {k: v for k, v in os.environ.items() if not k.startswith("DET_")}
    full |= {"DET_RANKS_SECRET": SECRET, "TEST_RANKS": json.dumps(ranks), "RANK": str(rank), **env}
    command = [sys.executable, "-c", _PRELUDE + body]
    return subprocess.Popen(command, env=full, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for its end."""
    out, errors = process.communicate()
    return Ended(process.returncode, [json.loads(line) for line in out.splitlines()], errors)


def run(body: str, size: int, machines: int = 1, port: int | None = None, **env: str) -> list[Ended]:
    """Run the same lines in all processes, and wait for all."""
    started = [start(body, rank, size, machines, port=port, **env) for rank in range(size)]
    return [finish(process) for process in started]


def free_port() -> int:
    """A port that nobody uses now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def files_below(folder: Path) -> dict[str, str]:
    """Relative path -> content of every file."""
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}

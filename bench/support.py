"""What the benchmarks share: a master, a way to submit, and tables."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from determined.testing.cluster import LocalMaster

MODEL = Path(__file__).parent / "model"


def config(entrypoint: str, searcher: dict[str, Any], **hparams: Any) -> dict[str, Any]:
    """A configuration for a script of bench/model."""
    return {
        "name": f"bench {entrypoint}",
        "entrypoint": f"python3 {entrypoint}",
        "searcher": {"metric": "loss", **searcher},
        "hyperparameters": hparams,
        "max_restarts": 0,
    }


def submit(master: LocalMaster, settings: dict[str, Any]) -> int:
    """Create an experiment through our command; returns its id."""
    path = master.folder / "config.json"
    path.write_text(json.dumps(settings))
    done = master.det("e", "create", str(path), str(MODEL))
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return int(done.stdout.split()[-1])


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ranked = sorted(values)
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"

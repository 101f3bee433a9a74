"""Runs the benchmarks: ``python -m bench [NAME ...] [--quick] [--json FILE] [--write FILE]``."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import asha, cli, engine, latency, on_ray, postgres, reports, restart, scale, simulator, start, trials, webui
from bench.support import Section

BENCHMARKS: Mapping[str, Callable[[bool], Section]] = {
    "engine": engine.main,
    "simulator": simulator.main,
    "latency": latency.main,
    "start": start.main,
    "cli": cli.main,
    "reports": reports.main,
    "postgres": postgres.main,
    "restart": restart.main,
    "trials": trials.main,
    "asha": asha.main,
    "ray": on_ray.main,
    "scale": scale.main,
    "webui": webui.main,
}
PACKAGES = ("msgspec", "uvicorn", "SQLAlchemy", "urllib3", "scikit-learn", "optuna")


def machine() -> str:
    """What the figures depend on, in a paragraph."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    system = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}"
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}"
    return f"{system}, {python}; other tools in the versions that `bench/peers_env.py` names."


PLACE = Path(__file__).resolve().parents[1] / "build" / "bench"
"""Where masters and other tools keep their data meanwhile, as users do, and not below /tmp.

A file system without a journal, as virtual machines and containers often have, takes up to a millisecond to make a file
in a folder where many were deleted within the last minutes, and /tmp is such a folder wherever tests run.
"""
LONGEST_PLACE = 45
"""What leaves room for the names of Ray's sockets below it."""


def _keep_data_apart() -> None:
    PLACE.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(PLACE)
    if len(str(PLACE)) > LONGEST_PLACE:
        os.environ.setdefault("RAY_TMPDIR", "/tmp")


def main() -> int:
    """Run, print, and say whether every target is met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, and print tables.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="shorter, and less to be trusted")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables to a file as well")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(BENCHMARKS)}")
    _keep_data_apart()
    print(f"{machine()}\n", flush=True)
    sections = []
    for name in args.names or BENCHMARKS:
        sections.append(BENCHMARKS[name](args.quick))
        print(sections[-1], flush=True)
        if args.write:
            # After each, so that a benchmark that fails takes only its own figures with it.
            args.write.write_text("\n".join(["# Results of `make bench`", f"\n{machine()}\n", *map(str, sections)]))
    if args.json:
        figures = {section.name: dict(section.figures) for section in sections}
        args.json.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=2) + "\n")
    return 0 if all(section.met for section in sections) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Runs the benchmarks: ``python -m bench [NAME ...] [--quick] [--json FILE]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import asha, cli, engine, latency, reports, restart, simulator, start, trials
from bench.support import Section

BENCHMARKS: Mapping[str, Callable[[bool], Section]] = {
    "engine": engine.main,
    "simulator": simulator.main,
    "latency": latency.main,
    "start": start.main,
    "cli": cli.main,
    "reports": reports.main,
    "restart": restart.main,
    "trials": trials.main,
    "asha": asha.main,
}


def main() -> int:
    """Run, print, and say whether every target is met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure, and print tables.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="shorter, and less to be trusted")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(BENCHMARKS)}")
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
    print(f"{machine['cores']} cores, Python {machine['python']}, {machine['machine']}\n", flush=True)
    sections = []
    for name in args.names or BENCHMARKS:
        sections.append(BENCHMARKS[name](args.quick))
        print(sections[-1], flush=True)
    if args.json:
        figures = {section.name: dict(section.figures) for section in sections}
        args.json.write_text(json.dumps({"machine": machine, "figures": figures}, indent=2) + "\n")
    return 0 if all(section.met for section in sections) else 1


if __name__ == "__main__":
    sys.exit(main())

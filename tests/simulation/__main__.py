"""Play seeds: ``python -m tests.simulation SEED [SEED ...] [--trace] [--real]``."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.disk import Violation
from tests.simulation.real_world import RealWorld
from tests.simulation.world import World, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--trace", action="store_true", help="print everything that happens")
    parser.add_argument("--real", action="store_true", help="with the real service of the master")
    options = parser.parse_args()
    make = RealWorld if options.real else World
    failed = False
    for seed in options.seeds:
        worlds: list[World] = []
        try:
            outcome = simulate(seed, options.trace, worlds, make)
            print(f"seed {seed}: {outcome.setup} {sum(outcome.counts.values())} events, {outcome.trace}")
            print(f"  {dict(outcome.happened)}, {outcome.digest['state']}")
        except Violation as e:
            print(e)
            failed = True
        if options.trace:
            for at, kind, text in worlds[-1].clock.lines if worlds else ():
                print(f"{at:12.6f} {kind:8} {text}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Faults by the seed, until the time is over or something breaks: ``python -m determined.testing.chaos --help``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from determined.testing.chaos.faults import Fault, draw, dump, load
from determined.testing.chaos.searches import SEARCHES
from determined.testing.chaos.shrink import shrink
from determined.testing.chaos.world import Outcome, World
from determined.testing.digest import difference

MOST_SHRINKING = 16
"""Plays that are spent on making a failing schedule shorter."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything held."""
    args = _parser().parse_args(arguments)
    chaos = Chaos(args.keep)
    chaos.learn()
    if args.faults is not None:
        return 0 if chaos.play(args.seed, load(args.faults.read_text())) else 1
    end = time.monotonic() + 60 * args.minutes
    seed = args.seed
    while (args.seeds is None and time.monotonic() < end) or (args.seeds is not None and seed < args.seed + args.seeds):
        faults = draw(seed, args.count)
        if not chaos.play(seed, faults):
            if args.shrink:
                _tell_shortest(chaos, seed, faults)
            if not args.keep_going:
                break
        seed += 1
    chaos.report()
    return 1 if chaos.bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m determined.testing.chaos",
        description="Play searches on a real master while processes are killed and paused and the network fails.",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule (default: 1)")
    how_long = parser.add_mutually_exclusive_group()
    how_long.add_argument("--minutes", type=float, default=5, help="how long to go on to the next seed (default: 5)")
    how_long.add_argument("--seeds", type=int, help="play so many seeds instead")
    parser.add_argument("--count", type=int, default=14, help="faults in each schedule (default: 14)")
    parser.add_argument("--faults", type=Path, help="play this schedule, as printed after a failure, and nothing else")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false", help="leave a failing schedule as it is")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failure")
    parser.add_argument("--keep", type=Path, help="folder for the data of what failed (default: thrown away)")
    return parser


@dataclass
class Chaos:
    """Plays schedules, and compares what comes of them with a quiet run."""

    keep: Path | None
    quiet: dict[tuple[str, bool], Any] = field(default_factory=dict)
    played: int = 0
    bad: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    network: int = 0
    repeated: int = 0
    deaths: int = 0

    def learn(self) -> None:
        """Play once without faults.

        Raises:
            RuntimeError: even that went wrong.
        """
        outcome = self._world(0, [])
        if outcome.violations:
            raise RuntimeError(f"the searches fail without any fault: {outcome.violations}")
        self.quiet = outcome.digests

    def play(self, seed: int, faults: Sequence[Fault]) -> bool:
        """Whether everything held; says so in a line."""
        outcome = self._world(seed, faults)
        problems = self.problems(outcome)
        self.played += 1
        self.bad += bool(problems)
        self.injected += outcome.injected
        self.network += outcome.network
        self.repeated += sum(outcome.repeated.values())
        self.deaths += sum(outcome.deaths.values())
        word = "FAILED" if problems else "ok"
        print(
            f"seed {seed}: {word}, {outcome.injected.total()} faults and {outcome.network} calls disturbed, "
            f"{outcome.seconds:.1f} s",
            flush=True,
        )
        for problem in problems:
            print(f"  {problem}")
        if problems:
            print("schedule:", *(f"  {fault}" for fault in faults), sep="\n")
            again = f"python -m determined.testing.chaos --seed {seed} --seeds 1 --count {len(faults)}"
            print(f"again: {again}", flush=True)
        return not problems

    def problems(self, outcome: Outcome) -> list[str]:
        """What did not hold, a line each."""
        found = list(outcome.violations)
        for name in SEARCHES if not found else ():
            deaths = outcome.deaths[name]
            lines = difference(self.quiet[name, deaths > 0], outcome.digests[name, deaths > 0])
            found += [f"{name}{line}" for line in lines]
            # Every unit is saved, so a run that dies costs the one that it was at.
            if outcome.repeated[name] > deaths:
                found.append(f"{name}: {outcome.repeated[name]} units were trained again, after {deaths} deaths")
        return found

    def report(self) -> None:
        """The totals."""
        kinds = ", ".join(f"{kind.lower()} {count}" for kind, count in sorted(self.injected.items()))
        print(
            f"{self.played} seeds, {self.bad} failed; {self.injected.total()} faults ({kinds}) and {self.network} "
            f"disturbed calls; {self.repeated} units trained again after {self.deaths} deaths of trials"
        )

    def _world(self, seed: int, faults: Sequence[Fault]) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="det-chaos-") as folder:
            outcome = World(Path(folder)).play(faults)
            if self.keep is not None and (outcome.violations or (self.quiet and self.problems(outcome))):
                self._keep(Path(folder), seed)
            return outcome

    def _keep(self, folder: Path, seed: int) -> None:
        import shutil

        assert self.keep is not None
        shutil.copytree(folder, self.keep / f"seed-{seed}", dirs_exist_ok=True, ignore=shutil.ignore_patterns(".news"))


def _tell_shortest(chaos: Chaos, seed: int, faults: Sequence[Fault]) -> None:
    print("looking for a shorter schedule that fails", flush=True)
    shortest = shrink(faults, lambda part: not chaos.play(seed, part), MOST_SHRINKING)
    print(f"the shortest found has {len(shortest)} faults; save it and give it with --faults:\n{dump(shortest)}")


if __name__ == "__main__":
    sys.exit(main())

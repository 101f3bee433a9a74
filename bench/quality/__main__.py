"""Compares searches: ``python -m bench.quality [--seeds N] [--quick] [--only NAME] [--resume FILE] [--write]``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers_env import ENVIRONMENTS, ROOT
from bench.quality import ours
from bench.quality.campaign import BY_NAME, MARKS, Outcome, ResultsFile, Run, plan
from bench.quality.incumbents import Report, Trace, regrets
from bench.quality.problems import FUNCTION_NAMES, TABLE_NAMES, TABLES, problem
from bench.quality.report import section

FOLDER = Path(__file__).parent


class Peers:
    """Processes in the environments of other tools, each started when it is first needed."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[str]] = {}

    def run(self, asked: Run, home: str, until: float) -> Trace:
        """One search."""
        process = self._running.get(home) or self._start(home)
        assert process.stdin is not None
        assert process.stdout is not None
        line = {"method": asked.method, "problem": asked.problem, "workers": asked.workers, "seed": asked.seed}
        process.stdin.write(json.dumps({**line, "until": until}) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{asked} failed in the environment of {home}; its errors are above")
        trace = json.loads(answer)
        return Trace([Report(*report) for report in trace["reports"]], trace["points"])

    def close(self) -> None:
        """End all."""
        for process in self._running.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

    def _start(self, home: str) -> subprocess.Popen[str]:
        command = [str(ENVIRONMENTS[home].ready()), "-m", "bench.quality.peers"]
        pipe = subprocess.PIPE
        self._running[home] = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        return self._running[home]


def make(asked: Run, peers: Peers) -> Outcome:
    """Run one search and say what it found at each mark."""
    searched = problem(asked.problem)
    times = [mark * searched.max_length / asked.workers for mark in MARKS]
    began = time.perf_counter()
    home = BY_NAME[asked.method].home
    if home == "ours":
        trace = ours.run(asked.method, searched, asked.workers, asked.seed, times[-1])
    else:
        trace = peers.run(asked, home, times[-1])
    seconds = time.perf_counter() - began
    regret, regret_of_best = regrets(trace, searched, times)
    return Outcome(asked, regret, regret_of_best, _started(trace), round(seconds, 3))


def _started(trace: Trace) -> int:
    """Trials that have reported: methods start others after the last mark."""
    return len({report.trial for report in trace.reports})


def run_all(runs: Sequence[Run], file: ResultsFile, peers: Peers) -> Mapping[Run, Outcome]:
    """Make the runs that are missing; returns all that were asked for."""
    done = file.read()
    if any(run.problem in TABLE_NAMES and not (TABLES / f"{run.problem}.json").exists() for run in runs):
        python = ENVIRONMENTS["optuna"].ready()
        subprocess.run([str(python), "-m", "bench.quality.peers.tables"], cwd=ROOT, check=True)
    missing = [run for run in runs if run not in done]
    for number, run in enumerate(missing, 1):
        done[run] = make(run, peers)
        file.append(done[run])
        if number % 100 == 0:
            print(f"{number} of {len(missing)} runs", file=sys.stderr, flush=True)
    return {run: done[run] for run in runs}


def main() -> int:
    """Run what is missing, print, and say whether ours is at least equal in every pair."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description="Compare searches.")
    parser.add_argument("--seeds", type=int, default=20, metavar="N")
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="the first seed")
    parser.add_argument("--quick", action="store_true", help="3 seeds, and nothing to be trusted")
    names = [*BY_NAME, *FUNCTION_NAMES, *TABLE_NAMES]
    parser.add_argument("--only", action="append", default=[], choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--resume", type=Path, default=FOLDER / "results.jsonl", metavar="FILE", help="of results")
    parser.add_argument(
        "--again", action="append", default=[], choices=list(BY_NAME), metavar="METHOD", help="run anew"
    )
    parser.add_argument("--write", action="store_true", help="write results.md, too")
    args = parser.parse_args()
    file = ResultsFile(args.resume)
    file.forget(args.again)
    peers = Peers()
    try:
        found = section(run_all(list(plan(3 if args.quick else args.seeds, args.only, args.first)), file, peers))
    finally:
        peers.close()
    print(found, flush=True)
    if args.write:
        (FOLDER / "results.md").write_text(str(found))
    return 0 if found.met else 1


if __name__ == "__main__":
    sys.exit(main())

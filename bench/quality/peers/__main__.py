"""Runs searches of another tool in its own environment: a search to make on each line of input, its trace on a line."""

from __future__ import annotations

import importlib
import json
import sys

from bench.quality.peers.workers import Tool, drive
from bench.quality.problems import Problem, problem


def main() -> None:
    """Answer until the input ends. What the tools themselves print is no answer."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        searched = problem(asked["problem"])
        tool = _tool(asked["method"], searched, asked["seed"])
        trace = drive(tool, searched, asked["workers"], asked["seed"], asked["until"])
        print(json.dumps({"reports": trace.reports, "points": trace.points}), file=answers, flush=True)


def _tool(method: str, searched: Problem, seed: int) -> Tool:
    if method.startswith("optuna"):
        made: Tool = importlib.import_module("bench.quality.peers.optuna_tool").OptunaTool(method, searched, seed)
    else:
        made = importlib.import_module("bench.quality.peers.syne_tune_tool").SyneTuneTool(method, searched, seed)
    return made


if __name__ == "__main__":
    main()

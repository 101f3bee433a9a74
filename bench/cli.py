"""How long a command and a master take to start.

Commands are measured as a whole, from starting the process to its end, in turns with what the machine needs for less:
an interpreter that ends at once, and one that only makes an argument parser. Bytecode lies ready, as in an
installation, whatever the environment says.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.request import urlopen

from bench.support import Check, Section, config, submit, table, wait_until_over
from determined.testing.cluster import LocalMaster

ROUNDS = 25
STARTS = 5
EXPERIMENTS = 4
MOST_OF_VERSION = 1.3
MOST_OF_START_S = 1.5

DET = str(Path(sys.executable).with_name("det"))
BARE = "an interpreter, start to end"
PARSER = "an interpreter and an argument parser"
COMMANDS: Mapping[str, Sequence[str]] = {
    BARE: ("-c", "pass"),
    PARSER: ("-c", "import argparse; argparse.ArgumentParser().parse_args([])"),
    "det --version": (DET, "--version"),
    "det --help": (DET, "--help"),
    "det e list": (DET, "e", "list"),
}


def installed(env: Mapping[str, str], bytecode: Path) -> dict[str, str]:
    """The environment in which bytecode is kept, in a folder of its own."""
    kept = {name: value for name, value in env.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(bytecode)}


def commands(env: Mapping[str, str], rounds: int) -> dict[str, float]:
    """The median time of each command in seconds. The first round, which writes bytecode, does not count."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=env)
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def start_of_a_master(folder: Path, bytecode: Path) -> float:
    """Seconds from starting a master on an empty folder to its first answer."""
    master = LocalMaster(folder)
    master.env = installed(master.env, bytecode)
    begin = time.perf_counter()
    with master, urlopen(f"{master.url}/health") as answer:
        answer.read()
        return time.perf_counter() - begin


def main(quick: bool = False) -> Section:
    """Measure."""
    rounds, starts = (5, 3) if quick else (ROUNDS, STARTS)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        bytecode = folder / "bytecode"
        with LocalMaster(folder / "master") as master:
            for _ in range(EXPERIMENTS):
                searcher = {"name": "single", "max_length": 1}
                wait_until_over(master, submit(master, config("first_line.py", searcher)))
            medians = commands(installed(master.env, bytecode), rounds)
        start_of_a_master(folder / "first", bytecode)
        start = statistics.median(start_of_a_master(folder / str(n), bytecode) for n in range(starts))
    rows = [[name, f"{1000 * taken:.1f}", f"{taken / medians[BARE]:.1f}"] for name, taken in medians.items()]
    rows.append(["a master on an empty folder, to its first answer", f"{1000 * start:.0f}", ""])
    text = table("Start of the command and of a master", ["", "p50 ms", "times an interpreter"], rows)
    ratio = medians["det --version"] / medians[PARSER]
    figures = {f"{name} ms": 1000 * taken for name, taken in medians.items()}
    return Section(
        "cli",
        text,
        {**figures, "master start s": start},
        (
            Check(
                f"det --version takes at most {MOST_OF_VERSION} times {PARSER}",
                ratio,
                ratio <= MOST_OF_VERSION,
            ),
            Check(f"a master answers after at most {MOST_OF_START_S} s", start, start <= MOST_OF_START_S),
        ),
    )


if __name__ == "__main__":
    print(main())

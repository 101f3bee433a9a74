"""How many reports per second the simulator takes, against two other tools that do the same work.

Run it with ``python -m bench.simulator``. A report is a unit of training of one trial: it passes the engine, and the
search method hears of it. All search with asynchronous halving: 81 units at most, divisor 3, five rungs. Syne Tune's
simulator has the stopping variant only, and gets its metrics from a table; ours is measured with both variants, and on
a table too, which is what is compared with it. It is run as its own examples run it, and once more bare: without
results on the disk, reports on the way, and a copy of the tuner. Optuna has no simulator: its loop of ask and tell has
no clock and no workers, which spares it work. Both run in an environment of their own, ``.venv-peers``, which is made
when it is missing. Processor time is measured everywhere.

How many reports a search of 1,000 trials makes is a matter of luck (3,000 to 6,500 of them), and so is what else the
machine does meanwhile. So each size is searched with several seeds, which count together, and all that are compared
take turns. A large search makes fewer reports for each trial than a small one: fewer trials are promoted by mistake.
Whether the cost of a report grows is asked of the median search of each size, since a few lucky small ones make half as
many reports again, which cost little. Both are printed. What takes Optuna half a minute is done in one turn only.
"""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.peers_env import Environment
from bench.support import Check, Section, table
from determined.domain.hparams import Double, Space
from determined.methods.async_halving import AsyncHalvingSearch
from determined.searcher import Table, simulate

MAX_LENGTH, DIVISOR, RUNGS, WORKERS = 81, 3, 5, 4
SPACE = Space.of({"x": Double(0.0, 1.0)})
PEERS = Path(__file__).parent / "peers"
# Syne Tune's tables import the package of Hugging Face, although nothing is loaded from there.
ENVIRONMENT = Environment(
    ".venv-peers", ("optuna>=5,<6", "syne-tune[basic]==0.16.0", "fsspec", "huggingface-hub", "pyarrow")
)
LEAST_PER_S = 30_000
_TURNS = 5
_MOST_IN_A_TURN = 5
SLOWER_AT_MOST = 1.3
"""A report in a search of 100,000 trials than one in a search of 1,000."""
AHEAD = {("syne_tune", 1_000): 20.0, ("optuna", 1_000): 2.0, ("optuna", 10_000): 15.0}


@dataclass(frozen=True, slots=True)
class Speed:
    """What searches took. The slower of two is less."""

    trials: int
    reports: int
    seconds: float

    def __lt__(self, other: Speed) -> bool:
        return self.per_second < other.per_second

    @property
    def per_second(self) -> float:
        """Reports in a second."""
        return self.reports / self.seconds

    @property
    def trial_us(self) -> float:
        """Microseconds for a trial, its reports included."""
        return self.seconds / self.trials * 1e6


def ours(trials: int, *variants: str, turn: int) -> list[Speed]:
    """Some searches, each in a process of its own, as those of the other tools are.

    Args:
        variants: "stopping", "on a table", or neither for promotion and a function.
    """
    each = max(1, min(_MOST_IN_A_TURN, 20_000 // trials))
    command = [sys.executable, "-m", "bench.simulator", *variants]
    return [_run(trials, [*command, str(trials), str(turn * each + seed)]) for seed in range(each)]


def _run(trials: int, command: Sequence[str]) -> Speed:
    with tempfile.TemporaryDirectory() as folder:
        # Syne Tune makes folders for results, in the home directory unless it is told another place.
        env = {**os.environ, "SYNETUNE_FOLDER": folder}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Speed(trials, found["reports"], found["seconds"])


def _search(*variants: str, trials: int, seed: int) -> None:
    recorded = _table(trials) if "on a table" in variants else None
    speed = _one(trials, "stopping" in variants, recorded, seed)
    print(json.dumps({"reports": speed.reports, "seconds": speed.seconds}))


def _table(trials: int) -> Table:
    rng = random.Random(0)
    limits = [rng.random() for _ in range(trials)]
    return Table.of([[limit + 1 / length for length in range(1, MAX_LENGTH + 1)] for limit in limits])


def _one(trials: int, stop_once: bool, recorded: Table | None, seed: int) -> Speed:
    method = AsyncHalvingSearch(
        SPACE if recorded is None else recorded.space(),
        MAX_LENGTH,
        trials,
        RUNGS,
        divisor=DIVISOR,
        max_concurrent_trials=WORKERS,
        stop_once=stop_once,
        seed=seed,
    )
    gc.collect()
    started = time.process_time()
    result = simulate(method, curve=recorded or _curve, workers=WORKERS)
    took = time.process_time() - started
    assert result.outcome == "completed", result.message
    return Speed(trials, result.reports, took)


def _curve(hparams: Mapping[str, Any], length: float) -> float:
    limit: float = hparams["x"]
    return limit + 1 / length


def peer(script: str, trials: int, *more: int, turn: int) -> list[Speed]:
    """One search of another tool; what takes long is done only once."""
    if turn and trials > 1_000:
        return []
    command = [str(ENVIRONMENT.ready()), str(PEERS / script), *map(str, (trials, MAX_LENGTH, DIVISOR, turn, *more))]
    return [_run(trials, command)]


def main(quick: bool = False) -> Section:
    """Measure, in turns."""
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000)
    optuna_sizes = sizes[:1] if quick else sizes[:2]
    plan: dict[str, dict[int, Callable[..., list[Speed]]]] = {
        "ours, promotion": {n: partial(ours, n) for n in sizes},
        "ours, stopping": {n: partial(ours, n, "stopping") for n in sizes[:2]},
        "ours, on a table": {1_000: partial(ours, 1_000, "on a table")},
        "syne_tune": {1_000: partial(peer, "syne_tune_asha.py", 1_000, WORKERS, 1)},
        "syne_tune, bare": {1_000: partial(peer, "syne_tune_asha.py", 1_000, WORKERS, 0)},
        "optuna": {n: partial(peer, "optuna_halving.py", n) for n in optuna_sizes},
    }
    runs: dict[tuple[str, int], list[Speed]] = defaultdict(list)
    for turn in range(_TURNS):
        for name, by_size in plan.items():
            for n, search in by_size.items():
                runs[name, n] += search(turn=turn)
    medians = {n: statistics.median_low(runs["ours, promotion", n]) for n in sizes}
    speeds = {name: {n: _together(runs[name, n]) for n in by_size} for name, by_size in plan.items()}
    rows = [
        [name, n, s.reports, f"{s.per_second:,.0f}", f"{s.trial_us:.0f}", _ahead(speeds, name, n)]
        for name, found in speeds.items()
        for n, s in found.items()
    ]
    rows += [
        ["ours, promotion, the median search", n, s.reports, f"{s.per_second:,.0f}", f"{s.trial_us:.0f}", ""]
        for n, s in medians.items()
    ]
    head = ["", "trials", "reports", "reports/s", "us per trial", "ours is faster by"]
    figures = {
        f"{name.replace(', ', '_')}_reports_per_s_at_{n}": s.per_second
        for name, found in speeds.items()
        for n, s in found.items()
    }
    figures |= {f"median_search_reports_per_s_at_{n}": s.per_second for n, s in medians.items()}
    return Section("simulator", table("Simulator", head, rows), figures, _checks(speeds, medians))


def _together(runs: list[Speed]) -> Speed:
    return Speed(sum(r.trials for r in runs), sum(r.reports for r in runs), sum(r.seconds for r in runs))


def _ahead(speeds: Mapping[str, Mapping[int, Speed]], name: str, trials: int) -> str:
    return "" if name.startswith("ours") else f"{_ratio(speeds, name, trials):.1f}"


def _ratio(speeds: Mapping[str, Mapping[int, Speed]], peer_name: str, trials: int) -> float:
    own = speeds["ours, on a table" if peer_name.startswith("syne_tune") else "ours, promotion"][trials]
    return own.per_second / speeds[peer_name][trials].per_second


def _checks(speeds: Mapping[str, Mapping[int, Speed]], medians: Mapping[int, Speed]) -> list[Check]:
    own = speeds["ours, promotion"]
    first, last, largest = own[min(own)], own[max(own)], max(own)
    least = LEAST_PER_S / SLOWER_AT_MOST
    flat = medians[min(own)].per_second / medians[largest].per_second
    checks = [
        Check(
            f"per report at {largest} trials within {SLOWER_AT_MOST}x of that at 1,000", flat, flat <= SLOWER_AT_MOST
        ),
        Check(f"at least {LEAST_PER_S} reports/s at 1,000 trials", first.per_second, first.per_second >= LEAST_PER_S),
        Check(
            f"at least {least:.0f} reports/s at {largest} trials",
            last.per_second,
            last.per_second >= least,
        ),
    ]
    for (name, trials), least in AHEAD.items():
        if trials in speeds[name]:
            ratio = _ratio(speeds, name, trials)
            text = f"at least {least:g} times as fast as {name} at {trials} trials"
            checks.append(Check(text, ratio, ratio >= least))
    return checks


if __name__ == "__main__":
    if sys.argv[-1].isdecimal():
        _search(*sys.argv[1:-2], trials=int(sys.argv[-2]), seed=int(sys.argv[-1]))
        sys.exit()
    section = main()
    print(section)
    sys.exit(not section.met)

"""Which faults there are, and how a seed draws a schedule of them."""

from __future__ import annotations

import enum
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from determined.testing.chaos.searches import SEARCHES


class Kind(enum.Enum):
    """What happens."""

    MASTER_KILL = "the master is killed"
    MASTER_STOP = "the master is told to stop"
    MASTER_PAUSE = "the master is paused"
    MASTER_KILL_IN_RECOVERY = "the master is killed, and once more while it starts"
    MASTER_SECOND = "a second master is started on the same data"
    RUNNER_KILL = "a search runner is killed"
    RUNNER_PAUSE = "a search runner is paused"
    RUNNER_SECOND = "a second runner is started on the same folder"
    RUNNER_AND_MASTER_KILL = "a search runner and the master are killed"
    TRIAL_KILL = "a trial is killed"
    TRIAL_PAUSE = "a trial is paused"
    SHIM_KILL = "the process beside a trial is killed"
    TRIAL_AND_MASTER_KILL = "a trial and the master are killed"
    ALL_KILL = "every process is killed, as if the machine had been switched off"
    NETWORK_BAD = "calls are dropped, repeated, delayed and cut"
    NETWORK_DOWN = "no call gets through"


LASTING = frozenset({Kind.MASTER_PAUSE, Kind.RUNNER_PAUSE, Kind.TRIAL_PAUSE, Kind.NETWORK_BAD, Kind.NETWORK_DOWN})
EXPECTED_S = 9.0
"""Searches take about as long; faults are spread over this time."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        at_s: seconds since the searches were started.
        search: whose runner or trial; all of the master's faults concern all.
        pick: chooses among what there is then, such as running trials.
        lasts_s: of pauses and of bad networks.
    """

    at_s: float
    kind: Kind
    search: str
    pick: int
    lasts_s: float

    def __str__(self) -> str:
        whose = f" ({self.search})" if self.kind.name.startswith(("RUNNER", "TRIAL", "SHIM")) else ""
        lasts = f" for {self.lasts_s} s" if self.kind in LASTING else ""
        return f"{self.at_s:5.2f} s  {self.kind.value}{whose}{lasts}"


def draw(seed: int, count: int = 14) -> list[Fault]:
    """The schedule of a seed, in the order of time."""
    rng = random.Random(seed)
    kinds = list(Kind)
    # Each kind about equally often, whatever the seed.
    chosen = [kinds[(seed * count + n) % len(kinds)] for n in range(count)]
    rng.shuffle(chosen)
    times = sorted(round(rng.uniform(0, EXPECTED_S), 2) for _ in chosen)
    return [_fault(rng, at_s, kind) for at_s, kind in zip(times, chosen, strict=True)]


def _fault(rng: random.Random, at_s: float, kind: Kind) -> Fault:
    names = list(SEARCHES)
    if kind in (Kind.TRIAL_KILL, Kind.TRIAL_AND_MASTER_KILL):
        names.remove("troubled")
    return Fault(at_s, kind, rng.choice(names), rng.randrange(1000), round(rng.uniform(0.2, 1.5), 2))


def dump(faults: Sequence[Fault]) -> str:
    """A schedule as text, one fault a line."""
    return "".join(json.dumps({**asdict(fault), "kind": fault.kind.name}) + "\n" for fault in faults)


def load(text: str) -> list[Fault]:
    """What ``dump`` wrote.

    Raises:
        ValueError: a line is no fault.
    """
    return [_read(line) for line in text.splitlines() if line.strip()]


def _read(line: str) -> Fault:
    try:
        fields: dict[str, Any] = json.loads(line)
        return Fault(**{**fields, "kind": Kind[fields["kind"]]})
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{line!r} is no fault ({error}); take lines as the program prints them") from None

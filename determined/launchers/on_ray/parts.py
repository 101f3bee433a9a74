"""A run on several nodes as its parts, one on each node: how many slots each has, what it is told, how the run ends.

Pure: values in, values out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate

from determined.domain.ids import member_id
from determined.launchers.local import KILLED
from determined.launchers.protocol import RunExit


def divide(slots: int, nodes: Sequence[int]) -> tuple[int, ...]:
    """How many slots of a run each of its parts has, the most first.

    A run is on one node where one has enough. Else it is on as few as can be, in parts as equal as can be: processes
    of one node talk faster, and the slowest part sets the pace. When all nodes together have too few, no part is larger
    than the largest node; Ray waits for more nodes then.

    Args:
        slots: of the run.
        nodes: slots of each node that is there, free or not.
    """
    sizes = sorted((size for size in nodes if size > 0), reverse=True)
    if not sizes or slots <= sizes[0]:
        return (slots,)
    enough = next((count for count, total in enumerate(accumulate(sizes), 1) if total >= slots), None)
    sizes = sizes[:enough] if enough is not None else sizes[:1] * -(-slots // sizes[0])
    return tuple(sorted(_even(slots, sizes), reverse=True))


def _even(slots: int, sizes: list[int]) -> list[int]:
    """Shares of nodes of these sizes, the largest first: what a small one cannot take falls to the others."""
    shares = []
    for left, size in zip(range(len(sizes), 0, -1), reversed(sizes), strict=True):
        shares.append(min(size, slots // left))
        slots -= shares[-1]
    return shares


def told(
    env: Mapping[str, str], info_files: Mapping[str, str], number: int, shares: Sequence[int]
) -> tuple[dict[str, str], dict[str, str]]:
    """What one part finds in its environment and its info files, which is the run's but for its own place.

    Args:
        env: of the run; ``DET_SLOT_IDS`` and ``DET_ALLOCATION_ID`` are read.
        info_files: of the run; ``cluster.json`` names the slots as well. Who the others are is told at the rendezvous.
        number: of the part.
        shares: slots of all parts.
    """
    if len(shares) == 1:
        return dict(env), dict(info_files)
    first = sum(shares[:number])
    slot_ids = json.loads(env.get("DET_SLOT_IDS", "[]"))[first : first + shares[number]]
    name = member_id(env["DET_ALLOCATION_ID"], number, len(shares))
    own = {"DET_RESOURCES_ID": name, "DET_CONTAINER_ID": name, "DET_SLOT_IDS": json.dumps(slot_ids)}
    files = dict(info_files)
    if "cluster.json" in files:
        files["cluster.json"] = json.dumps({**json.loads(files["cluster.json"]), "slot_ids": slot_ids})
    return {**env, **own}, files


class Ends:
    """How the parts of a run have ended, and what that means for the whole.

    A run of several parts is one run: when one part fails or is lost, the others have to be ended. Where a node is
    lost, the processes of the others fail too, and often are heard of first; so a loss counts before any exit code, and
    the end of the run is known when all parts are over.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._ends: dict[int, RunExit] = {}

    def add(self, number: int, end: RunExit) -> bool:
        """Note the end of a part; a second one counts for nothing.

        Returns:
            Whether the other parts have to be ended because of it; only the first such end says so.
        """
        was_well = all(one.code == 0 for one in self._ends.values())
        self._ends.setdefault(number, end)
        return was_well and end.code != 0

    @property
    def is_over(self) -> bool:
        """Whether all parts have ended."""
        return len(self._ends) == self._count

    @property
    def has_lost(self) -> bool:
        """Whether nobody saw the end of a part, as when its node is gone."""
        return any(end.code is None for end in self._ends.values())

    def whole(self, kill_wanted: bool) -> RunExit:
        """The end of the run, when all parts have ended.

        Args:
            kill_wanted: somebody wanted all of it to die, so that what is lost was not lost by accident.
        """
        assert self.is_over
        at = max(end.at for end in self._ends.values())
        bad = sorted(self._ends.items(), key=lambda item: (item[1].code == 0, item[1].code is not None))
        number, end = bad[0]
        if end.code is None and kill_wanted:
            return RunExit(KILLED, at, "killed together with its Ray actor.")
        if self._count == 1 or end.code == 0:
            return end
        where = f"on node {number + 1} of its {self._count}"
        return RunExit(end.code, at, f"{end.reason} ({where})" if end.reason else f"first {where}")

"""Which processes a launcher has to start on this machine, and what each of them is told."""

from __future__ import annotations

import os
from dataclasses import dataclass

from determined._info import ClusterInfo
from determined.errors import InvalidInput

_LOOPBACK = "127.0.0.1"
_PORT_VARIABLE = "C10D_PORT"
_PORT = 29400


@dataclass(frozen=True, slots=True)
class Members:
    """The machines of a trial, seen from one of them.

    Attributes:
        machines: how many there are.
        machine: which of them this is, from 0.
        counts: processes on each.
        chief: address of the first machine.
        port: at which processes of that machine may listen for the others.
    """

    machines: int
    machine: int
    counts: tuple[int, ...]
    chief: str
    port: int

    @property
    def here(self) -> int:
        """Processes on this machine."""
        return self.counts[self.machine]

    @property
    def first_rank(self) -> int:
        """Rank of the first process of this machine."""
        return sum(self.counts[: self.machine])

    @property
    def size(self) -> int:
        """Processes of the trial."""
        return sum(self.counts)

    def variables(self, local_rank: int) -> dict[str, str]:
        """What one process of this machine is told, under the names that training libraries look for."""
        local_size, machines = str(self.here), str(self.machines)
        return {
            "RANK": str(self.first_rank + local_rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": str(local_rank),
            "LOCAL_WORLD_SIZE": local_size,
            "LOCAL_SIZE": local_size,
            "GROUP_RANK": str(self.machine),
            "GROUP_WORLD_SIZE": machines,
            "CROSS_RANK": str(self.machine),
            "CROSS_SIZE": machines,
            "MASTER_ADDR": self.chief,
            "MASTER_PORT": str(self.port),
            "DET_CHIEF_IP": self.chief,
        }


def members(info: ClusterInfo | None, processes: int | None = None) -> Members:
    """The members of this run; off the cluster one machine.

    Args:
        info: the run, if there is one.
        processes: how many to start on each machine, instead of one for each slot.
    Raises:
        InvalidInput: off the cluster, and nobody said how many.
    """
    if info is None and processes is None:
        raise InvalidInput(
            "off the cluster nobody says how many processes to start; give --nproc-per-node N before the script"
        )
    if processes is not None and processes < 1:
        raise InvalidInput(f"--nproc-per-node is {processes}; give 1 or more")
    if info is None:
        assert processes is not None
        return Members(1, 0, (processes,), _LOOPBACK, _free_port())
    addresses = info.container_addrs
    # A run without slots is one process.
    slots = tuple(max(1, count) for count in info.container_slot_counts)
    counts = slots if processes is None else (processes,) * len(addresses)
    if len(addresses) == 1:
        return Members(1, 0, counts, _LOOPBACK, _free_port())
    return Members(len(addresses), info.container_rank, counts, addresses[0], _agreed_port())


def _agreed_port() -> int:
    """All machines of a run have the same in their environment."""
    text = os.environ.get(_PORT_VARIABLE, "")
    return int(text) if text.isdecimal() else _PORT


def _free_port() -> int:
    """On one machine any will do; a fixed one might belong to another trial."""
    import socket

    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port

"""Ranks of the processes of a trial, and the exchange of small values between them.

A trial has one process for now: every collective call works and returns at once. The constructors for several
processes exist, with their final signatures, and refuse with a sentence.
"""

from __future__ import annotations

import os
from typing import Any

from determined.core._errors import NotAvailable
from determined.errors import InvalidInput


class DistributedContext:
    """Ranks of this process, and gather and broadcast among all processes of the trial.

    Args:
        rank: index of this process among all of the trial.
        size: number of processes of the trial.
        local_rank: index among those of this machine.
        local_size: number on this machine.
        cross_rank: index of this machine.
        cross_size: number of machines.
        chief_ip: address of rank 0; needed when there are several machines.
        pub_port: first port for the exchange between processes.
        pull_port: second port for it.
        port_offset: added to both ports.
        force_tcp: use TCP also on one machine.
    Raises:
        InvalidInput: ranks that do not fit together.
        NotAvailable: more than one process.
    """

    def __init__(
        self,
        *,
        rank: int,
        size: int,
        local_rank: int,
        local_size: int,
        cross_rank: int,
        cross_size: int,
        chief_ip: str | None = None,
        pub_port: int = 12360,
        pull_port: int = 12376,
        port_offset: int = 0,
        force_tcp: bool = False,
    ) -> None:
        for name, index, count in (
            ("rank", rank, size),
            ("local_rank", local_rank, local_size),
            ("cross_rank", cross_rank, cross_size),
        ):
            if not 0 <= index < count:
                raise InvalidInput(f"{name} is {index} of {count}; it must be at least 0 and below the number")
        if size > 1:
            raise NotAvailable(
                f"a trial of {size} processes was asked for; this version runs one process for each trial,"
                " so use slots_per_trial: 1, or let one process drive all devices"
            )
        self.rank = rank
        self.size = size
        self.local_rank = local_rank
        self.local_size = local_size
        self.cross_rank = cross_rank
        self.cross_size = cross_size

    @classmethod
    def from_horovod(cls, hvd: Any, chief_ip: str | None = None) -> DistributedContext:
        """Ranks as an initialised Horovod module has them."""
        return cls(
            rank=hvd.rank(),
            size=hvd.size(),
            local_rank=hvd.local_rank(),
            local_size=hvd.local_size(),
            cross_rank=hvd.cross_rank(),
            cross_size=hvd.cross_size(),
            chief_ip=_chief(chief_ip),
        )

    @classmethod
    def from_deepspeed(cls, chief_ip: str | None = None) -> DistributedContext:
        """Ranks from the variables that the DeepSpeed launcher sets."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_SIZE", "CROSS_RANK", "CROSS_SIZE")
        return cls._from_variables(names, chief_ip)

    @classmethod
    def from_torch_distributed(cls, chief_ip: str | None = None) -> DistributedContext:
        """Ranks from the variables that ``torchrun`` sets."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE")
        return cls._from_variables(names, chief_ip)

    @classmethod
    def _from_variables(cls, names: tuple[str, ...], chief_ip: str | None) -> DistributedContext:
        missing = [name for name in names if not os.environ.get(name, "").isdecimal()]
        if missing:
            raise InvalidInput(f"no whole number in {', '.join(missing)}; start this script with its launcher")
        rank, size, local_rank, local_size, cross_rank, cross_size = (int(os.environ[name]) for name in names)
        return cls(
            rank=rank,
            size=size,
            local_rank=local_rank,
            local_size=local_size,
            cross_rank=cross_rank,
            cross_size=cross_size,
            chief_ip=_chief(chief_ip),
        )

    def get_rank(self) -> int:
        """Index of this process among all of the trial."""
        return self.rank

    def get_local_rank(self) -> int:
        """Index of this process among those of its machine."""
        return self.local_rank

    def get_size(self) -> int:
        """Number of processes of the trial."""
        return self.size

    def get_num_agents(self) -> int:
        """Number of machines of the trial."""
        return self.cross_size

    def gather(self, stuff: Any) -> list[Any] | None:
        """Everyone's ``stuff`` in rank order on the chief; None elsewhere."""
        return [stuff]

    def gather_local(self, stuff: Any) -> list[Any] | None:
        """As ``gather``, among the processes of this machine."""
        return [stuff]

    def allgather(self, stuff: Any) -> list[Any]:
        """Everyone's ``stuff`` in rank order, on every process."""
        return [stuff]

    def allgather_local(self, stuff: Any) -> list[Any]:
        """As ``allgather``, among the processes of this machine."""
        return [stuff]

    def broadcast(self, stuff: Any) -> Any:
        """The chief's ``stuff``, on every process."""
        return stuff

    def broadcast_local(self, stuff: Any = None) -> Any:
        """The ``stuff`` of this machine's first process, on every process of it."""
        return stuff

    def close(self) -> None:
        """End the exchange. Repeating it changes nothing."""


class DummyDistributedContext(DistributedContext):
    """The context of a trial of one process."""

    def __init__(self) -> None:
        super().__init__(rank=0, size=1, local_rank=0, local_size=1, cross_rank=0, cross_size=1)


def _chief(chief_ip: str | None) -> str | None:
    return chief_ip or os.environ.get("DET_CHIEF_IP")

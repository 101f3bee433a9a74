"""Ranks of the processes of a trial, and the exchange of small values between them.

The processes meet when each of them makes its ``DistributedContext``. What happens then is in ``_meeting`` and
``_star``; neither is loaded in a trial of one process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from determined.errors import FailedPrecondition, InvalidInput

if TYPE_CHECKING:
    from determined.core._star import Group

_PORT = 12360
_PORT_VARIABLE = "INTER_TRAIN_PROCESS_COMM_PORT_1"


class DistributedContext:
    """Ranks of this process, and gather and broadcast among all processes of the trial.

    All processes make theirs at about the same time: each waits for all others, up to ``DET_RANKS_WAIT_S`` seconds.
    The collective calls take any value that can be pickled; they are meant for small ones. All processes must make
    the same calls in the same order, each from one thread at a time.

    Args:
        rank: index of this process among all of the trial.
        size: number of processes of the trial.
        local_rank: index among those of this machine.
        local_size: number on this machine.
        cross_rank: index of this machine.
        cross_size: number of machines.
        chief_ip: address of rank 0; needed when there are several machines.
        pub_port: port at which rank 0 listens when there are several machines. When it is left alone and
            ``INTER_TRAIN_PROCESS_COMM_PORT_1`` is set, as it is in trials, that one counts.
        pull_port: not used; one port does.
        port_offset: added to the port.
        force_tcp: use TCP also on one machine.
    Raises:
        InvalidInput: ranks that do not fit together, or several machines without ``chief_ip``; it is a ValueError.
        PeerLost: another process did not come in time; it is a ConnectionError.
        FailedPrecondition: the port is taken; it is a RuntimeError.
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
        pub_port: int = _PORT,
        pull_port: int = 12376,
        port_offset: int = 0,
        force_tcp: bool = False,
    ) -> None:
        _check_ranks(rank, size, local_rank, local_size, cross_rank, cross_size)
        if cross_size > 1 and not chief_ip:
            raise InvalidInput(
                f"the trial has {cross_size} machines and chief_ip was not given; give the address of the machine of"
                " rank 0, or set DET_CHIEF_IP"
            )
        self.rank = rank
        self.size = size
        self.local_rank = local_rank
        self.local_size = local_size
        self.cross_rank = cross_rank
        self.cross_size = cross_size
        self._closed = False
        self._all: Group | None = None
        self._local: Group | None = None
        if size > 1:
            from determined.core._meeting import Ranks, meet

            ranks = Ranks(rank, size, local_rank, local_size, cross_rank, cross_size)
            self._all, self._local = meet(ranks, chief_ip, _port(pub_port) + port_offset, force_tcp)

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
        """Everyone's ``stuff`` in rank order on the chief; None elsewhere. Returns when all have called.

        This and the other collective calls raise:
            PeerLost: a process has ended or has left.
            OutOfStep: another process made another call; it is a RuntimeError.
            FailedPrecondition: after ``close``, or after one of these.
            TypeError: ``stuff`` cannot be pickled.
        """
        group = self._open(self._all)
        return [stuff] if group is None else group.gather(stuff)

    def gather_local(self, stuff: Any) -> list[Any] | None:
        """As ``gather``, among the processes of this machine."""
        group = self._open(self._local)
        return [stuff] if group is None else group.gather(stuff)

    def allgather(self, stuff: Any) -> list[Any]:
        """Everyone's ``stuff`` in rank order, on every process."""
        group = self._open(self._all)
        return [stuff] if group is None else group.allgather(stuff)

    def allgather_local(self, stuff: Any) -> list[Any]:
        """As ``allgather``, among the processes of this machine."""
        group = self._open(self._local)
        return [stuff] if group is None else group.allgather(stuff)

    def broadcast(self, stuff: Any) -> Any:
        """The chief's ``stuff``, on every process. The chief does not wait for the others."""
        group = self._open(self._all)
        return stuff if group is None else group.broadcast(stuff)

    def broadcast_local(self, stuff: Any = None) -> Any:
        """The ``stuff`` of this machine's first process, on every process of it."""
        group = self._open(self._local)
        return stuff if group is None else group.broadcast(stuff)

    def close(self) -> None:
        """End the exchange; others that still wait for this process fail. Repeating it changes nothing."""
        self._closed = True
        for group in (self._local, self._all):
            if group is not None:
                group.close()

    def _open(self, group: Group | None) -> Group | None:
        if self._closed and group is not None:
            raise FailedPrecondition("a collective call was made after close(); make it inside of core.init()")
        return group


class DummyDistributedContext(DistributedContext):
    """The context of a trial of one process."""

    def __init__(self) -> None:
        super().__init__(rank=0, size=1, local_rank=0, local_size=1, cross_rank=0, cross_size=1)


def _chief(chief_ip: str | None) -> str | None:
    return chief_ip or os.environ.get("DET_CHIEF_IP")


def _port(pub_port: int) -> int:
    text = os.environ.get(_PORT_VARIABLE, "")
    return int(text) if pub_port == _PORT and text.isdecimal() else pub_port


def _check_ranks(rank: int, size: int, local_rank: int, local_size: int, cross_rank: int, cross_size: int) -> None:
    for name, index, count in (
        ("rank", rank, size),
        ("local_rank", local_rank, local_size),
        ("cross_rank", cross_rank, cross_size),
    ):
        if not 0 <= index < count:
            raise InvalidInput(f"{name} is {index} of {count}; it must be at least 0 and below the number")
    if local_size > size or cross_size > size or (cross_size == 1) != (local_size == size):
        raise InvalidInput(
            f"there are {size} processes, {local_size} of them on this machine, and {cross_size} machine(s); these do"
            " not fit together"
        )
    if cross_size == 1 and rank != local_rank:
        raise InvalidInput(f"rank is {rank} and local_rank {local_rank}; on one machine they are the same")
    if rank == 0 and local_rank != 0:
        raise InvalidInput(f"rank 0 has local_rank {local_rank}; it must be the first of its machine")

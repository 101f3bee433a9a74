"""How the processes of a trial find each other: addresses, who waits for whom, and whether their ranks fit together."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import socket
import sys
import time
from dataclasses import dataclass

from determined._info import TRIAL_TASK, get_cluster_info
from determined.core._links import Address, code, connect, shown
from determined.core._reception import Reception
from determined.core._secret import group_key
from determined.core._star import Alone, Group, Outer
from determined.errors import FailedPrecondition, InvalidInput

WAIT_VARIABLE = "DET_RANKS_WAIT_S"
_WAIT_S = 600.0
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ranks:
    """Where one process stands among all of its trial."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    cross_rank: int
    cross_size: int


@dataclass(frozen=True, slots=True)
class _Presence:
    """What each process tells all others when they meet."""

    ranks: Ranks
    run: str
    hparams: str
    local_address: Address | None


def meet(ranks: Ranks, chief_ip: str | None, port: int, force_tcp: bool) -> tuple[Group, Group]:
    """The group of all processes, and that of this machine.

    All processes of the trial call this at about the same time.

    Raises:
        PeerLost: somebody did not come in time.
        InvalidInput: the ranks do not fit together, or the processes belong to different runs.
        FailedPrecondition: the port is taken.
    """
    deadline = time.monotonic() + _wait_s()
    key = group_key()
    everyone = _whole_group(ranks, key, chief_ip, port, force_tcp, deadline)
    try:
        local_key = code(key, b"machine", str(ranks.cross_rank).encode())
        is_own = ranks.cross_size > 1 and ranks.local_size > 1
        listener = _local_listener(force_tcp) if is_own and ranks.local_rank == 0 else None
        address = None if listener is None else _address_of(listener)
        present: list[_Presence] = everyone.allgather(_Presence(ranks, *_run(), address))
        _check(present)
        if ranks.cross_size == 1:
            return everyone, everyone
        if not is_own:
            return everyone, Alone()
        if listener is not None:
            return everyone, Reception(listener, local_key, ranks.local_size, _local_name).wait(deadline)
        chief = next(p for p in present if p.ranks.cross_rank == ranks.cross_rank and p.ranks.local_rank == 0)
        assert chief.local_address is not None
        link = connect(
            chief.local_address, local_key, ranks.local_rank, ranks.local_size, deadline, f"rank {chief.ranks.rank}"
        )
        return everyone, Outer(link)
    except BaseException:
        everyone.close()
        raise


def _whole_group(ranks: Ranks, key: bytes, chief_ip: str | None, port: int, force_tcp: bool, deadline: float) -> Group:
    address: Address
    if ranks.cross_size == 1 and _has_names(force_tcp):
        address = "\0determined-" + code(key, b"name", str(port).encode()).hex()[:32]
    else:
        address = (chief_ip if ranks.cross_size > 1 and chief_ip else _LOOPBACK, port)
    if ranks.rank == 0:
        return Reception(_listen(address), key, ranks.size, _name).wait(deadline)
    return Outer(connect(address, key, ranks.rank, ranks.size, deadline, _name(0)))


def _has_names(force_tcp: bool) -> bool:
    """Whether sockets can have names that vanish with them, and belong to this machine only."""
    return sys.platform == "linux" and not force_tcp


def _local_listener(force_tcp: bool) -> socket.socket:
    if _has_names(force_tcp):
        return _listen(f"\0determined-{secrets.token_hex(16)}")
    return _listen((_LOOPBACK, 0))


def _address_of(listener: socket.socket) -> Address:
    name = listener.getsockname()
    return name.decode() if isinstance(name, bytes) else (name[0], name[1])


def _listen(address: Address) -> socket.socket:
    try:
        if isinstance(address, str):
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(address)
            listener.listen()
            return listener
        return _listen_on(*address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise FailedPrecondition(
                f"{shown(address)} is taken, perhaps by another trial of yours on this machine; give another"
                " port_offset to all processes, or set INTER_TRAIN_PROCESS_COMM_PORT_1"
            ) from error
        raise FailedPrecondition(f"rank 0 cannot be reached at {shown(address)}: {error}") from error


def _listen_on(host: str, port: int) -> socket.socket:
    family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    try:
        return socket.create_server((str(place[0]), port), family=family)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        # The address by which others reach this machine belongs to something in front of it.
        return socket.create_server(("", port), family=family)


def _run() -> tuple[str, str]:
    info = get_cluster_info()
    if info is None or info.task_type != TRIAL_TASK:
        return "", ""
    text = json.dumps(info.trial.hparams, sort_keys=True)
    return info.allocation_id, hashlib.sha256(text.encode()).hexdigest()


def _check(present: list[_Presence]) -> None:
    """Each process sees the same list, and so comes to the same verdict."""
    first = present[0]
    seen: dict[tuple[int, int], int] = {}
    for rank, one in enumerate(present):
        ranks = one.ranks
        if (one.run, one.hparams) != (first.run, first.hparams):
            raise InvalidInput(
                f"rank {rank} belongs to run {one.run or 'none'} and rank 0 to run {first.run or 'none'}, or their"
                " hyperparameters differ; start all processes of a trial from one and the same run"
            )
        if ranks.cross_size != first.ranks.cross_size:
            raise InvalidInput(
                f"rank {rank} knows of {ranks.cross_size} machines, and rank 0 of {first.ranks.cross_size}"
            )
        other = seen.setdefault((ranks.cross_rank, ranks.local_rank), rank)
        if other != rank:
            raise InvalidInput(
                f"ranks {other} and {rank} both have cross_rank {ranks.cross_rank} and local_rank {ranks.local_rank};"
                " count local_rank from 0 on each machine"
            )
    for rank, one in enumerate(present):
        count = sum(1 for cross, _ in seen if cross == one.ranks.cross_rank)
        if count != one.ranks.local_size:
            raise InvalidInput(
                f"rank {rank} says that {one.ranks.local_size} processes are on machine {one.ranks.cross_rank}; {count}"
                " came from there"
            )


def _wait_s() -> float:
    text = os.environ.get(WAIT_VARIABLE)
    try:
        wait_s = _WAIT_S if text is None else float(text)
    except ValueError:
        wait_s = -1.0
    if not 0 < wait_s < float("inf"):
        raise InvalidInput(f"{WAIT_VARIABLE} is {text!r}; give a number of seconds above 0")
    return wait_s


def _name(index: int) -> str:
    return f"rank {index}"


def _local_name(index: int) -> str:
    return f"local rank {index}"

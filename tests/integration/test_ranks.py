"""The exchange between the processes of a trial: real processes, on one machine and on two that share it."""

from __future__ import annotations

import contextlib
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest

from determined.core import OutOfStep, PeerLost
from determined.core._links import GREETING_BYTES, HELLO, Kind, Link, pack, session_keys
from tests.integration.ranks import Ended, finish, free_port, run, start

ALL_CALLS = """
context = meet({more})
rank = context.get_rank()
tell(context.gather(rank))
tell(context.allgather(str(rank)))
tell(context.broadcast({{"from": rank}}))
tell(context.gather_local(rank))
tell(context.allgather_local(rank))
tell(context.broadcast_local(rank))
tell([context.get_local_rank(), context.get_size(), context.get_num_agents()])
context.close()
context.close()
"""


def machine_of(rank: int, size: int, machines: int) -> list[int]:
    local = size // machines
    return [n for n in range(size) if n // local == rank // local]


@pytest.mark.parametrize(
    ("size", "machines", "force_tcp"),
    [(1, 1, False), (2, 1, False), (2, 1, True), (2, 2, False), (4, 1, False), (4, 2, False), (4, 2, True)],
)
def test_every_collective_call_gives_every_rank_what_it_says(size: int, machines: int, force_tcp: bool) -> None:
    ended = run(ALL_CALLS.format(more=f"force_tcp={force_tcp}"), size, machines, port=free_port())
    for rank, one in enumerate(ended):
        assert one.code == 0, one.errors
        mine = machine_of(rank, size, machines)
        assert one.told == [
            list(range(size)) if rank == 0 else None,
            [str(n) for n in range(size)],
            {"from": 0},
            mine if rank == mine[0] else None,
            mine,
            mine[0],
            [mine.index(rank), size, machines],
        ]


def test_a_value_of_many_megabytes_arrives_whole() -> None:
    body = """
import hashlib
context = meet()
tell([hashlib.sha256(v).hexdigest() for v in context.allgather(bytes([context.rank]) * 20_000_000)])
"""
    first, second = run(body, 2)
    assert first.code == second.code == 0, first.errors + second.errors
    assert first.told == second.told


DIES = """
context = meet()
tell(context.allgather(context.rank))
if context.rank == {victim}:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    while True:
        context.{call}(context.rank)
except core.PeerLost as error:
    tell(str(error))
    try:
        context.allgather(1)
    except RuntimeError as error:
        tell(str(error))
"""


@pytest.mark.parametrize("machines", [1, 2])
@pytest.mark.parametrize("call", ["gather", "allgather"])
@pytest.mark.parametrize("victim", [0, 3])
def test_a_rank_that_is_killed_makes_all_others_fail_and_none_hang(victim: int, call: str, machines: int) -> None:
    ended = run(DIES.format(victim=victim, call=call), 4, machines, port=free_port())
    assert ended[victim].code == -9
    for rank, one in enumerate(ended):
        if rank != victim:
            assert one.code == 0, one.errors
            assert "is gone" in one.told[1]
            assert "has ended before" in one.told[2]
    if victim:
        assert ended[0].told[1].startswith(f"rank {victim} is gone")


def test_the_chief_hears_of_a_dead_worker_also_when_it_only_broadcasts() -> None:
    chief, worker = run(DIES.format(victim=1, call="broadcast"), 2)
    assert worker.code == -9
    assert chief.told[1].startswith("rank 1 is gone")


def test_a_process_that_a_rank_has_forked_does_not_hide_its_death() -> None:
    body = """
context = meet()
if context.rank == 1:
    child = os.fork()
    if not child:
        os.close(1)
        os.close(2)
        signal.alarm(60)
        signal.pause()
context.allgather(None)
child = context.allgather(child if context.rank else None)[1]
if context.rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    context.gather(None)
except core.PeerLost as error:
    # The child is there still.
    os.kill(child, signal.SIGKILL)
    tell(str(error))
"""
    chief, worker = run(body, 2)
    assert worker.code == -9
    assert chief.code == 0, chief.errors
    assert chief.told[0].startswith("rank 1 is gone")


def test_calls_out_of_step_are_an_error_that_names_both() -> None:
    body = """
context = meet()
try:
    context.broadcast(1) if context.rank == 0 else context.gather(1)
    context.allgather(2)
except RuntimeError as error:
    tell(str(error))
except core.PeerLost as error:
    tell(str(error))
"""
    chief, worker = run(body, 2)
    assert "called gather() while rank 0 called broadcast()" in worker.told[0]
    # Whichever it sees first: what the worker has called, or its end.
    assert "called gather()" in chief.told[0] or "rank 1 is gone" in chief.told[0]


def test_what_cannot_be_pickled_is_an_error_of_its_rank_alone() -> None:
    body = """
context = meet()
if context.rank == 1:
    try:
        context.allgather(lambda: 0)
    except TypeError as error:
        tell(str(error))
tell(context.allgather(context.rank))
"""
    chief, worker = run(body, 2)
    assert chief.told == [[0, 1]]
    assert "cannot be sent to other processes" in worker.told[0]
    assert worker.told[1] == [0, 1]


def test_a_rank_that_never_comes_is_named() -> None:
    body = """
try:
    meet()
except core.PeerLost as error:
    tell(str(error))
"""
    started = [start(body, rank, 4, DET_RANKS_WAIT_S="1.5") for rank in (0, 2)]
    chief, worker = (finish(process) for process in started)
    assert chief.told[0].startswith("rank 1, rank 3 did not come in time"), chief
    assert "rank 0" in worker.told[0]


def test_without_a_chief_a_worker_says_where_it_looked() -> None:
    port = free_port()
    ended = finish(start("meet(force_tcp=True)", 1, 2, port=port, DET_RANKS_WAIT_S="0.2"))
    assert ended.code == 1
    assert f"rank 0 could not be reached at 127.0.0.1 port {port}" in ended.errors


def refused(size: int, machines: int, *changes: str) -> list[Ended]:
    """Ranks that were changed on their way, process by process."""
    bodies = [
        f"try:\n    meet({change})\nexcept (ValueError, core.PeerLost) as error:\n    tell(str(error))"
        for change in changes
    ]
    port = free_port()
    started = [start(body, rank, size, machines, port=port) for rank, body in enumerate(bodies)]
    return [finish(process) for process in started]


def test_ranks_that_do_not_fit_together_are_refused_on_every_process() -> None:
    first, *_ = refused(3, 1, "", "", "rank=1, local_rank=1")
    assert "two processes came as rank 1" in first.told[0]
    first, *_ = refused(2, 1, "", "size=3, local_size=3")
    assert "rank 1 says that there are 3 processes, and rank 0 2" in first.told[0]
    for one in refused(4, 2, "", "", "", "local_rank=0"):
        assert "ranks 2 and 3 both have cross_rank 1 and local_rank 0" in one.told[0]


def test_who_does_not_know_the_secret_is_no_member_and_has_nothing_unpickled(tmp_path: Path) -> None:
    """A stranger that speaks the protocol, one that says nothing, and one with another run's secret."""
    port, mark = free_port(), tmp_path / "executed"
    body = "tell('listening'); context = meet(force_tcp=True); tell(context.allgather(context.rank))"
    chief = start(body, 0, 2, port=port)
    with connected(port) as silent, connected(port) as stranger:
        assert len(greeting(silent)) == len(greeting(stranger)) == GREETING_BYTES
        stranger.sendall(HELLO.pack(1, 2, b"n" * 32, b"p" * 32) + pickle.dumps(Harm(str(mark))))
        assert_hung_up(stranger)
        other = "meet(force_tcp=True)"
        failed = finish(start(other, 1, 2, port=port, DET_RANKS_SECRET="of another run" * 3, DET_RANKS_WAIT_S="0.3"))
        assert "could not be reached" in failed.errors
        worker = finish(start(body, 1, 2, port=port))
    assert finish(chief).told == ["listening", [0, 1]]
    assert worker.told == ["listening", [0, 1]]
    assert not mark.exists()


class Harm:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def connected(port: int) -> socket.socket:
    """A connection to a chief that may not listen yet."""
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            continue


def greeting(connection: socket.socket) -> bytes:
    return connection.recv(GREETING_BYTES, socket.MSG_WAITALL)


def assert_hung_up(connection: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""


def test_off_the_cluster_the_secret_is_a_file_that_only_the_user_can_read(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    body = "del os.environ['DET_RANKS_SECRET']; tell(meet().allgather(os.environ['RANK']))"
    port = free_port()
    assert [one.told for one in run(body, 3, 1, port, **env)] == [[["0", "1", "2"]]] * 3
    folder = tmp_path / "data" / "determined-search"
    assert [p.name for p in folder.iterdir()] == ["ranks.key"]
    key = folder / "ranks.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    failed = finish(start(body, 0, 2, 1, port, **env))
    assert "must belong to you alone" in failed.errors


def linked() -> tuple[Link, Link, socket.socket, socket.socket]:
    """Two ends that do not see each other's bytes before the test has passed them on."""
    (a, a_far), (b, b_far) = socket.socketpair(), socket.socketpair()
    keys = session_keys(b"key", b"greeting", b"nonce")
    return Link(a, "rank 1", *keys), Link(b, "rank 0", keys[1], keys[0]), a_far, b_far


def caught(link: Link, wire: socket.socket, value: Any) -> bytes:
    link.send(Kind.BROADCAST, pack(value))
    return wire.recv(1 << 16)


def test_a_frame_that_was_changed_or_repeated_on_its_way_is_not_read(tmp_path: Path) -> None:
    for change in ("repeat", "change", "swap", "cut"):
        sender, receiver, sender_wire, receiver_wire = linked()
        mark = tmp_path / change
        first = caught(sender, sender_wire, Harm(str(mark)) if change in ("change", "cut") else 1)
        second = caught(sender, sender_wire, 2)
        if change == "repeat":
            receiver_wire.sendall(first)
            assert receiver.receive(Kind.BROADCAST) == 1
            receiver_wire.sendall(first)
        elif change == "change":
            receiver_wire.sendall(first[:-2] + bytes([first[-2] ^ 1]) + first[-1:])
        elif change == "swap":
            receiver_wire.sendall(second + first)
        else:
            receiver_wire.sendall(first[:-1])
            receiver_wire.close()
        with pytest.raises(PeerLost, match="rank 0 is gone"):
            receiver.receive(Kind.BROADCAST)
        assert not mark.exists()
        for end in (sender, receiver, sender_wire, receiver_wire):
            end.close()


def test_a_frame_of_another_kind_is_out_of_step() -> None:
    sender, receiver, sender_wire, receiver_wire = linked()
    receiver_wire.sendall(caught(sender, sender_wire, 1))
    with pytest.raises(OutOfStep, match=r"called gather\(\) while rank 0 called broadcast\(\)"):
        receiver.receive(Kind.GATHER)
    for end in (sender, receiver, sender_wire, receiver_wire):
        end.close()

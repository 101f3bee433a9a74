"""Trials in small, on a server that only answers them, so that what runs are forked from has been through them before.

What is done for the first time loads modules, fills caches, has the interpreter adapt its code, and so writes to
hundreds of pages of memory. A fork of a process that has done it a few times finds all of it done.
"""

from __future__ import annotations

import contextlib
import socket
import threading

_PATIENCE_S = 5.0
_TRIALS = 16
"""The interpreter adapts what has been called a few times."""
_ANSWERS = {
    b"/rendezvous": b'{"rendezvousInfo":{"addresses":["127.0.0.1"],"rank":0,"slots":[1]}}',
    b"/searcher/operation": b'{"op":{"validateAfter":{"length":"1"}},"completed":false}',
    b"/completed_operation": b'{"done":true}',
}
_STORAGE = {"type": "shared_fs", "host_path": "/", "storage_path": "rehearsal"}


def rehearse() -> None:
    """Do what a trial does with the Core API, for what it leaves in memory; what goes wrong does not matter."""
    with contextlib.suppress(Exception), socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_PATIENCE_S)
        # It has ended before anything is forked: forks have no threads.
        answering = threading.Thread(target=_answer, args=(server,))
        answering.start()
        try:
            for number in range(_TRIALS):
                _play(f"http://127.0.0.1:{server.getsockname()[1]}", number)
        finally:
            # Nobody will connect any more.
            server.shutdown(socket.SHUT_RDWR)
            answering.join()


def _play(address: str, number: int) -> None:
    from determined._info import TRIAL_TASK, ClusterInfo, RendezvousInfo, TrialInfo
    from determined.core._context import init_trial
    from determined.core._storage_config import storage_of_run
    from determined.exec.rendezvous import rendezvous

    # Each kind of value is asked about for the first time.
    length = (1, {"batches": 1})[number % 2]
    config = {"searcher": {"name": "random", "max_length": length}, "checkpoint_storage": _STORAGE}
    trial = TrialInfo(1, 1, number, {"x": 0.5}, config, 0, 1, False, None)
    met = rendezvous(address, "1.r.1", "1", "rehearsal")
    info = ClusterInfo(
        address,
        "r",
        "local",
        [0],
        "1.r",
        "1.r.1",
        "rehearsal",
        TRIAL_TASK,
        None,
        None,
        None,
        trial,
        RendezvousInfo(**met),
    )
    storage_of_run(info)
    with init_trial(info) as context:
        for operation in context.searcher.operations():
            operation.report_progress(0.5)
            context.train.report_training_metrics(steps_completed=1, metrics={"loss": 0.5})
            context.train.report_validation_metrics(steps_completed=1, metrics={"loss": 0.5})
            operation.report_completed(0.5)


def _answer(server: socket.socket) -> None:
    """Answer one connection after the other; requests as small as these come in one piece."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(_PATIENCE_S)
                while request := connection.recv(1 << 16):
                    line = request.partition(b" HTTP/")[0]
                    body = next((answer for end, answer in _ANSWERS.items() if line.endswith(end)), b"{}")
                    connection.sendall(_head(len(body)) + body)


def _head(length: int) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % length
    )

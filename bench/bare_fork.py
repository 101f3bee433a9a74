"""How fast this machine forks a process that has scikit-learn loaded: ``python -m bench.bare_fork COUNT``.

Two at a time, each child reports one metric over a socket pair of its own, hears the answer, and exits: as little as a
trial in a process of its own can be. Prints the number and the seconds as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import socket
import sys
import time

AT_ONCE = 2


def child(parent: socket.socket) -> None:
    """The life of one child."""
    parent.sendall(json.dumps({"loss": 0.5}).encode() + b"\n")
    parent.recv(64)
    os._exit(0)


def run(count: int) -> float:
    """Seconds for so many children."""
    pids: dict[socket.socket, int] = {}
    left = count
    begin = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        while left or pids:
            while left and len(pids) < AT_ONCE:
                ours, theirs = socket.socketpair()
                if not (pid := os.fork()):
                    child(theirs)
                theirs.close()
                pids[ours] = pid
                selector.register(ours, selectors.EVENT_READ)
                left -= 1
            for key, _ in selector.select():
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if line := connection.recv(4096):
                    assert json.loads(line)["loss"] == 0.5
                    connection.sendall(b'{"done": true}\n')
                else:
                    selector.unregister(connection)
                    connection.close()
                    _, status = os.waitpid(pids.pop(connection), 0)
                    assert status == 0, status
    return time.perf_counter() - begin


def main() -> None:
    import sklearn  # noqa: F401  # what the template is to have loaded

    # As the templates of warm start do, so that the collector of a child does not write to all pages.
    gc.collect()
    gc.freeze()
    count = int(sys.argv[1])
    print(json.dumps({"trials": count, "seconds": run(count)}))


if __name__ == "__main__":
    main()

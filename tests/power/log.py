"""What a process asked of the file system, in order: the input of the power loss model."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        kind: make, write, cut, sync, sync_folder, rename, remove, make_folder or ack.
        path: absolute; "" for an ack.
        data: bytes written; of a synced file the content, where the log knows nothing else about it; of a synced
            folder its names, with NUL between them.
        at: offset of a write, size of a cut, number of an ack.
        target: of a rename.
        site: which line of the product asked for a sync.
    """

    kind: str
    path: str = ""
    data: bytes = b""
    at: int = 0
    target: str = ""
    site: str = ""


@dataclass
class Log:
    """Collects calls of several threads."""

    calls: list[Call] = field(default_factory=list)
    turn: threading.RLock = field(default_factory=threading.RLock)

    def add(self, call: Call) -> None:
        """Note a call that has returned."""
        with self.turn:
            self.calls.append(call)

    def ack(self, number: int) -> None:
        """Note that somebody was told: this is stored."""
        self.add(Call("ack", at=number))

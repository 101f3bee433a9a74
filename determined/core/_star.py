"""A group of processes that exchange values through their first one, which all others are connected to.

Waiting is waiting for bytes: nothing polls. Whoever ends closes its connections, which wakes all who wait for it; the
first one then closes the others', so that all of them hear of it.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from typing import Any, Protocol

from determined.core._errors import OutOfStep, PeerLost
from determined.core._links import Kind, Link, pack
from determined.errors import FailedPrecondition


class Group(Protocol):
    """What a process does together with the others."""

    def gather(self, stuff: Any) -> list[Any] | None:
        """Everyone's, on the first; None elsewhere."""

    def allgather(self, stuff: Any) -> list[Any]:
        """Everyone's, everywhere."""

    def broadcast(self, stuff: Any) -> Any:
        """What the first one has given."""

    def close(self) -> None:
        """Leave. Repeating it changes nothing."""


class Alone:
    """A group of one."""

    def gather(self, stuff: Any) -> list[Any] | None:
        """The only value."""
        return [stuff]

    def allgather(self, stuff: Any) -> list[Any]:
        """The only value."""
        return [stuff]

    def broadcast(self, stuff: Any) -> Any:
        """The only value."""
        return stuff

    def close(self) -> None:
        """Do nothing."""


class _Breakable:
    """A group that is of no use any more once something has gone wrong in it."""

    def __init__(self) -> None:
        self._broken: Exception | None = None

    def close(self) -> None:
        """Close all connections."""
        raise NotImplementedError

    def _guarded(self, call: Callable[[], Any]) -> Any:
        if self._broken is not None:
            raise FailedPrecondition(
                f"the exchange between the processes of this trial has ended before ({self._broken}); end this process,"
                " so that the trial is started again"
            ) from self._broken
        try:
            return call()
        except (PeerLost, OutOfStep) as error:
            self._broken = error
            self.close()
            raise


class Middle(_Breakable):
    """The first process of a group.

    Args:
        links: to the others, in order.
    """

    def __init__(self, links: list[Link]) -> None:
        super().__init__()
        self._links = links
        self._selector = selectors.DefaultSelector()
        for link in links:
            self._selector.register(link.connection, selectors.EVENT_READ, link)

    def gather(self, stuff: Any) -> list[Any] | None:
        """All values, when all have come; the others go on then."""
        values: list[Any] = self._guarded(lambda: self._exchange(Kind.GATHER, stuff))
        return values

    def allgather(self, stuff: Any) -> list[Any]:
        """All values, when all have come."""
        values: list[Any] = self._guarded(lambda: self._exchange(Kind.ALLGATHER, stuff))
        return values

    def broadcast(self, stuff: Any) -> Any:
        """Does not wait for the others."""
        data = pack(stuff)
        self._guarded(lambda: self._tell(Kind.BROADCAST, data))
        return stuff

    def close(self) -> None:
        """Close all connections."""
        self._selector.close()
        for link in self._links:
            link.close()

    def _exchange(self, kind: Kind, stuff: Any) -> list[Any]:
        # Before anybody waits for it, so that what cannot be sent is an error here and nothing else.
        pack(stuff)
        values = [stuff, *self._collect(kind)]
        self._tell(kind, pack(None if kind is Kind.GATHER else values))
        return values

    def _collect(self, kind: Kind) -> list[Any]:
        found: dict[Link, Any] = {}
        while len(found) < len(self._links):
            for key, _ in self._selector.select():
                link: Link = key.data
                if link not in found:
                    found[link] = link.receive(kind)
                elif link.is_gone():
                    raise link.lost()
        return [found[link] for link in self._links]

    def _tell(self, kind: Kind, data: bytes) -> None:
        for key, _ in self._selector.select(0):
            # A send to somebody who has just ended would succeed.
            if key.data.is_gone():
                raise key.data.lost()
        for link in self._links:
            link.send(kind, data)


class Outer(_Breakable):
    """Any other process of a group."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def gather(self, stuff: Any) -> list[Any] | None:
        """None, when all values have come."""
        self._exchange(Kind.GATHER, stuff)
        return None

    def allgather(self, stuff: Any) -> list[Any]:
        """All values, when all have come."""
        values: list[Any] = self._exchange(Kind.ALLGATHER, stuff)
        return values

    def broadcast(self, stuff: Any) -> Any:
        """The value of the first process."""
        return self._guarded(lambda: self._link.receive(Kind.BROADCAST))

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _exchange(self, kind: Kind, stuff: Any) -> Any:
        data = pack(stuff)
        self._guarded(lambda: self._link.send(kind, data))
        return self._guarded(lambda: self._link.receive(kind))

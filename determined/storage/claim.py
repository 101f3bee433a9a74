"""That one process alone writes to a database, and how it knows what became of a commit whose answer was lost."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection

from determined.errors import StorageFailed


class ClaimLost(StorageFailed):
    """Another process has become the writer; this one can never write again."""


class Claim(Protocol):
    """Of one process on one database. ``take`` and ``enter`` come first, then transactions, one after the other."""

    def take(self) -> None:
        """Keep other processes out.

        Raises:
            FailedPrecondition: one is in already; says which.
            StorageFailed: the database cannot be asked.
        """

    def enter(self, conn: Connection) -> None:
        """Fence off whoever wrote before, in the transaction of ``conn``."""

    def begin(self, conn: Connection) -> None:
        """The first thing in each transaction.

        Raises:
            ClaimLost: nothing may be written any more.
        """

    def committed(self) -> None:
        """The newest transaction has been committed for certain."""

    def find_out(self, conn: Connection) -> bool:
        """Whether the newest transaction, whose connection was lost, was committed. It cannot be any more, if not.

        Raises:
            ClaimLost: see ``begin``.
        """

    def release(self) -> None:
        """Let others in. Repeating it changes nothing."""


class Unclaimed:
    """For databases that keep other writers out by themselves, and whose commits do not travel."""

    def take(self) -> None:
        """See ``Claim``."""

    def enter(self, conn: Connection) -> None:
        """See ``Claim``."""

    def begin(self, conn: Connection) -> None:
        """See ``Claim``."""

    def committed(self) -> None:
        """See ``Claim``."""

    def find_out(self, conn: Connection) -> bool:
        """See ``Claim``."""
        raise AssertionError("the outcome of a commit in this process is never unknown")

    def release(self) -> None:
        """See ``Claim``."""

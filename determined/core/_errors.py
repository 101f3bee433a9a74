"""Exceptions that only a training script can meet; each is a ``DeterminedError``."""

from __future__ import annotations

from determined.errors import DeterminedError, FailedPrecondition, InvalidInput


class UnsuitableValue(InvalidInput, TypeError):
    """A metric, length or metadata value of a kind that cannot be reported."""


class NotAvailable(DeterminedError, NotImplementedError):
    """Part of the documented interface that does not work here, or not yet."""


class PeerLost(DeterminedError, ConnectionError):
    """Another process of the same trial has ended, has left, or never came; this one cannot go on without it."""


class OutOfStep(FailedPrecondition):
    """The processes of a trial made different collective calls; it is a RuntimeError."""

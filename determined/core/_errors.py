"""Exceptions that only a training script can meet; each is a ``DeterminedError``."""

from __future__ import annotations

from determined.errors import DeterminedError, InvalidInput


class UnsuitableValue(InvalidInput, TypeError):
    """A metric, length or metadata value of a kind that cannot be reported."""


class NotAvailable(DeterminedError, NotImplementedError):
    """Part of the documented interface that does not work here, or not yet."""

"""Every exception of the system, so that a caller can see at one glance what may be caught.

DeterminedError
├── InvalidInput (ValueError)               what was sent is wrong; sending it again cannot help
│   ├── InvalidConfig                       an experiment configuration, with every problem in it
│   ├── InvalidOperations                   a batch of search operations; nothing of it was applied
│   └── InvalidContext                      an uploaded model definition
├── NotFound (LookupError)                  no such experiment, trial, checkpoint, user ...
├── FailedPrecondition (RuntimeError)       right request, wrong moment
│   ├── IllegalTransition                   a state machine was asked for an arrow it does not have
│   └── StaleRun                            a report from a run that is not the trial's current one
├── Conflict (RuntimeError)                 it exists already, or a replay differs from the original
├── Unauthenticated (PermissionError)       no valid credentials
├── PermissionDenied (PermissionError)      valid credentials, not allowed
├── TooLarge (ValueError)                   a body or context over its limit
├── Exhausted (RuntimeError)                a bounded resource is used up; try again later
├── StorageFailed (OSError)                 the store could not commit; nothing was changed
├── Unavailable (ConnectionError)           the master cannot be reached or is stopping; a retry can help
├── RunnerBusy (RuntimeError)               another search runner holds the folder
├── CorruptState (RuntimeError)             saved state that cannot be read back
└── InvalidHP                               raised by a training script: this point cannot be trained
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class DeterminedError(Exception):
    """Root of everything this package raises on purpose."""


class InvalidInput(DeterminedError, ValueError):
    """The input is wrong as it stands; a retry cannot help."""


class Problem:
    """One thing that is wrong with a document.

    A plain class, because this module is imported by every process and a dataclass would cost it 15 ms.

    Attributes:
        path: where, as keys and indexes joined by dots, e.g. ``searcher.max_length``; "" for the whole.
        message: what is wrong, what is allowed, and what to do.
        line: 1-based line in the submitted text, when known.
    """

    __slots__ = ("line", "message", "path")

    def __init__(self, path: str, message: str, line: int | None = None) -> None:
        self.path = path
        self.message = message
        self.line = line

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Problem({self.path!r}, {self.message!r}, {self.line!r})"

    def __str__(self) -> str:
        where = self.path or "the document"
        return f"{where}: {self.message}" if self.line is None else f"{where} (line {self.line}): {self.message}"

    @property
    def _key(self) -> tuple[str, str, int | None]:
        return (self.path, self.message, self.line)


class InvalidConfig(InvalidInput):
    """An experiment configuration with problems, all of them at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  - {p}" for p in self.problems)
        super().__init__(f"invalid experiment configuration:\n{listed}")


class InvalidOperations(InvalidInput):
    """A batch of search operations with at least one bad member; nothing was applied."""


class InvalidContext(InvalidInput):
    """An uploaded model definition that cannot be accepted."""


class NotFound(DeterminedError, LookupError):
    """The named thing does not exist."""


class FailedPrecondition(DeterminedError, RuntimeError):
    """The request is well formed but not possible in the current state."""


class IllegalTransition(FailedPrecondition):
    """A state machine has no such arrow; nothing was changed."""


class StaleRun(FailedPrecondition):
    """A report came from a run that is not the trial's current one; nothing was stored."""


class Conflict(DeterminedError, RuntimeError):
    """The thing exists already, or a repeated request differs from the one first seen."""


class Unauthenticated(DeterminedError, PermissionError):
    """Credentials are missing, wrong, expired or revoked."""


class PermissionDenied(DeterminedError, PermissionError):
    """Valid credentials that do not reach this far."""


class TooLarge(DeterminedError, ValueError):
    """A body, context or field is over its limit."""


class Exhausted(DeterminedError, RuntimeError):
    """A bounded resource is used up for now; a later retry can help."""


class StorageFailed(DeterminedError, OSError):
    """The store could not commit (disk full, I/O error); nothing was changed."""

    def __str__(self) -> str:
        # With an error number, OSError would put "[Errno 28]" before a sentence that is for people.
        return str(self.strerror) if self.strerror is not None else super().__str__()


class Unavailable(DeterminedError, ConnectionError):
    """The master cannot be reached, or is shutting down; a retry can help."""


class RunnerBusy(DeterminedError, RuntimeError):
    """Another search runner holds the folder."""


class CorruptState(DeterminedError, RuntimeError):
    """Saved state cannot be read back."""


class InvalidHP(DeterminedError):
    """Raised by a training script when its hyperparameters cannot be trained."""

"""Which status, code and words an error gets; the only place that knows."""

from __future__ import annotations

import errno
import logging
import uuid
from dataclasses import dataclass
from typing import Final

import msgspec

from determined.errors import (
    Conflict,
    DeterminedError,
    Exhausted,
    FailedPrecondition,
    InvalidConfig,
    InvalidInput,
    NotFound,
    PermissionDenied,
    StorageFailed,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

log = logging.getLogger("determined.master")

MAX_MESSAGE: Final = 16_384


@dataclass(frozen=True, slots=True)
class Fault:
    """What a client is told about an error."""

    status: int
    code: int
    reason: str
    message: str

    def body(self) -> bytes:
        """Both shapes in one: older clients read ``message``, newer ones ``error``."""
        error = {"code": self.code, "reason": self.reason, "error": self.message}
        return msgspec.json.encode({"message": self.message, "error": error})

    def line(self) -> bytes:
        """The same at the end of a stream."""
        error = {"message": self.message, "code": self.code, "reason": self.reason, "error": self.message}
        return msgspec.json.encode({"error": error}) + b"\n"


# The first type that fits counts, so special ones stand before general ones.
_KINDS: Final[tuple[tuple[type[Exception], int, int, str], ...]] = (
    (InvalidInput, 400, 3, "InvalidArgument"),
    (FailedPrecondition, 400, 9, "FailedPrecondition"),
    (NotFound, 404, 5, "NotFound"),
    (Conflict, 409, 10, "Aborted"),
    (Unauthenticated, 401, 16, "Unauthenticated"),
    (PermissionDenied, 403, 7, "PermissionDenied"),
    (TooLarge, 413, 3, "InvalidArgument"),
    (Exhausted, 429, 8, "ResourceExhausted"),
    (Unavailable, 503, 14, "Unavailable"),
)
_OF_STATUS: Final = {
    401: (16, "Unauthenticated"),
    403: (7, "PermissionDenied"),
    404: (5, "NotFound"),
    405: (12, "Unimplemented"),
    413: (3, "InvalidArgument"),
    501: (12, "Unimplemented"),
}


def fault_of(error: Exception) -> Fault:
    """What to tell about an error; one that nobody foresaw is logged under an id, and only the id is told."""
    if isinstance(error, StorageFailed):
        status = 507 if _is_full(error) else 503
        return Fault(status, 14, "Unavailable", _text(error))
    for kind, status, code, reason in _KINDS:
        if isinstance(error, kind):
            return Fault(status, code, reason, _text(error))
    number = uuid.uuid4().hex[:12]
    log.error("internal error %s", number, exc_info=error)
    if isinstance(error, DeterminedError):
        return Fault(500, 13, "Internal", f"{_text(error)} (internal error {number})")
    return Fault(500, 13, "Internal", f"internal error {number}; the master's log says more under this id")


def fault_of_status(status: int, message: str) -> Fault:
    """What to tell where only a status is known."""
    code, reason = _OF_STATUS.get(status, (3, "InvalidArgument") if status < 500 else (13, "Internal"))
    return Fault(status, code, reason, message)


def _text(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, InvalidConfig) and not text.startswith("invalid experiment"):
        text = f"invalid experiment: {text}"
    # Half of a surrogate pair may have come in with the input that is quoted.
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}... (shortened)"


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(error).lower():
            return True
        error = error.__cause__
    return False

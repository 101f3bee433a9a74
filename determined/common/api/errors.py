"""What can go wrong between a client and the master, under the names that the reference client gives them.

DeterminedError
├── BadRequestException                  the request did not get what it asked for
│   ├── MasterNotFoundException          no answer at all; also Unavailable, since a retry can help
│   │   ├── MasterTimeoutException       no answer in time
│   │   └── UntrustedCertificateException
│   │       └── ChangedCertificateException   not the one that was trusted for this master
│   └── APIException                     the master refused; has ``status_code`` and ``code``
│       ├── InvalidRequestException      also InvalidInput
│       ├── PreconditionException        also FailedPrecondition
│       ├── UnauthenticatedException     also Unauthenticated
│       ├── ForbiddenException           also PermissionDenied
│       ├── NotFoundException            also NotFound
│       ├── ConflictException            also Conflict
│       ├── TooLargeException            also TooLarge
│       ├── ExhaustedException           also Exhausted
│       └── UnavailableException         also Unavailable
├── BadResponseException                 an answer that cannot come from a master
├── CorruptTokenCacheException           also CorruptState
└── CorruptCertificateCacheException     also CorruptState
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from determined.errors import (
    Conflict,
    CorruptState,
    DeterminedError,
    Exhausted,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

_MAX_TEXT = 2000
_FAILED_PRECONDITION = 9


class BadRequestException(DeterminedError):
    """A request that did not get what it asked for.

    Attributes:
        message: what happened, for people.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class MasterNotFoundException(BadRequestException, Unavailable):
    """The master cannot be reached."""


class MasterTimeoutException(MasterNotFoundException):
    """The master was reached but did not answer in time."""


class UntrustedCertificateException(MasterNotFoundException):
    """Something answers over TLS, with a certificate that is not trusted."""


class ChangedCertificateException(UntrustedCertificateException):
    """Another certificate than the one that was trusted for this master."""


class APIException(BadRequestException):
    """The master refused a request.

    Attributes:
        status_code: of the HTTP answer.
        code: number of the reason in the API's own list; 2 (unknown) when the answer did not say.
    """

    def __init__(self, status_code: int, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status_code, self.message, self.code)


class InvalidRequestException(APIException, InvalidInput):
    """What was sent is wrong as it stands."""


class PreconditionException(APIException, FailedPrecondition):
    """A right request at the wrong moment."""


class UnauthenticatedException(APIException, Unauthenticated):
    """No valid credentials were sent."""


class ForbiddenException(APIException, PermissionDenied):
    """Valid credentials that do not reach this far."""


class NotFoundException(APIException, NotFound):
    """The master has no such thing."""


class ConflictException(APIException, Conflict):
    """It exists already, or a repeated request differs from the first."""


class TooLargeException(APIException, TooLarge):
    """The request is over a limit of the master."""


class ExhaustedException(APIException, Exhausted):
    """A limit of the master is reached for now."""


class UnavailableException(APIException, Unavailable):
    """The master, or something in front of it, cannot answer at present."""


class DeleteFailedException(APIException):
    """Something was not deleted."""


class BadResponseException(DeterminedError):
    """An answer that no master gives."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class EmptyResultException(BadResponseException):
    """An answer without the expected content."""


class CorruptTokenCacheException(CorruptState):
    """The file of login tokens cannot be understood."""


class CorruptCertificateCacheException(CorruptState):
    """The file of trusted certificates cannot be understood."""


_BY_STATUS: Mapping[int, type[APIException]] = {
    400: InvalidRequestException,
    401: UnauthenticatedException,
    403: ForbiddenException,
    404: NotFoundException,
    409: ConflictException,
    413: TooLargeException,
    422: InvalidRequestException,
    429: ExhaustedException,
    502: UnavailableException,
    503: UnavailableException,
    504: UnavailableException,
}


def from_answer(status_code: int, body: bytes, what: str) -> APIException:
    """The exception for a refusal.

    Args:
        status_code: of the HTTP answer; not a success.
        body: the answer; either shape of error, or anything at all.
        what: the request, as in ``GET http://localhost:8080/api/v1/me``, for answers that do not explain themselves.
    """
    message, code = _explanation(body)
    if message is None:
        message = f"{what} was answered with HTTP {status_code} and {_glimpse(body)}, which is no answer of a master"
        message += "; check the master address, and any proxy in between"
    if status_code == 401:
        message += "; log in with `det user login` (or set DET_USER and DET_PASS)"
    if status_code == 400 and code == _FAILED_PRECONDITION:
        return PreconditionException(status_code, message, code)
    return _BY_STATUS.get(status_code, APIException)(status_code, message, code)


def not_json(what: str, body: bytes) -> BadResponseException:
    """The exception for a success whose body is not JSON."""
    return BadResponseException(
        f"{what} was answered with {_glimpse(body)} where JSON was expected;"
        " is there a master at that address, or something else?"
    )


def _explanation(body: bytes) -> tuple[str | None, int]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None, 2
    if not isinstance(answer, dict):
        return None, 2
    error = answer.get("error")
    inner = error if isinstance(error, dict) else {}
    code = inner.get("code")
    texts = (inner.get("error"), inner.get("message"), answer.get("message"), answer.get("detail"), error)
    text = next((t for t in texts if isinstance(t, str) and t), None)
    return text, code if isinstance(code, int) else 2


def _glimpse(body: bytes) -> str:
    text = body[:_MAX_TEXT].decode("utf-8", "replace").strip()
    if not text:
        return "an empty body"
    kind = "a web page" if text[:1] == "<" else "text"
    plain = " ".join(re.sub(r"<[^>]*>", " ", text).split())[:120]
    return f"{kind} ({plain!r})"

"""What went wrong with an object store: whether it may pass, and one sentence for people.

Each store's library has errors of its own. They are told apart by what they carry, so that none has to be imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from determined.common.objects.place import Place
from determined.errors import DeterminedError, NotFound, PermissionDenied, StorageFailed, Unavailable

_REFUSED = (401, 403)
_TOO_BUSY = (408, 429)
_CODES_THAT_PASS = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling"})
# Of botocore, aiohttp, azure.core and google.auth: what they call a line that is down.
_LINE_IS_DOWN = frozenset(
    {
        "HTTPClientError",
        "ConnectionError",
        "TimeoutError",
        "ReadTimeoutError",
        "ResponseStreamingError",
        "ClientConnectionError",
        "ClientPayloadError",
        "ServiceRequestError",
        "ServiceResponseError",
        "TransportError",
        "gaierror",
    }
)
_NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "CredentialUnavailableError"}
)
_BAD_CREDENTIALS = frozenset({"ClientAuthenticationError", "RefreshError"})
_LONGEST_TEXT = 300


def may_pass(error: BaseException) -> bool:
    """Whether trying again can help."""
    names, status = _names(error), _status(error)
    if isinstance(error, (PermissionError, FileNotFoundError)) or names & (_NO_CREDENTIALS | _BAD_CREDENTIALS):
        return False
    if _code(error) in _CODES_THAT_PASS or status in _TOO_BUSY or status >= 500:
        return True
    return status == 0 and bool(names & _LINE_IS_DOWN)


def explained(error: BaseException, place: Place, waited_s: float = 0.0) -> DeterminedError:
    """The error of ours for an error of a store's library, in one sentence without secrets."""
    names, status = _names(error), _status(error)
    text = place.without_secrets(" ".join(str(error).split()))[:_LONGEST_TEXT] or type(error).__name__
    if names & _NO_CREDENTIALS:
        return PermissionDenied(f"there are no credentials for {place} ({text}); give {place.credentials}")
    # gcsfs has no error of its own for 403.
    is_forbidden = isinstance(error, OSError) and text.startswith("Forbidden")
    if isinstance(error, PermissionError) or status in _REFUSED or names & _BAD_CREDENTIALS or is_forbidden:
        return PermissionDenied(
            f"{place} refuses these credentials ({text}); check {place.credentials}, and what they may do there"
        )
    if isinstance(error, FileNotFoundError) or status == 404:
        return NotFound(
            f"there is no bucket or container {place.bucket!r} for {place} ({text}); make it, or name another"
        )
    if may_pass(error):
        tried = f" within {waited_s:.0f} s" if waited_s >= 1 else ""
        return Unavailable(
            f"{place} could not be reached{tried} ({text}); check the network, and endpoint_url or account_url in"
            " checkpoint_storage"
        )
    return StorageFailed(f"{place} failed ({type(error).__name__}: {text}); check checkpoint_storage")


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _names(error: BaseException) -> frozenset[str]:
    return frozenset(kind.__name__ for link in _chain(error) for kind in type(link).__mro__)


def _status(error: BaseException) -> int:
    """The HTTP status behind an error; 0 when there was none."""
    for link in _chain(error):
        response: Any = getattr(link, "response", None)
        if isinstance(response, dict):
            return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
        for name in ("status_code", "status", "code"):
            value = getattr(link, name, None)
            if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600:
                return value
    return 0


def _code(error: BaseException) -> str:
    for link in _chain(error):
        response: Any = getattr(link, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code") or "")
    return ""

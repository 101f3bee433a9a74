"""Why no answer came, in words: nobody there, somebody else there, or the other of HTTP and TLS."""

from __future__ import annotations

import re
import ssl
from urllib.parse import urlsplit

from determined.common.api import errors
from determined.common.api.certs import shown_fingerprint
from determined.common.api.connections import proxy_for
from determined.common.api.direct import BrokenOff
from determined.errors import DeterminedError

_PROBE_TIMEOUT_S = 5.0
_NO_TLS = frozenset(
    ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
)
_OTHER_NAME = frozenset((62, 64))
"""OpenSSL's numbers for a certificate with other host names, and with other addresses, than the one that was called."""


def unreachable(url: str, what: str, error: Exception, timeout_s: float | None) -> DeterminedError:
    """The exception for a call that was not answered.

    Args:
        url: of the master.
        what: the call, as in ``GET http://localhost:8080/api/v1/me``.
        error: what was raised by the HTTP library, or by direct calls.
        timeout_s: how long an answer was waited for.
    """
    import urllib3

    cause = getattr(error, "reason", None) if isinstance(error, urllib3.exceptions.MaxRetryError) else error
    if isinstance(cause, urllib3.exceptions.SSLError):
        return _without_tls(url, cause)
    if isinstance(cause, (urllib3.exceptions.ReadTimeoutError, TimeoutError)):
        return errors.MasterTimeoutException(f"{what} got no answer within {timeout_s} s; try again")
    why = re.sub(r"^\w+\(.*?\): ", "", str(cause))
    if isinstance(cause, (urllib3.exceptions.ProtocolError, BrokenOff)) and _speaks_tls(url):
        return errors.MasterNotFoundException(
            f"what listens at {url} speaks TLS and took no plain HTTP; write {url.replace('http:', 'https:', 1)}"
        )
    return errors.MasterNotFoundException(
        f"no master answers at {url} ({why}); start one with `det deploy local cluster-up`,"
        " or name another with -m or DET_MASTER"
    )


def _without_tls(url: str, error: Exception) -> DeterminedError:
    """Only a certificate that was looked at and refused is a matter of trust; a connection that broke is none."""
    inner = error.args[0] if error.args else error
    text = str(inner)
    if "Fingerprints did not match" in text:
        trusted, shown = re.findall(r"\b[0-9a-f]{64}\b", text)
        return errors.ChangedCertificateException(_changed(url, trusted, shown))
    if isinstance(inner, ssl.SSLCertVerificationError) and inner.verify_code not in _OTHER_NAME:
        return errors.UntrustedCertificateException(
            f"the master at {url} shows a certificate that nobody vouches for here ({inner.verify_message}). If it is"
            f" its own, trust it with `det -m {url} master trust`, which shows its fingerprint, or set"
            " DET_MASTER_CERT_FILE to a file with it"
        )
    if isinstance(inner, ssl.SSLCertVerificationError) or "doesn't match" in text or "no appropriate" in text:
        return errors.UntrustedCertificateException(
            f"the master at {url} shows a certificate for another name ({getattr(inner, 'verify_message', text)});"
            " call it by a name in its certificate, set DET_MASTER_CERT_NAME to one, or trust just this certificate"
            f" with `det -m {url} master trust`"
        )
    if getattr(inner, "reason", None) in _NO_TLS:
        return errors.MasterNotFoundException(
            f"what listens at {url} speaks no TLS; if it is a master, write {url.replace('https:', 'http:', 1)},"
            " and know that passwords and code then travel unencrypted"
        )
    return errors.MasterNotFoundException(f"the TLS connection to the master at {url} broke ({text}); try again")


def _changed(url: str, trusted: str, shown: str) -> str:
    return (
        f"the certificate of the master at {url} has CHANGED. Either the master was set up anew, or somebody else"
        " answers in its place and would read what you send. Nothing was sent.\n"
        f"  trusted: SHA-256 {shown_fingerprint(trusted)}\n"
        f"  shown:   SHA-256 {shown_fingerprint(shown)}\n"
        "Ask whoever runs the master for its fingerprint. If it is the one shown, trust it with"
        f" `det -m {url} master trust`"
    )


def _speaks_tls(url: str) -> bool:
    """Whether a server that took no HTTP takes TLS; asked only after a call has failed."""
    if not url.startswith("http:") or proxy_for(url) is not None:
        return False
    parts = urlsplit(url)
    try:
        ssl.get_server_certificate((parts.hostname or "", parts.port or 80), timeout=_PROBE_TIMEOUT_S)
    except (OSError, ValueError):
        return False
    return True

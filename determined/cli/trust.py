"""Whether the certificate that a master shows is its own: compared by a person, and remembered."""

from __future__ import annotations

import ssl
import sys
from urllib.parse import urlsplit

from determined.cli.call import Call, yes_or_no
from determined.cli.commands import CliError, UsageError
from determined.common.api import certs
from determined.common.api.errors import MasterNotFoundException

_TIMEOUT_S = 30.0


def trust(call: Call) -> None:
    """Show the master's certificate, and trust it and no other from now on."""
    url = call.url
    if not url.startswith("https:"):
        raise UsageError(f"{url} has no certificate: only masters at https:// addresses have; name one with -m")
    store = certs.CertStore()
    before = store.get_cert(url)
    if call.args.forget:
        store.delete_cert(url)
        print(f"Forgot the certificate of {url}" if before else f"No certificate of {url} was remembered.")
        return
    shown = shown_by(url)
    digest = certs.fingerprint(shown)
    wanted = _wanted(call.args.fingerprint)
    if wanted is not None and wanted != digest:
        raise CliError(
            f"the master at {url} shows another certificate than the one you named; nothing is trusted.\n"
            f"  shown:  SHA-256 {certs.shown_fingerprint(digest)}\n"
            f"  wanted: SHA-256 {certs.shown_fingerprint(wanted)}"
        )
    if before is not None and certs.fingerprint(before) != digest:
        print(
            f"Until now another certificate was trusted: SHA-256 {certs.shown_fingerprint(certs.fingerprint(before))}"
        )
    if wanted is None and not _confirmed(url, digest):
        raise CliError("the certificate is not trusted")
    store.set_cert(url, shown)
    print(f"From now on {url} is trusted by its certificate.")


def ask(url: str, cert: certs.Cert) -> bool:
    """Ask whoever sits there whether to trust a certificate that nobody vouches for; remember it if so.

    Args:
        url: of the master.
        cert: what its certificate was checked against. Where a file was named, the file is wrong.
    """
    if sys.stdin is None or not sys.stdin.isatty() or cert.cert_pem is not None:
        return False
    shown = shown_by(url)
    if not _confirmed(url, certs.fingerprint(shown)):
        return False
    certs.CertStore().set_cert(url, shown)
    return True


def shown_by(url: str) -> str:
    """The certificate that a master shows, as PEM; nothing is sent to it.

    Raises:
        MasterNotFoundException: nothing there speaks TLS.
    """
    parts = urlsplit(url)
    try:
        return ssl.get_server_certificate((parts.hostname or "", parts.port or 443), timeout=_TIMEOUT_S)
    except OSError as error:
        raise MasterNotFoundException(
            f"the certificate of the master at {url} cannot be read ({error}); does a master serve TLS there?"
        ) from error


def _confirmed(url: str, digest: str) -> bool:
    text = f"The master at {url} shows a certificate with the SHA-256 fingerprint\n  {certs.shown_fingerprint(digest)}"
    if sys.stdin is None or not sys.stdin.isatty():
        raise CliError(
            f"{text}\nThere is nobody to ask whether it is the right one. Compare it with what the master printed when"
            f" it started, then: det -m {url} master trust --fingerprint FINGERPRINT"
        )
    print(text)
    return yes_or_no("Is this what the master printed when it started? Trust it from now on?")


def _wanted(typed: str | None) -> str | None:
    if typed is None:
        return None
    digest = typed.lower().removeprefix("sha-256").removeprefix("sha256").replace(":", "").replace(" ", "")
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise UsageError(f"{typed!r} is no SHA-256 fingerprint; it has 64 hexadecimal digits, with or without colons")
    return digest

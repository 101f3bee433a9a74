"""The certificate that a master shows: the operator's, or one that it made and signed itself."""

from __future__ import annotations

import ipaddress
import logging
import re
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from determined import files
from determined.common.api.certs import fingerprint
from determined.errors import InvalidInput
from determined.master.self_signed import own_names, self_signed

log = logging.getLogger("determined.master")

_FOLDER: Final = "tls"
_OWN: Final = "self-signed.pem"
_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's flag for reading a certificate whose time is over or has not come; ``ssl`` has no name for it."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate from elsewhere.

    Attributes:
        cert: PEM file with the certificate, and after it those that vouch for it.
        key: PEM file with its key; None if that is in the same file.
    """

    cert: Path
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class SelfSigned:
    """A certificate that the master makes, once, and keeps in its data folder."""


Tls = TlsFiles | SelfSigned


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is served, and what it says.

    Attributes:
        files: where it and its key are.
        pem: the certificates, without the key.
        names: host names and addresses that it is for.
        expires: seconds since 1970.
    """

    files: TlsFiles
    pem: str
    names: tuple[str, ...]
    expires: float

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate itself, in lower-case hexadecimal."""
        return fingerprint(self.pem)

    @property
    def host_names(self) -> tuple[str, ...]:
        """Names that a request may be addressed to; a wildcard says nothing about which."""
        return tuple(name for name in self.names if "*" not in name)

    def is_for(self, host: str) -> bool:
        """Whether a client that calls this name or address takes the certificate for the right one."""
        name = host.lower().strip("[]")
        return any(name == own or (own[:2] == "*." and name.partition(".")[2] == own[2:]) for own in self.names)

    def name_to_expect(self) -> str | None:
        """A host name that it is for; None if it holds none."""
        return next((name.replace("*", "master") for name in self.names), None)


def prepare(tls: Tls, data: Path, names: Iterable[str]) -> Certificate:
    """The certificate to serve; with ``SelfSigned`` it is made if there is none that is still good.

    Args:
        data: the master's folder.
        names: host names for a new certificate, beside those of this machine.
    Raises:
        InvalidInput: it cannot be used.
        FailedPrecondition: what makes certificates is not installed.
    """
    found = read(tls) if isinstance(tls, TlsFiles) else _own(data, [*own_names(), *names])
    left = found.expires - time.time()
    if left < 0:
        log.warning("the certificate in %s is no longer valid; clients that do not pin it refuse it", found.files.cert)
    elif left < 14 * 24 * 3600:
        log.warning("the certificate in %s is valid for %d more days only", found.files.cert, left // (24 * 3600))
    return found


def read(tls: TlsFiles) -> Certificate:
    """The certificate in a file.

    Raises:
        InvalidInput: it cannot be read, has no key that fits, or is none that a server may show.
    """
    pem = "\n".join(re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", _text(tls.cert), re.DOTALL))
    if not pem:
        raise InvalidInput(f"{tls.cert} holds no certificate; it should be PEM, with -----BEGIN CERTIFICATE-----")
    _text(tls.key or tls.cert)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(tls.cert, tls.key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInput(
            f"{tls.key or tls.cert} holds no key that fits the certificate in {tls.cert} ({error}); give both in PEM,"
            " the key without a password"
        ) from error
    try:
        said = _shown(server, pem)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInput(f"no client would take the certificate in {tls.cert} ({error})") from error
    names = tuple(_name(kind, str(value)) for kind, value in said.get("subjectAltName", ()))
    return Certificate(tls, pem + "\n", names, ssl.cert_time_to_seconds(said["notAfter"]))


def publish(data: Path, name: str, pem: str) -> Path:
    """Write certificates where clients and trials of this machine look for them; the place is always the same."""
    files.make_folder(data / _FOLDER, "master.tls", 0o700)
    path = data / _FOLDER / name
    files.replace_file(path, pem.encode(), "master.certificate", 0o644)
    return path


def _own(data: Path, names: list[str]) -> Certificate:
    path = data / _FOLDER / _OWN
    if path.exists():
        found = read(TlsFiles(path))
        missing = sorted({name.lower() for name in names} - set(found.names))
        if found.expires > time.time():
            if missing:
                log.info(
                    "the certificate in %s is not for %s; clients that trust its fingerprint do not mind."
                    " For a new one, which they all have to trust anew, remove the file",
                    path,
                    ", ".join(missing),
                )
            return found
        log.warning("the certificate in %s has expired, so there is a new one, which clients have to trust anew", path)
    files.make_folder(path.parent, "master.tls", 0o700)
    # Key and certificate in one file: after a crash there are both or none.
    files.replace_file(path, self_signed(names), "master.certificate", 0o600)
    return read(TlsFiles(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror}); name a PEM file") from error


def _name(kind: str, value: str) -> str:
    """A name as people write it; OpenSSL writes no address of IPv6 in short."""
    return str(ipaddress.ip_address(value.strip())) if kind == "IP Address" else value.lower()


def _no_password() -> str:
    raise ValueError("the key has a password")


def _shown(server: ssl.SSLContext, pem: str) -> dict[str, Any]:
    """What a client reads in the certificate, asked by a client: two ends of TLS that talk through memory."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    context.load_verify_locations(cadata=pem)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(back, there)
    served = server.wrap_bio(there, back, server_side=True)
    for end in (client, served, client, served):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return dict(client.getpeercert() or {})

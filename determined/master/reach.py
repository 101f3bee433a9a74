"""By which addresses a master is reached, and what those who call them check its certificate against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from determined.common.api.certs import CertStore, first_certificate
from determined.errors import InvalidInput
from determined.master.api.security import Hosts, allowed_hosts
from determined.master.listening import own_url
from determined.master.tls import Certificate, publish


@dataclass(frozen=True, slots=True)
class Reach:
    """How a master is called.

    Attributes:
        own: the address under which its own machine reaches it.
        url: where trials and clients reach it.
        local: addresses by which this account calls it without logging in.
        hosts: names that requests may be addressed to.
        certificate: what it shows; None without TLS.
        certificate_file: that, without the key.
        url_file: what trials check ``url`` against; None for what the system trusts.
        url_name: name that they expect in the certificate, if it is not that of ``url``.
    """

    own: str
    url: str
    local: tuple[str, ...]
    hosts: Hosts
    certificate: Certificate | None
    certificate_file: Path | None
    url_file: Path | None
    url_name: str | None

    def pin_locally(self, path: Path | None = None) -> None:
        """Have clients of this account trust the certificate for each address that leads straight to this master.

        Args:
            path: of the file of trusted certificates; the usual one if None.
        """
        if self.certificate is None:
            return
        store = CertStore(path)
        for url in self.local:
            # What stands in front of this master may show another certificate.
            if urlsplit(url).port == urlsplit(self.own).port and url.startswith("https:"):
                store.set_cert(url, first_certificate(self.certificate.pem) + "\n")


def arrange(
    host: str,
    port: int,
    *,
    data: Path,
    url: str | None,
    url_cert: Path | None,
    names: Iterable[str],
    certificate: Certificate | None,
) -> Reach:
    """Decide on all of it, and write the certificates for those who look for them on this machine.

    Args:
        host, port: what it listens on.
        data: the master's folder.
        url: as the operator gave it.
        url_cert: PEM file that vouches for ``url``.
        names: further host names, as the operator gave them.
        certificate: what it shows.
    Raises:
        InvalidInput: ``url_cert`` is no certificate, or there is nothing to check with it.
    """
    is_tls = certificate is not None
    own = own_url(host, port, is_tls)
    public = own if url is None else url.rstrip("/")
    is_direct = public.startswith("https:") and urlsplit(public).port == port and url_cert is None
    needs_name = certificate is not None and is_direct and not certificate.is_for(_host(public))
    certificate_file = None if certificate is None else publish(data, "certificate.pem", certificate.pem)
    return Reach(
        own=own,
        url=public,
        local=tuple(dict.fromkeys((*(own_url(name, port, is_tls) for name in _LOCAL), own, public))),
        hosts=allowed_hosts(host, [*names, *(() if certificate is None else certificate.host_names)], [public]),
        certificate=certificate,
        certificate_file=certificate_file,
        url_file=_vouching(public, url_cert, data) or (certificate_file if public.startswith("https:") else None),
        url_name=certificate.name_to_expect() if certificate is not None and needs_name else None,
    )


_LOCAL = ("127.0.0.1", "localhost")


def _vouching(url: str, given: Path | None, data: Path) -> Path | None:
    """A copy of what the operator gave for checking ``url``; it stays where it is when the original goes."""
    if given is None:
        return None
    if not url.startswith("https:"):
        raise InvalidInput(f"--url-cert is for checking --url, which is {url}; give an https:// address there")
    try:
        pem = given.read_text(encoding="utf-8", errors="replace")
        first_certificate(pem)
    except (OSError, InvalidInput) as error:
        raise InvalidInput(f"--url-cert {given} cannot be used ({error}); name a PEM file") from error
    return publish(data, "url.pem", pem)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""

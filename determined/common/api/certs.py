"""Which certificate the master must show, from arguments, environment or the file of trusted ones."""

from __future__ import annotations

import hashlib
import json
import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from determined.common import util
from determined.common.api.errors import CorruptCertificateCacheException
from determined.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Cert:
    """What to check the master's certificate against.

    Attributes:
        cert_pem: trusted beside the system's certificates; None for the system's alone.
        noverify: check nothing.
        name: host name expected in the certificate; None for that of the URL.
        pinned: PEM text of the one certificate that the master must show, whoever vouches for it, and whatever names
            and dates it holds. It rules out ``cert_pem``.
    """

    cert_pem: str | None = None
    noverify: bool = False
    name: str | None = None
    pinned: str | None = None

    def __post_init__(self) -> None:
        if self.noverify and (self.cert_pem is not None or self.pinned is not None):
            raise InvalidInput("a certificate to trust and noverify exclude each other; give one of them")

    @property
    def pin(self) -> str | None:
        """SHA-256 of the certificate that is pinned, in hexadecimal; None if none is.

        Raises:
            InvalidInput: ``pinned`` is not PEM.
        """
        return None if self.pinned is None else fingerprint(self.pinned)

    def ssl_context(self) -> ssl.SSLContext:
        """A TLS context that checks just this.

        Raises:
            InvalidInput: ``cert_pem`` is not PEM.
        """
        if self.noverify or self.pinned is not None:
            # A pinned certificate is compared as a whole, once it has been shown; its key proves the rest.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        context = ssl.create_default_context()
        if self.cert_pem is not None:
            # Whatever the file names is trusted by itself, be it the master's own certificate or that of who issued it.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            try:
                context.load_verify_locations(cadata=self.cert_pem)
            except (ssl.SSLError, ValueError) as error:
                raise InvalidInput(f"the master's certificate is not readable as PEM ({error})") from error
        return context


def first_certificate(pem: str) -> str:
    """The first certificate of a PEM text, which is a server's own where the text is what it shows.

    Raises:
        InvalidInput: there is none.
    """
    found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem, re.DOTALL)
    if found is None:
        raise InvalidInput("there is no certificate in the text; it should hold a part -----BEGIN CERTIFICATE-----")
    return found[0]


def fingerprint(pem: str) -> str:
    """SHA-256 of the first certificate of a PEM text, in lower-case hexadecimal.

    Raises:
        InvalidInput: it is not PEM.
    """
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first_certificate(pem))).hexdigest()
    except ValueError as error:
        raise InvalidInput(f"the master's certificate is not readable as PEM ({error})") from error


def shown_fingerprint(digest: str) -> str:
    """A fingerprint as people compare it: ``AB:CD:...``."""
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)).upper()


class CertStore:
    """The file ``certs.json``: master URL -> the certificate that the user chose to trust, and no other.

    The reference client uses the same file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or util.config_path() / "certs.json"

    def get_cert(self, master_url: str) -> str | None:
        """The trusted PEM text for that master, or None."""
        return self._read().get(master_url)

    def set_cert(self, master_url: str, cert_pem: str) -> None:
        """Trust ``cert_pem`` for that master from now on."""
        self._change(lambda store: store.__setitem__(master_url, cert_pem))

    def delete_cert(self, master_url: str) -> None:
        """Trust only the system's certificates again."""
        self._change(lambda store: store.pop(master_url, None))

    def _change(self, change: Callable[[dict[str, str]], object]) -> None:
        with util.locked(self.path):
            store = self._read()
            change(store)
            util.write_private(self.path, json.dumps(store, indent=4, sort_keys=True))

    def _read(self) -> dict[str, str]:
        try:
            store = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise self._corrupt(str(error)) from error
        if not isinstance(store, dict) or not all(isinstance(pem, str) for pem in store.values()):
            raise self._corrupt("not a map from master to certificate")
        return store

    def _corrupt(self, why: str) -> CorruptCertificateCacheException:
        return CorruptCertificateCacheException(f"{self.path} cannot be read ({why}); remove it and try again")


def default_load(
    master_url: str,
    explicit_path: str | os.PathLike[str] | None = None,
    explicit_cert_name: str | None = None,
    explicit_noverify: bool = False,
) -> Cert:
    """The certificate settings for a master.

    Any explicit argument rules out everything else. Then come ``DET_MASTER_CERT_FILE`` (a path, or ``noverify``) and
    ``DET_MASTER_CERT_NAME``, then the file of trusted certificates.

    Raises:
        InvalidInput: a named file cannot be read.
    """
    if explicit_path or explicit_cert_name or explicit_noverify:
        pem = _read_pem(explicit_path) if explicit_path else None
        return Cert(pem, explicit_noverify, explicit_cert_name or None)
    name = os.environ.get("DET_MASTER_CERT_NAME") or None
    file = os.environ.get("DET_MASTER_CERT_FILE")
    if not file:
        # Plain HTTP shows no certificate: no reason to touch the file.
        return Cert(pinned=CertStore().get_cert(master_url) if master_url.startswith("https:") else None, name=name)
    if file.lower() == "noverify":
        return Cert(noverify=True, name=name)
    return Cert(_read_pem(file), name=name)


def _read_pem(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"the master's certificate {os.fspath(path)} cannot be read ({error}); name a PEM file, or 'noverify'"
        ) from error

"""One run of a command: its arguments, and the master it talks to."""

from __future__ import annotations

import argparse
import getpass
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from determined.common import util
from determined.common.api import authentication, certs, errors

if TYPE_CHECKING:
    from determined.common.api.session import Session


class Call:
    """What a command is given. The master is looked for, or started, only when it is first needed.

    Attributes:
        args: parsed arguments.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self._session: Session | None = None
        self._address: str | None = args.master or util.configured_master()

    @property
    def address(self) -> str:
        """The master's address as it was given, or that of the local one, which is started if need be."""
        if self._address is None:
            from determined.common.local_master import ensure_master

            self._address = ensure_master()
        return self._address

    @property
    def known_address(self) -> str | None:
        """The same, but None rather than starting a master."""
        if self._address is None:
            from determined.common.local_master import find_running

            running = find_running(util.data_path())
            return None if running is None else running.url
        return self._address

    @property
    def cert(self) -> certs.Cert:
        """What to check the master's certificate against."""
        return certs.default_load(util.canonical_master_url(self.address))

    @property
    def session(self) -> Session:
        """A session as the user of this run."""
        if self._session is None:
            try:
                self._session = self._open()
            except errors.UntrustedCertificateException:
                if not _trust(util.canonical_master_url(self.address)):
                    raise
                self._session = self._open()
        return self._session

    def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            self._session.close()

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Session:
        ask = ask_password if sys.stdin is not None and sys.stdin.isatty() else None
        return authentication.open_session(self.address, user=self.args.user, cert=self.cert, prompt=ask)


def ask_password(user: str, what: str = "Password") -> str:
    """A password from whoever sits there, or from standard input when nobody does."""
    prompt = f"{what} for user '{user}': "
    if sys.stdin is not None and not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return getpass.getpass(prompt)


def yes_or_no(question: str) -> bool:
    """Ask until the answer is one of the two; no answer at all means no."""
    while True:
        try:
            answer = input(f"{question} [y/n]: ").strip().lower()
        except EOFError:
            print()
            return False
        if answer in ("y", "yes"):
            return True
        if answer in ("n", "no"):
            return False
        print("Please answer 'y' or 'n'.")


def _trust(url: str) -> bool:
    """Show the certificate of a master that is not trusted, and ask whether to trust it from now on."""
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    import hashlib
    import ssl
    from urllib.parse import urlsplit

    parts: Any = urlsplit(url)
    pem = ssl.get_server_certificate((parts.hostname, parts.port))
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    print(f"The master at {url} shows a certificate that nobody vouches for. Its SHA-256 fingerprint is")
    print("  " + ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)))
    if not yes_or_no("Trust it from now on?"):
        return False
    certs.CertStore().set_cert(url, pem)
    return True

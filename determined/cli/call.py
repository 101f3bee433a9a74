"""One run of a command: its arguments, and the master it talks to."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from determined.common import util
from determined.common.api import authentication, certs, errors

if TYPE_CHECKING:
    from determined.common.api.session import Session

T = TypeVar("T")


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
        return certs.default_load(self.url)

    @property
    def session(self) -> Session:
        """A session as the user of this run."""
        if self._session is None:
            self._session = self.trusting(self._open)
        return self._session

    @property
    def url(self) -> str:
        """The master's address in full."""
        return util.canonical_master_url(self.address)

    def reach(self) -> None:
        """Make sure that a master over TLS is the right one, before anybody types a password for it.

        Raises:
            UntrustedCertificateException: its certificate is not trusted, and nobody is there who could be asked.
        """
        if self.url.startswith("https:"):
            self.trusting(self.get_info)

    def get_info(self) -> Any:
        """What the master says about itself to anybody."""
        from determined.common.api.session import Session

        with Session(self.url, cert=self.cert) as session:
            return session.get("/info")

    def trusting(self, action: Callable[[], T]) -> T:
        """Do something with the master, once more if its certificate is not trusted and the user says that it is."""
        try:
            return action()
        except errors.UntrustedCertificateException as error:
            from determined.cli import trust

            if isinstance(error, errors.ChangedCertificateException) or not trust.ask(self.url, self.cert):
                raise
            return action()

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
        is_asked = sys.stdin is not None and sys.stdin.isatty()
        prompt = self._ask_password if is_asked else None
        return authentication.open_session(self.address, user=self.args.user, cert=self.cert, prompt=prompt)

    def _ask_password(self, user: str) -> str:
        self.reach()
        return ask_password(user)


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

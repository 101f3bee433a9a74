from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from determined.common.api import errors
from determined.common.api.certs import Cert, fingerprint
from determined.common.api.session import Session
from determined.errors import InvalidInput

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@contextlib.contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve each connection in turn; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def over_tls(context: ssl.SSLContext, answer: bytes = ANSWER) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1 << 16)
            secure.sendall(answer)

    return serve


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("box.test").configure_cert(made)
    return made


def get(port: int, cert: Cert, scheme: str = "https") -> object:
    with Session(f"{scheme}://127.0.0.1:{port}", cert=cert) as session:
        return session.get("/info")


def pem_of(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def test_a_handshake_that_breaks_off_is_no_matter_of_trust(authority: trustme.CA) -> None:
    """A master that is killed at that moment comes back: whoever has to wait for it must not give up."""

    def cut(connection: socket.socket) -> None:
        connection.recv(1)

    with server(cut) as port, pytest.raises(errors.MasterNotFoundException) as caught:
        get(port, Cert(pem_of(authority)))
    assert not isinstance(caught.value, errors.UntrustedCertificateException)


def test_a_certificate_is_refused_for_who_vouches_for_it_and_for_its_name(
    authority: trustme.CA, context: ssl.SSLContext
) -> None:
    with server(over_tls(context)) as port:
        with pytest.raises(errors.UntrustedCertificateException, match="nobody vouches for"):
            get(port, Cert())
        with pytest.raises(errors.UntrustedCertificateException, match="for another name"):
            get(port, Cert(pem_of(authority)))
        with pytest.raises(errors.UntrustedCertificateException, match="for another name"):
            get(port, Cert(pem_of(authority), name="other.test"))
        assert get(port, Cert(pem_of(authority), name="box.test")) == {}


def test_a_pinned_certificate_is_the_one_or_it_has_changed(context: ssl.SSLContext, authority: trustme.CA) -> None:
    with server(over_tls(context)) as port:
        shown = ssl.get_server_certificate(("127.0.0.1", port))
        # It is for another name and nobody vouches for it: that was decided when it was pinned.
        assert get(port, Cert(pinned=shown)) == {}
        with pytest.raises(errors.ChangedCertificateException, match="has CHANGED") as caught:
            get(port, Cert(pinned=pem_of(authority)))
    told = str(caught.value).replace(":", "").lower()
    assert fingerprint(shown) in told
    assert fingerprint(pem_of(authority)) in told


def test_plain_http_where_tls_is_spoken_is_told(context: ssl.SSLContext) -> None:
    with server(over_tls(context)) as port, pytest.raises(errors.MasterNotFoundException, match="speaks TLS"):
        get(port, Cert(), "http")


def test_tls_where_plain_http_is_spoken_is_told() -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with server(plain) as port, pytest.raises(errors.MasterNotFoundException, match="speaks no TLS"):
        get(port, Cert())


def test_a_server_that_hangs_up_on_http_is_not_said_to_speak_tls() -> None:
    with server(lambda connection: None) as port, pytest.raises(errors.MasterNotFoundException) as caught:
        get(port, Cert(), "http")
    assert "no master answers at" in str(caught.value)


def test_what_is_no_certificate_cannot_be_pinned(tmp_path: Path) -> None:
    for text in ("", "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----"):
        with pytest.raises(InvalidInput):
            _ = Cert(pinned=text).pin

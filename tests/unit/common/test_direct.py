"""Plain calls without a library, against servers that behave in every way that a socket allows."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from determined.common.api import direct, errors
from determined.common.api.direct import Answer, BrokenOff, Direct, NotConnected, is_direct
from determined.common.api.session import Session
from determined.testing.http_peer import HttpPeer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers the requests on its connections with given bytes, one after the other.

    Attributes:
        requests: what came, whole.
        connections: how many were opened.
    """

    def __init__(self, *answers: bytes | None) -> None:
        """Args: answers: None: close the connection without one; what is empty closes it after the answer before."""
        self.requests: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while self._answers:
            connection, _ = self._socket.accept()
            self.connections += 1
            with connection:
                while self._answers:
                    request = connection.recv(1 << 16)
                    if not request:
                        break
                    self.requests.append(request)
                    answer = self._answers.pop(0)
                    connection.sendall(answer or b"")
                    if self._answers and self._answers[0] == b"":
                        self._answers.pop(0)
                        break
                    if answer is None:
                        break

    def close(self) -> None:
        """Wait until all answers were given."""
        self._thread.join()
        self._socket.close()


@contextmanager
def serving(*answers: bytes | None) -> Iterator[tuple[Server, Direct]]:
    """A server, and somebody to ask it."""
    server = Server(*answers)
    client = Direct(server.url, {"X-Token": "t"})
    try:
        yield server, client
    finally:
        client.close()
        server.close()


def ask(client: Direct, path: str = "/x", body: bytes | None = None, timeout_s: float | None = 30.0) -> Answer:
    return client.request("GET" if body is None else "POST", path, "application/json", body, timeout_s)


def test_a_request_is_written_in_full_and_its_answer_read() -> None:
    with serving(OK) as (server, client):
        assert ask(client, "/a?b=1", b'{"c":2}') == Answer(200, b"{}")
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert body == b'{"c":2}'
    assert head.decode().split("\r\n") == [
        "POST /a?b=1 HTTP/1.1",
        f"Host: {server.url.removeprefix('http://')}",
        "X-Token: t",
        "Accept: application/json",
        "Content-Type: application/json",
        "Content-Length: 7",
    ]


def test_a_call_that_sends_nothing_says_so() -> None:
    with serving(OK) as (server, client):
        client.request("POST", "/x", "*/*", None, 30.0)
    assert b"Content-Length: 0\r\n" in server.requests[0]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (OK, Answer(200, b"{}")),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Answer(404, b"")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, b"")),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, Answer(200, b"{}")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", Answer(200, b"{}")),
    ],
)
def test_the_connection_is_kept_for_the_next_call(answer: bytes, found: Answer) -> None:
    with serving(answer, OK) as (server, client):
        assert ask(client) == found
        assert ask(client) == Answer(200, b"{}")
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
    ],
)
def test_an_answer_after_which_the_server_hangs_up(answer: bytes) -> None:
    with serving(answer, b"", OK) as (server, client):
        assert ask(client) == Answer(200, b"{}")
        assert ask(client) == Answer(200, b"{}")
    assert server.connections == 2


def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    with serving(OK, b"", OK) as (server, client):
        ask(client)
        # It is closed when its end can be read.
        (idle,) = client._idle
        assert idle.recv(1, socket.MSG_PEEK) == b""
        assert ask(client) == Answer(200, b"{}")
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"220 mail.example.com ESMTP\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        OK + b"HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nx",
        OK + b"trailing",
    ],
)
def test_what_is_no_whole_answer_is_none(answer: bytes | None) -> None:
    with serving(answer, b"", OK) as (server, client):
        with pytest.raises(BrokenOff):
            ask(client)
        # Nothing of it is left for the next call.
        assert ask(client) == Answer(200, b"{}")
    assert server.connections == 2


def test_an_answer_that_does_not_come_in_time_leaves_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Direct(f"http://127.0.0.1:{silent.getsockname()[1]}", {})
        with pytest.raises(TimeoutError):
            ask(client, timeout_s=0.05)
        assert client._idle == []


def test_a_connection_that_the_system_has_given_up_is_broken_off_and_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs wait for a master that has vanished, and would end if nobody answered in a time that they had set."""

    def give_up(connection: socket.socket) -> None:
        raise OSError(errno.ETIMEDOUT, "Connection timed out")

    with serving(OK) as (server, client):
        ask(client)
        monkeypatch.setattr(direct, "_read", give_up)
        server._answers.append(OK)
        with pytest.raises(BrokenOff, match="timed out"):
            ask(client, timeout_s=None)


def test_nothing_is_sent_to_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NotConnected):
        ask(Direct(f"http://127.0.0.1:{port}", {}))
    with pytest.raises(NotConnected):
        ask(Direct("http://no-such-host.invalid:1", {}))


def test_a_connection_is_handed_on_within_the_process_to_the_same_server_only() -> None:
    with serving(OK, OK, OK) as (server, first):
        ask(first)
        first.hand_on()
        assert first._idle == []
        second = Direct(server.url, {"X-Token": "another"})
        ask(second)
        assert server.connections == 1
        second.hand_on()
        with serving(OK) as (other, third):
            ask(third)
            assert other.connections == 1
        ask(first)
    assert direct._handed_on == []
    assert server.connections == 2


def test_a_forked_process_takes_no_connection_of_its_parent() -> None:
    with serving(OK, OK) as (server, client):
        ask(client)
        client.hand_on()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                ask(Direct(server.url, {}))
                code = 0
            finally:
                os._exit(code)
        # The server serves one connection at a time.
        direct._handed_on.pop()[2].close()
        assert os.waitpid(child, 0)[1] == 0
    assert server.connections == 2


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX-Evil: 1", "/\u00e9", "/a\0"])
def test_what_does_not_go_into_a_request_line_as_it_is_is_left_to_the_library(path: str, peer: HttpPeer) -> None:
    assert not Direct(peer.url, {}).can_send(path)
    with Session(peer.url) as session, pytest.raises(errors.NotFoundException):
        session.get(path)
    (request,) = peer.requests
    assert "x-evil" not in request.headers


def test_a_prefix_that_is_no_plain_text_is_left_to_the_library(peer: HttpPeer) -> None:
    assert not Direct(f"{peer.url}/\u00e9", {}).can_send("/x")
    peer.on("GET", "/%C3%A9/x", {"found": True})
    with Session(f"{peer.url}/\u00e9") as session:
        assert session.get("/x") == {"found": True}


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "\u00e9\u4e2d", "a\nb"])
def test_what_does_not_go_into_a_header_is_left_to_the_library(value: str, peer: HttpPeer) -> None:
    assert not Direct(peer.url, {"Authorization": value}).can_send("/x")
    with Session(peer.url, token=value) as session, pytest.raises(Exception, match=r"(?i)header|encode"):
        session.get("/x")
    assert peer.requests == []


@pytest.fixture
def peer() -> Iterator[HttpPeer]:
    with HttpPeer() as server:
        yield server


@pytest.mark.parametrize(
    ("url", "variables", "expected"),
    [
        ("http://master:8080", {}, True),
        ("https://master:443", {}, False),
        ("http://master:8080", {"http_proxy": "http://proxy:3128"}, False),
        ("http://master:8080", {"HTTP_PROXY": "http://proxy:3128", "http_proxy": "http://proxy:3128"}, False),
        ("http://master:8080", {"http_proxy": "http://proxy:3128", "no_proxy": "master"}, True),
        ("http://master:8080", {"https_proxy": "http://proxy:3128"}, True),
        ("http://127.0.0.1:8080", {"http_proxy": "http://proxy:3128"}, True),
    ],
)
def test_only_plain_ways_are_direct(
    url: str, variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_direct(url) is expected


def test_calls_load_no_general_client(peer: HttpPeer, tmp_path: Path) -> None:
    """It would take longer than everything else that many processes do."""
    peer.on("GET", "/x", {})
    program = (
        "import sys\nfrom determined.common.api.session import Session\n"
        f"with Session({peer.url!r}) as session: session.get('/x')\n"
        "print(sorted({'urllib3', 'urllib.request', 'http.client', 'ssl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "[]\n"

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Iterator
from enum import Enum

import pytest

from determined.common.api import errors
from determined.common.api.session import Session, segment
from determined.errors import Conflict, DeterminedError, InvalidInput, NotFound, Unavailable
from determined.testing.http_peer import Answer, HttpPeer, Request, lines, refusal


@pytest.fixture
def peer() -> Iterator[HttpPeer]:
    with HttpPeer() as server:
        yield server


def echo(request: Request) -> object:
    return {"params": request.params, "body": request.json}


def test_a_call_sends_the_token_and_returns_the_parsed_answer(peer: HttpPeer) -> None:
    peer.on("GET", "/api/v1/me", {"user": {"username": "ada"}})
    with Session(peer.url, token="T1") as session:
        assert session.get("/api/v1/me") == {"user": {"username": "ada"}}
    assert peer.requests[0].headers["authorization"] == "Bearer T1"


def test_an_allocation_token_goes_into_its_own_header(peer: HttpPeer) -> None:
    peer.on("POST", "/x", {})
    with Session(peer.url, allocation_token="A1") as session:
        session.post("/x")
    assert peer.requests[0].headers["grpc-metadata-x-allocation-token"] == "Bearer A1"
    assert "authorization" not in peer.requests[0].headers


def test_no_body_is_sent_unless_one_is_given(peer: HttpPeer) -> None:
    peer.on("POST", "/x", echo)
    with Session(peer.url) as session:
        session.post("/x")
        session.post("/x", json=None)
        session.post("/x", json=12.5)
    assert [r.body for r in peer.requests] == [b"", b"null", b"12.5"]


def test_non_finite_numbers_travel_as_text(peer: HttpPeer) -> None:
    peer.on("POST", "/x", echo)
    with Session(peer.url) as session:
        answer = session.post("/x", json={"m": [math.nan, math.inf, {"deep": -math.inf}], "ok": 1.0})
    assert answer["body"] == {"m": ["NaN", "Infinity", {"deep": "-Infinity"}], "ok": 1.0}


def test_a_body_that_is_not_json_is_refused_before_it_is_sent(peer: HttpPeer) -> None:
    with Session(peer.url) as session, pytest.raises(errors.BadRequestException, match="cannot be written as JSON"):
        session.post("/x", json={"bad": object()})
    assert peer.requests == []


def test_query_lists_repeat_the_key_and_none_is_left_out(peer: HttpPeer) -> None:
    class Order(Enum):
        DESC = "ORDER_BY_DESC"

    peer.on("GET", "/x", echo)
    params = {"states": ["A", "B"], "follow": True, "off": False, "gone": None, "orderBy": Order.DESC, "q": "a b&c"}
    with Session(peer.url) as session:
        answer = session.get("/x", params=params)
    assert answer["params"] == {
        "states": ["A", "B"],
        "follow": ["true"],
        "off": ["false"],
        "orderBy": ["ORDER_BY_DESC"],
        "q": ["a b&c"],
    }


def test_calls_share_one_connection(peer: HttpPeer) -> None:
    peer.on("GET", "/x", {})
    with Session(peer.url) as session:
        for _ in range(5):
            session.get("/x")
    assert {r.connection for r in peer.requests} == {0}


def test_a_forked_child_opens_a_connection_of_its_own(peer: HttpPeer) -> None:
    peer.on("GET", "/x", {})
    session = Session(peer.url)
    session.get("/x")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            session.get("/x")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    session.get("/x")
    session.close()
    assert [r.connection for r in peer.requests] == [0, 1, 0]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 3, errors.InvalidRequestException),
        (400, 9, errors.PreconditionException),
        (401, 16, errors.UnauthenticatedException),
        (403, 7, errors.ForbiddenException),
        (404, 5, errors.NotFoundException),
        (409, 6, errors.ConflictException),
        (413, 8, errors.TooLargeException),
        (429, 8, errors.ExhaustedException),
        (503, 14, errors.UnavailableException),
        (500, 13, errors.APIException),
    ],
)
def test_each_refusal_has_its_exception(peer: HttpPeer, status: int, code: int, kind: type[Exception]) -> None:
    peer.on("GET", "/x", refusal(status, code, "the reason"))
    with Session(peer.url) as session, pytest.raises(kind, match="the reason") as caught:
        session.get("/x")
    error = caught.value
    assert isinstance(error, errors.APIException)
    assert isinstance(error, errors.BadRequestException)
    assert isinstance(error, DeterminedError)
    assert (error.status_code, error.code) == (status, code)


def test_refusals_are_also_the_exceptions_of_the_package(peer: HttpPeer) -> None:
    assert issubclass(errors.NotFoundException, NotFound)
    assert issubclass(errors.ConflictException, Conflict)
    assert issubclass(errors.InvalidRequestException, InvalidInput)
    assert issubclass(errors.MasterNotFoundException, Unavailable)


@pytest.mark.parametrize(
    "body",
    [
        {"message": "only legacy"},
        {"error": {"code": 5, "error": "only legacy"}},
        {"error": "only legacy"},
        {"detail": "only legacy"},
    ],
)
def test_every_shape_of_error_is_understood(peer: HttpPeer, body: object) -> None:
    peer.on("GET", "/x", Answer(body, 404))
    with Session(peer.url) as session, pytest.raises(errors.NotFoundException, match=r"^only legacy$"):
        session.get("/x")


def test_a_web_page_in_place_of_an_answer_is_explained(peer: HttpPeer) -> None:
    peer.on("GET", "/x", Answer(b"<html><h1>Welcome to nginx</h1></html>", 502))
    peer.on("GET", "/y", Answer(b"<!doctype html><p>hello</p>"))
    with Session(peer.url) as session:
        with pytest.raises(errors.UnavailableException, match=r"web page \('Welcome to nginx'\).*check the master"):
            session.get("/x")
        with pytest.raises(errors.BadResponseException, match="is there a master at that address"):
            session.get("/y")


def test_a_redirect_is_not_followed(peer: HttpPeer) -> None:
    peer.on("GET", "/x", Answer(b"", 302, {"Location": "http://127.0.0.1:9/elsewhere"}))
    with Session(peer.url) as session, pytest.raises(errors.APIException, match="HTTP 302"):
        session.get("/x")


def test_no_master_is_said_with_what_to_do() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with Session(f"127.0.0.1:{port}") as session, pytest.raises(errors.MasterNotFoundException) as caught:
            session.get("/x")
    assert f"http://127.0.0.1:{port}" in str(caught.value)
    assert "det deploy local cluster-up" in str(caught.value)


def test_a_dropped_connection_is_not_retried_without_leave(peer: HttpPeer) -> None:
    peer.on("POST", "/x", Answer(cut=True))
    with Session(peer.url) as session, pytest.raises(errors.MasterNotFoundException):
        session.post("/x")
    assert len(peer.requests) == 1


def test_a_dropped_connection_is_retried_when_allowed(peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DET_RETRY_CONFIG", '{"backoff_factor": 0, "method_whitelist": false}')
    peer.in_turn("POST", "/x", Answer(cut=True), Answer(cut=True), {"ok": 1})
    with Session(peer.url, max_retries=3) as session:
        assert session.post("/x", json={"a": 1}) == {"ok": 1}
    assert [r.json for r in peer.requests] == [{"a": 1}] * 3


def test_a_refusal_is_not_retried(peer: HttpPeer) -> None:
    peer.on("POST", "/x", refusal(503, 14, "stopping"))
    with Session(peer.url, max_retries=3) as session, pytest.raises(errors.UnavailableException):
        session.post("/x")
    assert len(peer.requests) == 1


def test_chosen_statuses_can_be_retried(peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DET_RETRY_CONFIG", '{"backoff_factor": 0}')
    peer.in_turn("GET", "/x", refusal(503, 14, "stopping"), Answer(b"bad gateway", 502), {"ok": 1})
    peer.on("GET", "/y", refusal(503, 14, "still stopping"))
    with Session(peer.url).with_retries(2, (502, 503, 504)) as session:
        assert session.get("/x") == {"ok": 1}
        with pytest.raises(errors.UnavailableException, match="still stopping"):
            session.get("/y")
    assert len(peer.seen("GET", "/y")) == 3


@pytest.mark.parametrize("text", ["{", "[1]", '{"no_such_setting": 1}'])
def test_bad_retry_settings_are_explained(peer: HttpPeer, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DET_RETRY_CONFIG", text)
    with Session(peer.url, max_retries=1) as session, pytest.raises(InvalidInput, match="DET_RETRY_CONFIG"):
        session.get("/x")


def test_an_answer_that_does_not_come_in_time_is_a_timeout(peer: HttpPeer) -> None:
    release = threading.Event()
    peer.on("GET", "/slow", lambda request: (release.wait(60), {})[1])
    with Session(peer.url) as session:
        try:
            with pytest.raises(errors.MasterTimeoutException, match=r"within 0.05 s"):
                session.get("/slow", timeout_s=0.05)
        finally:
            release.set()


def test_stream_yields_each_line_as_soon_as_it_is_there(peer: HttpPeer) -> None:
    seen_first = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b'{"result": {"n": 1}}\n'
        assert seen_first.wait(60)
        yield b'{"result": '
        yield b'{"n": 2}}\n{"result": {"n": 3}}\n'

    peer.on("GET", "/logs", lambda request: Answer(chunks=chunks()))
    with Session(peer.url) as session:
        stream = session.stream("/logs", {"follow": True})
        assert next(stream) == {"result": {"n": 1}}
        seen_first.set()
        assert list(stream) == [{"result": {"n": 2}}, {"result": {"n": 3}}]
    assert peer.requests[0].params == {"follow": ["true"]}


def test_stream_reads_bodies_that_are_not_chunked_too(peer: HttpPeer) -> None:
    peer.on("GET", "/logs", Answer(b'{"a": 1}\n\n{"a": 2}'))
    with Session(peer.url) as session:
        assert list(session.stream("/logs")) == [{"a": 1}, {"a": 2}]


def test_an_error_line_ends_the_stream_with_its_exception(peer: HttpPeer) -> None:
    peer.on("GET", "/logs", lines({"result": 1}, {"error": {"code": 5, "message": "trial 9 is gone"}}))
    with Session(peer.url) as session:
        stream = session.stream("/logs")
        assert next(stream) == {"result": 1}
        with pytest.raises(errors.NotFoundException, match="trial 9 is gone"):
            next(stream)


def test_a_refused_stream_raises_like_any_call(peer: HttpPeer) -> None:
    peer.on("GET", "/logs", refusal(400, 3, "limit with follow"))
    with Session(peer.url) as session, pytest.raises(errors.InvalidRequestException, match="limit with follow"):
        list(session.stream("/logs"))


def test_a_stream_that_breaks_off_says_so(peer: HttpPeer) -> None:
    peer.on("GET", "/logs", Answer(chunks=[b'{"n": 1}\n', b'{"n"'], cut=True))
    with Session(peer.url) as session, pytest.raises(errors.MasterNotFoundException, match="broke off"):
        list(session.stream("/logs"))


def test_a_stream_can_be_left_early(peer: HttpPeer) -> None:
    peer.on("GET", "/logs", lambda request: lines({"n": 1}, {"n": 2}))
    peer.on("GET", "/x", {})
    with Session(peer.url) as session:
        stream = session.stream("/logs")
        next(stream)
        stream.close()
        assert session.get("/x") == {}


def test_raw_bytes_come_as_they_are(peer: HttpPeer) -> None:
    peer.on("GET", "/checkpoints/u", lambda request: Answer(request.headers["accept"].encode() + b"\x00\xff"))
    with Session(peer.url) as session:
        assert session.get_raw("/checkpoints/u", accept="application/gzip") == b"application/gzip\x00\xff"


def test_a_closed_session_can_be_used_again(peer: HttpPeer) -> None:
    peer.on("GET", "/x", {})
    session = Session(peer.url)
    session.get("/x")
    session.close()
    session.get("/x")
    session.close()
    assert len(peer.requests) == 2


@pytest.mark.parametrize(
    ("value", "expected"), [("a/b", "a%2Fb"), ("..", "%2E%2E"), ("a?b#c", "a%3Fb%23c"), (7, "7"), ("é", "%C3%A9")]
)
def test_a_value_becomes_one_segment_of_a_path(value: object, expected: str) -> None:
    assert segment(value) == expected

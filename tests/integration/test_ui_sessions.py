"""What a browser needs before it shows anything: pages, a session in a cookie, links that open one."""

from __future__ import annotations

import httpx
import pytest

from determined.domain.ids import UserId
from determined.errors import Unauthenticated
from determined.master.api.security import allowed_hosts
from determined.master.service.auth_keys import KEY_LIFETIME_S, MAX_KEYS, OpenKeys
from tests.integration.api_rig import URL, Rig, ok, refused, served

OWN = {"Origin": URL}


async def session(m: Rig, **body: str) -> str:
    """Open a session, and the cookie that holds it."""
    answer = await m.call("POST", "/ui/session", body, headers={"Authorization": "", **OWN})
    assert answer.status_code == 204, answer.text
    m.client.cookies.clear()
    return cookie_of(answer)


def cookie_of(answer: httpx.Response) -> str:
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert cookie.startswith("det_session_8080=")
    return str(cookie)


def with_cookie(cookie: str, **more: str) -> dict[str, str]:
    return {"Authorization": "", "Cookie": cookie, **more}


@served
async def test_a_session_is_opened_with_name_and_password_and_closed_for_good(m: Rig) -> None:
    cookie = await session(m, username="admin", password=m.password)
    who = ok(await m.call("GET", "/ui/session", headers=with_cookie(cookie)))
    assert who == {"user": {"id": 1, "username": "admin", "displayName": "", "admin": True}}
    ok(await m.call("GET", "/v1/experiments", headers=with_cookie(cookie)))
    closed = await m.call("DELETE", "/ui/session", headers=with_cookie(cookie, **OWN))
    assert closed.status_code == 204
    assert "Max-Age=0" in closed.headers["set-cookie"]
    refused(await m.call("GET", "/ui/session", headers=with_cookie(cookie)), 401)


@served
async def test_logging_out_ends_the_session_of_an_older_page_as_well(m: Rig) -> None:
    cookie = await session(m, username="admin", password=m.password)
    token = ok(await m.call("POST", "/v1/auth/login", {"username": "determined", "password": m.password}))["token"]
    older = f"auth={token}"
    assert ok(await m.call("GET", "/ui/session", headers=with_cookie(older)))["user"]["username"] == "determined"
    closed = await m.call("DELETE", "/ui/session", headers=with_cookie(f"{cookie}; {older}", **OWN))
    cleared = {c.partition("=")[0]: c for c in closed.headers.get_list("set-cookie")}
    assert cleared.keys() == {"det_session_8080", "auth"}
    assert all("Max-Age=0" in c for c in cleared.values())
    for left in (cookie, older):
        refused(await m.call("GET", "/ui/session", headers=with_cookie(left)), 401)
    # What is void already does not stand in the way.
    cookie = await session(m, username="admin", password=m.password)
    closed = await m.call("DELETE", "/ui/session", headers=with_cookie(f"{cookie}; {older}", **OWN))
    assert closed.status_code == 204


@served
async def test_a_session_is_opened_with_a_token_which_it_does_not_give_away(m: Rig) -> None:
    token = str(m.client.headers["Authorization"]).partition(" ")[2]
    cookie = await session(m, token=token)
    assert token not in cookie
    who = ok(await m.call("GET", "/ui/session", headers=with_cookie(cookie)))
    assert who["user"]["username"] == "determined"


@served
async def test_what_proves_nobody_opens_no_session(m: Rig) -> None:
    for body in ({"username": "admin", "password": "wrong"}, {"token": "nonsense"}):
        refused(await m.call("POST", "/ui/session", body, headers={"Authorization": ""}), 401)
    for wrong in ({}, {"username": "admin", "token": "x"}):
        refused(await m.call("POST", "/ui/session", wrong), 400, "not both")
    t = await m.start_trial(await m.create())
    refused(await m.call("POST", "/ui/session", {"token": t.token}), 403)
    refused(await t.call("POST", "/v1/ui/links"), 403)


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://localhost:8080"}, {"Origin": "http://localhost:9"}, {"Origin": "null"}]
)
def test_a_cookie_changes_nothing_without_the_masters_own_origin(headers: dict[str, str]) -> None:
    """Another page on this machine may make the browser send the cookie, but it cannot forge where that came from."""

    @served
    async def play(m: Rig) -> None:
        cookie = await session(m, username="admin", password=m.password)
        number = await m.create()
        path = f"/v1/experiments/{number}/pause"
        refused(await m.call("POST", path, headers=with_cookie(cookie, **headers)), 403)
        assert (await m.get(f"/v1/experiments/{number}"))["experiment"]["state"] != "STATE_PAUSED"
        ok(await m.call("POST", path, headers=with_cookie(cookie, **OWN)))
        assert (await m.get(f"/v1/experiments/{number}"))["experiment"]["state"] == "STATE_PAUSED"

    play()


def test_the_origin_of_a_proxy_in_front_is_our_own() -> None:
    assert allowed_hosts("127.0.0.1", urls=["https://Det.example.org/"]).origins == {"https://det.example.org"}


@served
async def test_two_masters_on_one_machine_do_not_take_each_others_cookie(m: Rig) -> None:
    cookie = await session(m, username="admin", password=m.password)
    other = with_cookie(cookie, Host="localhost:8081")
    refused(await m.call("GET", "/ui/session", headers=other), 401)


@served
async def test_a_link_logs_in_once_and_leads_to_the_web_ui(m: Rig) -> None:
    path = (await m.post("/v1/ui/links"))["path"]
    # Whoever shows a preview of the link must not use it up.
    assert (await m.call("HEAD", path)).status_code == 204
    answer = await m.call("GET", path, headers={"Authorization": ""})
    m.client.cookies.clear()
    assert (answer.status_code, answer.headers["location"]) == (303, "/experiments")
    who = ok(await m.call("GET", "/ui/session", headers=with_cookie(cookie_of(answer))))
    assert who["user"]["username"] == "determined"
    refused(await m.call("GET", path), 401, "det ui")
    refused(await m.call("GET", "/open"), 401)


def test_keys_of_links_grow_old_and_do_not_pile_up() -> None:
    now = 0.0
    keys = OpenKeys(lambda: now)
    old = keys.make(UserId(1))
    now = KEY_LIFETIME_S
    with pytest.raises(Unauthenticated, match="ten minutes"):
        keys.take(old)
    first, *others = [keys.make(UserId(2)) for _ in range(MAX_KEYS + 1)]
    with pytest.raises(Unauthenticated):
        keys.take(first)
    assert {keys.take(key) for key in others} == {UserId(2)}


@served
async def test_pages_are_served_under_a_strict_policy(m: Rig) -> None:
    refused(await m.call("GET", "/nothing"), 404)
    folder = m.folder / "webui"
    unbuilt = await m.call("GET", "/experiments")
    assert unbuilt.status_code == 503
    assert "make webui" in unbuilt.text
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>one</title>")
    (folder / "assets" / "app-0A1B2C3D.js").write_text("let x = 1;" * 100)
    (folder / "assets" / "plain.css").write_text("b{}")
    (folder / "secret.txt").write_text("secret")
    for path in ("/experiments", "/experiments/3/trials/4/logs", "/login", "/compare?e=1", "/cluster", "/queue"):
        page = await m.call("GET", path, headers={"Authorization": ""})
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == "no-cache"
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "same-origin"
    script = await m.call("GET", "/assets/app-0A1B2C3D.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]
    assert script.headers["content-encoding"] == "gzip"
    assert script.text == "let x = 1;" * 100
    assert (await m.call("GET", "/assets/plain.css")).headers["cache-control"] == "no-cache"
    for path in ("/assets/none.js", "/assets/../secret.txt", "/assets/%2e%2e/secret.txt", "/assets/", "/secret.txt"):
        assert (await m.call("GET", path)).status_code == 404
    root = await m.call("GET", "/", headers={"Accept": "text/html,*/*"})
    assert (root.status_code, root.headers["location"]) == (303, "/experiments")
    assert (await m.get("/"))["name"] == "determined-search"


@served
async def test_a_page_that_was_built_anew_is_served_anew_and_else_not_sent_twice(m: Rig) -> None:
    page = m.folder / "webui" / "index.html"
    page.parent.mkdir()
    page.write_text("old")
    first = await m.call("GET", "/experiments")
    again = await m.call("GET", "/experiments", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    page.write_text("newer")
    assert (await m.call("GET", "/experiments", headers={"If-None-Match": first.headers["etag"]})).text == "newer"

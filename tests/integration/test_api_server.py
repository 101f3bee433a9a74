"""The master's face without any experiment: identity, errors, guards, documentation."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from determined.master.api.app import every_route
from determined.master.api.routing import Access
from determined.master.api.security import allowed_hosts
from tests.integration.api_rig import CLUSTER, Rig, ok, refused, served


@served
async def test_identity_is_told_to_everybody(m: Rig) -> None:
    info = ok(await m.call("GET", "/info", headers={"Authorization": ""}))
    assert info["version"] == "0.22.2"
    assert info["cluster_id"] == CLUSTER
    assert info["telemetry"] == {"enabled": False}
    master = await m.get("/v1/master")
    assert {"version", "masterId", "clusterId", "clusterName"} <= master.keys()
    assert master["strictJobQueueControl"] is False
    assert await m.get("/v1/master/telemetry") == {"enabled": False}
    assert await m.get("/health") == {"status": "ok"}


@served
async def test_every_other_route_wants_a_token(m: Rig) -> None:
    public = {"/", "/health", "/info", "/api/v1/master", "/api/v1/master/telemetry", "/api/v1/auth/login", "/open"}
    for info in every_route():
        is_public = info.path in public or (info.method, info.path) == ("POST", "/ui/session")
        assert (info.access is Access.PUBLIC) == is_public, info.path
        if info.access is Access.PUBLIC:
            continue
        path = info.path.format_map(dict.fromkeys(_names(info.path), "1"))
        for authorization in ("", "Bearer nonsense", "Basic eDp5"):
            answer = await m.client.request(info.method, path, headers={"Authorization": authorization})
            refused(answer, 401)


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


@served
async def test_unknown_paths_and_methods_get_errors_in_both_shapes(m: Rig) -> None:
    for path in ("/v1/nothing", "/v1/experiments/1/", "/nothing", "/v1/experiments//trials", "/docs"):
        refused(await m.call("GET", path), 404)
    refused(await m.call("PUT", "/v1/experiments"), 405)
    refused(await m.call("DELETE", "/info"), 405)


@served
async def test_a_token_may_come_in_a_cookie(m: Rig) -> None:
    token = await m.login("admin", m.password)
    me = ok(await m.call("GET", "/v1/me", headers={"Authorization": "", "Cookie": f"x=y; auth={token}"}))
    assert me["user"]["username"] == "admin"


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST"])
def test_requests_for_this_machine_are_served(host: str) -> None:
    @served
    async def play(m: Rig) -> None:
        ok(await m.call("GET", "/health", headers={"Host": host}))

    play()


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "10.0.0.1", "127.0.0.1.evil.example"])
def test_requests_for_other_names_are_refused(host: str) -> None:
    """A page whose name is pointed at this machine must not reach it through the visitor's browser."""

    @served
    async def play(m: Rig) -> None:
        refused(await m.call("GET", "/health", headers={"Host": host}), 403)

    play()


def test_a_master_on_every_address_takes_numbers_and_names_that_were_given() -> None:
    hosts = allowed_hosts("0.0.0.0", urls=["https://gpu-box:8443"])
    assert all(hosts.allows(h) for h in ("10.0.0.1:8080", "GPU-BOX:8080", "localhost", "[fe80::1]:80"))
    assert not hosts.allows("evil.example")
    assert not allowed_hosts("127.0.0.1").allows("10.0.0.1")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
    ],
)
def test_other_sites_cannot_make_a_browser_change_something(headers: dict[str, str]) -> None:
    @served
    async def play(m: Rig) -> None:
        refused(await m.call("POST", "/v1/auth/logout", headers=headers), 403)
        ok(await m.call("GET", "/v1/me", headers=headers))

    play()


@served
async def test_own_pages_may_change_something_and_keep_the_token_from_scripts(m: Rig) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8080"}
    body = {"username": "admin", "password": m.password, "isHashed": False}
    answer = await m.call("POST", "/v1/auth/login", body, headers=headers)
    ok(answer)
    assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]
    assert "set-cookie" not in (await m.call("POST", "/v1/auth/login", body)).headers


@served
async def test_answers_carry_security_headers_and_allow_no_other_origin(m: Rig) -> None:
    for path in ("/", "/v1/nothing", "/v1/me"):
        headers = (await m.call("GET", path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers


@served
async def test_the_documentation_describes_every_route(m: Rig) -> None:
    document = await m.get("/openapi.json")
    for info in every_route():
        operation = document["paths"][info.path][info.method.lower()]
        assert operation["summary"]
        assert operation["responses"]["200"]
    schemas = document["components"]["schemas"]
    assert "id" in schemas["ExperimentJson"]["required"]
    references = set(_references(document))
    assert {r.removeprefix("#/components/schemas/") for r in references} <= schemas.keys()
    ids = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(ids) == len(set(ids))


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [r for v in value.values() for r in _references(v)]
    return [r for v in value for r in _references(v)] if isinstance(value, list) else []


@served
async def test_unforeseen_errors_show_an_id_and_log_the_rest(m: Rig) -> None:
    async def explode() -> Any:
        raise ZeroDivisionError("a secret detail")

    m.store.list_users = explode  # type: ignore[method-assign]
    ring = logging.getLogger("determined.master")
    ring.addHandler(m.ring)
    try:
        message = refused(await m.call("GET", "/v1/users"), 500, "internal error")
    finally:
        ring.removeHandler(m.ring)
    assert "secret" not in message
    [line] = [entry.message for entry in m.ring.entries()]
    assert "a secret detail" in line
    assert message.split()[2].rstrip(";") in line


@served
async def test_the_master_log_can_be_read_in_parts_and_followed(m: Rig) -> None:
    for number in range(5):
        m.ring.handle(logging.LogRecord("x", logging.WARNING, "f", 1, "line %d", (number,), None))
    entries = [line["logEntry"] for line in await m.lines("/v1/master/logs")]
    assert [e["message"] for e in entries] == [f"line {n}" for n in range(5)]
    assert entries[0]["level"] == "LOG_LEVEL_WARNING"
    assert {"id", "timestamp"} <= entries[0].keys()
    part = await m.lines("/v1/master/logs", params={"offset": -3, "limit": 2})
    assert [line["logEntry"]["message"] for line in part] == ["line 2", "line 3"]


@served
async def test_slots_pools_workspaces_and_projects_have_what_clients_require(m: Rig) -> None:
    [agent] = (await m.get("/v1/agents"))["agents"]
    assert list(agent["slots"]) == ["0", "1", "2", "3"]
    assert agent["slots"]["0"]["container"] is None
    assert agent["slots"]["0"]["device"]["type"] == "TYPE_CPU"
    [pool] = (await m.get("/v1/resource-pools"))["resourcePools"]
    assert pool["slotsAvailable"] == 4
    [workspace] = (await m.get("/v1/workspaces"))["workspaces"]
    assert workspace["id"] == 1
    assert (await m.get("/v1/projects/1"))["project"]["name"] == "Uncategorized"
    refused(await m.call("GET", "/v1/projects/2"), 404)
    config = await m.get("/config")
    assert config["checkpoint_storage"]["type"] == "shared_fs"
    assert config["resource_manager"]["type"]
    assert (await m.get("/v1/master/config"))["config"] == config


@served
async def test_users_are_managed_over_http(m: Rig) -> None:
    admin = {"Authorization": f"Bearer {await m.login('admin', m.password)}"}
    new = {"user": {"username": "ann", "admin": False, "active": True}, "password": "pw", "isHashed": False}
    refused(await m.call("POST", "/v1/users", new), 403)
    user = (await m.post("/v1/users", new, headers=admin))["user"]
    assert {"id", "username", "admin", "active", "displayName", "modifiedAt"} <= user.keys()
    refused(await m.call("POST", "/v1/users", new, headers=admin), 409)
    ann = {"Authorization": f"Bearer {await m.login('ann', 'pw')}"}
    changed = ok(await m.call("PATCH", f"/v1/users/{user['id']}", {"display_name": "Ann"}, headers=ann))
    assert changed["user"]["displayName"] == "Ann"
    ok(await m.call("PATCH", f"/v1/users/{user['id']}", {"password": "pw2", "isHashed": False}, headers=ann))
    assert await m.login("ann", "pw2")
    refused(await m.call("PATCH", f"/v1/users/{user['id']}", {"admin": True}, headers=ann), 403)
    names = [u["username"] for u in (await m.get("/v1/users"))["users"]]
    assert names == ["admin", "determined", "ann"]
    assert (await m.get("/v1/users/ann/by-username"))["user"]["id"] == user["id"]
    assert (await m.get(f"/v1/users/{user['id']}"))["user"]["username"] == "ann"
    refused(await m.call("GET", "/v1/users/99"), 404)
    await m.post("/v1/auth/logout", headers=ann)
    refused(await m.call("GET", "/v1/me", headers=ann), 401)


@served
async def test_pages_of_users_follow_the_rules_of_lists(m: Rig) -> None:
    async def page(**params: Any) -> tuple[list[str], dict[str, int]]:
        found = await m.get("/v1/users", params=params)
        return [u["username"] for u in found["users"]], found["pagination"]

    names, block = await page(limit=1)
    assert names == ["admin"]
    assert block == {"offset": 0, "limit": 1, "startIndex": 0, "endIndex": 1, "total": 2}
    assert (await page(offset=1))[0] == ["determined"]
    assert (await page(offset=-1))[0] == ["determined"]
    assert (await page(offset=2))[0] == []
    assert (await page(limit=-1))[0] == ["admin", "determined"]
    assert (await page(limit=-2))[1]["total"] == 2
    refused(await m.call("GET", "/v1/users", params={"offset": 3}), 400)
    refused(await m.call("GET", "/v1/users", params={"limit": "x"}), 400)
    refused(await m.call("GET", "/v1/users", params={"limit": "-3"}), 400)


def test_the_server_application_is_usable_by_any_asgi_server() -> None:
    @served
    async def play(m: Rig) -> None:
        transport = httpx.ASGITransport(m.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            assert (await client.head("/health")).status_code == 200

    play()

"""Whatever is sent, the answer is one of ours: no failure of the server, and nothing changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from determined.master.api.app import every_route
from determined.master.api.bodies import MAX_BODY, MIB, Bodies
from determined.master.api.routing import Access
from tests.integration.api_rig import CONFIG, FILES, Rig, ok, refused, request_id, served

NEVER_JSON = {
    "text": b"hello",
    "truncated": b'{"a": [1, 2',
    "two values": b"{} {}",
    "invalid UTF-8": b'"\xff"',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "NaN": b'{"a": NaN}',
    "Infinity": b"-Infinity",
    "1e999": b'{"a": 1e999}',
    "5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "depth of lists": b"[" * 100_000,
    "depth of objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "half a surrogate pair": b'{"a": "\\ud800"}',
    "NUL": b'{"a": "x\\u0000y"}',
    "raw control character": b'{"a": "x\x01y"}',
    "a key twice": b'{"a": 1, "a": 2}',
    "a key twice deep inside": b'{"a": [{"b": {"c": 1, "c": 2}}]}',
}
NAMES = (
    "config", "modelDefinition", "searcherOperations", "triggeredByEvent", "op", "metrics", "trialRunId", "group",
    "stepsCompleted", "uuid", "resources", "metadata", "username", "user", "password", "checkpoint", "length",
    "checkpointUuids", "experimentIds", "filters", "reason", "state", "logs", "labels", "name", "activate", "active",
)  # fmt: skip
ODD_VALUES: dict[str, Any] = {
    "list": [],
    "number": 7,
    "text": "x",
    "true": True,
    "list of lists": [[[]]],
    "wrong types": {name: [{"x": 1}] for name in NAMES},
}
RESOURCES: list[Any] = [{"a": -1}, {"a": 2**63}, {"a": "x"}, {"a": 2**62, "b": 2**62}, []]
METADATA: list[Any] = [{}, {"steps_completed": "x"}, {"steps_completed": True}, []]
POSTS = [
    "/v1/experiments",
    "/v1/experiments/1/searcher_operations",
    "/v1/trials/1/training_metrics",
    "/v1/trials/1/validation_metrics",
    "/v1/trials/1/metrics",
    "/v1/trials/1/searcher/completed_operation",
    "/v1/trials/1/progress",
    "/v1/trials/1/early_exit",
    "/v1/trials/1/runner/metadata",
    "/v1/checkpoints",
    f"/v1/checkpoints/{request_id(1)}/metadata",
    "/v1/auth/login",
    "/v1/users",
    "/v1/users/1/password",
    "/v1/experiments/pause",
    "/task-logs",
    "/v1/task/logs",
]


async def picture(m: Rig) -> Any:
    """Everything that a request could have changed, but for clocks."""
    experiments = (await m.get("/v1/experiments"))["experiments"]
    trials = [await m.get(f"/v1/experiments/{e['id']}/trials") for e in experiments]
    for listed in trials:
        for trial in listed["trials"]:
            trial["wallClockTime"] = 0
    work = await m.get("/v1/trials/1/workloads")
    events = await m.get("/v1/experiments/1/searcher_events")
    logs = await m.lines("/v1/trials/1/logs")
    return experiments, trials, work, events, logs, (await m.get("/v1/users"))["users"]


async def with_trial(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    await t.checkpoint(1, 1)


@served
async def test_what_is_no_json_is_refused_everywhere(m: Rig) -> None:
    await with_trial(m)
    before = await picture(m)
    for path in POSTS:
        for what, body in NEVER_JSON.items():
            answer = await m.call("POST", path, body)
            assert 400 <= answer.status_code < 500, f"{path} with {what}: {answer.status_code} {answer.text[:200]}"
            refused(answer, answer.status_code)
    for path in ("/v1/experiments/1", "/v1/users/1"):
        for body in NEVER_JSON.values():
            refused(await m.call("PATCH", path, body), 413 if len(body) > 1 << 16 and "users" in path else 400)
    for body in NEVER_JSON.values():
        refused(await m.call("DELETE", "/v1/checkpoints", body), 400)
    assert await picture(m) == before


@served
async def test_json_of_the_wrong_shape_never_breaks_the_server(m: Rig) -> None:
    await with_trial(m)
    for path in POSTS:
        for what, value in ODD_VALUES.items():
            if path.endswith(("progress", "password")) and not isinstance(value, dict):
                continue
            answer = await m.call("POST", path, value)
            fine = path in ("/v1/experiments/pause", "/task-logs") and value == []
            assert answer.status_code < 500, f"{path} with {what}: {answer.text}"
            assert fine or answer.status_code >= 400, f"{path} with {what} was taken"


@pytest.mark.parametrize("number", ["0", "-1", "2147483648", "9223372036854775808", "x", "1.5", "%EF%BC%91", "1%00"])
def test_ids_that_cannot_be_are_refused(number: str) -> None:
    @served
    async def play(m: Rig) -> None:
        await with_trial(m)
        before = await picture(m)
        for info in every_route():
            if info.access is Access.PUBLIC or "{" not in info.path or "task" in info.path:
                continue
            path = info.path
            for name in ("experiment_id", "trial_id", "user_id", "project_id", "allocation_id", "uuid", "username"):
                path = path.replace(f"{{{name}}}", number)
            path = path.replace("{resources_id}", "r")
            answer = await m.client.request(info.method, path)
            assert 400 <= answer.status_code < 500, f"{info.method} {path}: {answer.status_code} {answer.text}"
        assert await picture(m) == before

    play()


@served
async def test_traversal_in_paths_reaches_no_file(m: Rig) -> None:
    for path in ("/../etc/passwd", "/%2e%2e/etc/passwd", "/checkpoints/..%2f..%2fetc", "/checkpoints/%2e%2e"):
        refused(await m.call("GET", path), 404)


@served
async def test_numbers_out_of_range_in_queries_are_refused(m: Rig) -> None:
    await with_trial(m)
    for params in ({"limit": 10**12}, {"offset": "1e3"}, {"limit": "\uff11"}, {"limit": ""}, {"users": "a\0b"}):
        answer = await m.call("GET", "/v1/experiments", params=params)
        assert answer.status_code == (200 if params == {"limit": ""} else 400), params
    ok(await m.call("GET", "/v1/experiments", params={"limit": 10**9}))
    many = "&".join(["a="] * 11_000)
    refused(await m.call("GET", f"/v1/experiments?{many}"), 400)
    refused(await m.call("GET", "/v1/experiments?name=%ff"), 400)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("trial_run_id", [True, None, "x", 1.5, 2**31, "\uff11", {}]),
        ("steps_completed", [True, -1, 2**63, "1e", 0.5, []]),
        ("metrics", [None, [], {}, {"avg_metrics": []}, {"avg_metrics": {"epoch": "x"}}]),
    ],
)
def test_reports_with_wrong_values_store_nothing(field: str, values: list[Any]) -> None:
    @served
    async def play(m: Rig) -> None:
        t = await m.start_trial(await m.create())
        good = {"trial_run_id": 1, "steps_completed": 1, "metrics": {"avg_metrics": {"loss": 1.0}}}
        for value in values:
            refused(await t.call("POST", f"/v1/trials/{t.trial}/validation_metrics", {**good, field: value}), 400)
        assert (await m.get(f"/v1/trials/{t.trial}/workloads"))["pagination"]["total"] == 0
        await t.post(f"/v1/trials/{t.trial}/validation_metrics", good)

    play()


@served
async def test_other_reports_with_wrong_values_are_refused(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    base, rid = f"/v1/trials/{t.trial}", request_id(3)
    task = t.allocation.rpartition(".")[0]
    checkpoint = {"uuid": rid, "taskId": task, "allocationId": t.allocation, "metadata": {"steps_completed": 1}}
    cases: list[tuple[str, Any]] = [
        *((f"{base}/progress", v) for v in ("x", b"null", [1], {"a": 1}, True, "NaN", "Infinity", -1)),
        (f"{base}/searcher/completed_operation", {"op": {"length": 99}, "searcherMetric": 1.0}),
        (f"{base}/searcher/completed_operation", {"op": {"length": 100}, "searcherMetric": None}),
        (f"{base}/searcher/completed_operation", {"op": {"length": 100}}),
        (f"{base}/searcher/completed_operation", {"searcherMetric": 1.0}),
        (f"{base}/early_exit", {"reason": "BORED"}),
        (f"{base}/metrics", {"group": "", "metrics": {}}),
        *(("/v1/checkpoints", {**checkpoint, "uuid": u}) for u in ("../x", f"{{{rid}}}", "", rid + "x", None)),
        *(("/v1/checkpoints", {**checkpoint, "resources": r}) for r in RESOURCES),
        *(("/v1/checkpoints", {**checkpoint, "metadata": d}) for d in METADATA),
        ("/v1/checkpoints", {**checkpoint, "state": "STATE_ERROR"}),
    ]
    for path, body in cases:
        answer = await t.call("POST", path, body)
        assert answer.status_code == 400, f"{path} with {body}: {answer.text}"
    refused(await t.call("POST", "/v1/checkpoints", {**checkpoint, "taskId": "9.x"}), 404)
    assert (await m.get(f"{base}/checkpoints"))["checkpoints"] == []
    ok(await t.call("POST", f"{base}/progress"))


@served
async def test_a_body_over_its_limit_is_refused_while_it_is_read(m: Rig) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += MIB
            yield b" " * MIB

    refused(await m.client.post("/api/v1/checkpoints", content=endless()), 413)
    assert sent <= MAX_BODY + 4 * MIB
    headers = {"Content-Length": str(MAX_BODY + 1)}
    answer = await m.client.post("/api/v1/checkpoints", content=b"", headers=headers)
    refused(answer, 413, str(MAX_BODY))
    refused(await m.call("POST", "/v1/auth/login", b'"' + b"x" * (1 << 16) + b'"'), 413)
    assert m.app is not None


@served
async def test_large_model_definitions_fit_and_compressed_bodies_are_not_read(m: Rig) -> None:
    content = "QUFB" * (3 * MIB)
    files = [*FILES, {"path": "big", "type": 48, "content": content, "mode": 33188, "mtime": "1"}]
    await m.post("/v1/experiments", {"config": CONFIG, "modelDefinition": files, "activate": False})
    refused(await m.call("POST", "/v1/experiments", b"\x1f\x8b", headers={"Content-Encoding": "gzip"}), 400)


def test_all_requests_together_hold_only_so_much() -> None:
    async def play() -> None:
        bodies = Bodies(limit=3 * MIB)
        scope: dict[str, Any] = {"headers": []}

        def source(size: int) -> Any:
            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": b"x" * size, "more_body": False}

            return receive

        first = await bodies.read(scope, source(2 * MIB), 8 * MIB)
        with pytest.raises(Exception, match="too many large requests"):
            await bodies.read(scope, source(2 * MIB), 8 * MIB)
        bodies.release(len(first))
        assert len(await bodies.read(scope, source(2 * MIB), 8 * MIB)) == 2 * MIB

    asyncio.run(play())


@served
async def test_bodies_are_given_back_after_each_request(m: Rig) -> None:
    await m.create()
    await m.call("POST", "/v1/experiments", b"nonsense")
    await m.call("POST", "/v1/auth/login", {"username": "x", "password": "y"})
    held = m.app.app.api.bodies._held
    assert held == 0

"""The socket on which pages hear of changes: a real server and a real client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from determined.master.service.hub import MACHINES
from determined.master.ui import broadcast as broadcasting
from determined.master.ui import channels
from determined.master.ui.clients import MAX_WAITING, Client, message
from tests.integration.api_rig import CONFIG, Rig, close_trial, create_trial, ok, request_id, validate_after
from tests.integration.test_api_over_sockets import behind_a_server, until


@asynccontextmanager
async def listening(m: Rig, port: int, *topics: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """A connection, after its greeting."""
    headers = options.pop("headers", {"Authorization": m.client.headers["Authorization"]})
    url = f"ws://127.0.0.1:{port}/api/v1/stream?topics={','.join(topics)}"
    async with connect(url, additional_headers=headers, proxy=None, **options) as socket:
        yield socket


async def heard(socket: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await socket.recv())
    return found


async def until_heard(socket: ClientConnection, topic: str, *fields: str) -> dict[str, Any]:
    """The next message about a topic that has all of these fields."""
    while True:
        told = await heard(socket)
        if told["topic"] == topic and told.keys() >= set(fields):
            return told


@behind_a_server
async def test_changes_of_trials_come_with_their_points_and_rows(m: Rig, port: int) -> None:
    e = await m.create()
    async with listening(m, port, f"exp:{e}") as socket:
        greetings = [await heard(socket), await heard(socket)]
        assert {"topic": "hello", "master": "m"} in greetings
        start = next(g["seq"] for g in greetings if "seq" in g)
        # What was read after the greeting holds everything up to it.
        table = await m.get(f"/v1/ui/experiments/{e}/trials")
        assert (table["seq"], table["count"]) == (start, 0)
        t = await m.start_trial(e)
        told = await until_heard(socket, f"exp:{e}", "trials")
        assert told["seq"] > start
        assert told["trials"]["columns"]["id"] == [t.trial]
        assert told["experiment"]["trials"]["total"] == 1
        await t.report("validation", 7, {"loss": 0.5})
        points = (await until_heard(socket, f"exp:{e}", "points"))["points"]
        assert points == [[t.trial, 7.0, 0.5]]
        await t.report("validation", 9, {"loss": 0.25})
        told = await until_heard(socket, f"exp:{e}", "points")
        # A point is told once.
        assert told["points"] == [[t.trial, 9.0, 0.25]]
        assert told["experiment"]["best"] == 0.25
        assert told["trials"]["columns"]["best"] == [0.25]


@behind_a_server
async def test_rows_of_the_list_come_when_they_change(m: Rig, port: int) -> None:
    first = await m.create()
    async with listening(m, port, "experiments") as socket:
        assert (await heard(socket))["topic"] == "hello"
        second = await m.create()
        assert [row["id"] for row in (await until_heard(socket, "experiments"))["experiments"]] == [second]
        ok(await m.call("PATCH", f"/v1/experiments/{first}", {"name": "renamed"}))
        told = await until_heard(socket, "experiments")
        assert [(row["id"], row["name"]) for row in told["experiments"]] == [(first, "renamed")]


@behind_a_server
async def test_the_end_of_a_search_is_told_and_then_whatever_people_change(m: Rig, port: int) -> None:
    e = await m.create()
    ok(await m.operate(e, 1, create_trial(request_id(1)), validate_after(request_id(1), 1), close_trial(request_id(1))))
    async with listening(m, port, f"exp:{e}") as socket:
        await m.post(f"/v1/experiments/{e}/kill")
        while (told := await until_heard(socket, f"exp:{e}", "experiment"))["experiment"]["state"] != "CANCELED":
            assert told["experiment"]["endedAt"] is None
        ok(await m.call("PATCH", f"/v1/experiments/{e}", {"name": "renamed"}))
        while (told := await until_heard(socket, f"exp:{e}", "experiment"))["experiment"]["name"] != "renamed":
            assert told["seq"] > 0
        ok(await m.call("DELETE", f"/v1/experiments/{e}"))
        assert (await until_heard(socket, f"exp:{e}", "removed"))["removed"] is True


@behind_a_server
async def test_new_decisions_come_once_somebody_has_looked_at_the_log(m: Rig, port: int) -> None:
    e = await m.create()
    rid = request_id(1)
    async with listening(m, port, f"exp:{e}") as socket:
        ok(await m.operate(e, 1, create_trial(rid), validate_after(rid, 1)))
        assert "decisions" not in await until_heard(socket, f"exp:{e}", "experiment")
        await m.get(f"/v1/ui/experiments/{e}/decisions")
        ok(await m.operate(e, None, validate_after(rid, 2)))
        # The first message only sets out from where they count as new.
        while (await until_heard(socket, f"exp:{e}", "decisions"))["decisions"]:
            continue
        ok(await m.operate(e, None, close_trial(rid)))
        while not (told := await until_heard(socket, f"exp:{e}", "decisions"))["decisions"]:
            continue
        assert [op["kind"] for op in told["decisions"][0]["operations"]] == ["Close"]


@behind_a_server
async def test_messages_are_a_chain_and_tell_what_they_leave_out_of_many_decisions(m: Rig, port: int) -> None:
    e = await m.create()
    many = 2 * channels.MAX_DECISIONS
    async with listening(m, port, f"exp:{e}") as socket:
        at = (await until_heard(socket, f"exp:{e}", "seq"))["seq"]
        log = await m.get(f"/v1/ui/experiments/{e}/decisions")
        for n in range(many):
            ok(await m.operate(e, 1 if n == 0 else None, create_trial(request_id(n + 1))))
        told: list[dict[str, Any]] = []
        while not told or told[-1].get("entries") != log["entries"] + many:
            told.append(await until_heard(socket, f"exp:{e}", "experiment"))
            assert told[-1]["since"] == at
            at = told[-1]["seq"]
        newest = await m.get(f"/v1/ui/experiments/{e}/decisions?limit=3")
        assert [d["number"] for d in newest["decisions"]][:3] == [many - 1, many - 2, many - 3]
        assert newest["entries"] == many
        for message_, before in zip(told[1:], told, strict=False):
            # The newest of those that came since, with none missing between.
            numbers = [d["number"] for d in message_["decisions"]]
            count = min(message_["entries"] - before.get("entries", message_["entries"]), channels.MAX_DECISIONS)
            assert numbers == [message_["entries"] - 1 - n for n in range(count)]
        ok(await m.call("PATCH", f"/v1/experiments/{e}", {"name": "renamed"}))
        told_of_edit = await until_heard(socket, f"exp:{e}", "edited")
        assert (told_of_edit["edited"], told_of_edit["experiment"]["name"]) == (True, "renamed")


@behind_a_server
async def test_a_piece_of_the_log_does_not_end_within_an_event(m: Rig, port: int) -> None:
    """Whoever goes on from its oldest event would never see the others of it."""
    e = await m.create()
    for n in range(5):
        ok(await m.operate(e, 1 if n == 0 else None, create_trial(request_id(n + 1))))
    everything = (await m.get(f"/v1/ui/experiments/{e}/decisions"))["decisions"]
    assert len({d["event"] for d in everything}) < len(everything) == 5
    found: list[int] = []
    before = ""
    while piece := (await m.get(f"/v1/ui/experiments/{e}/decisions?limit=2{before}"))["decisions"]:
        found += [d["number"] for d in piece]
        before = f"&before={piece[-1]['event']}"
    assert found == [d["number"] for d in everything]


@behind_a_server
async def test_a_row_with_an_older_count_is_followed_by_a_better_one(m: Rig, port: int) -> None:
    """Trials are not counted for each message; the last one may have an older count, and nothing need follow it."""
    e = await m.create()
    t = await m.start_trial(e)
    async with listening(m, port, "experiments", f"exp:{e}") as socket:
        for metric in (0.5, 0.25, 0.125):
            await t.report("validation", int(1 / metric), {"loss": metric})
            while (await until_heard(socket, "experiments"))["experiments"][0]["best"] != metric:
                continue
        while (await until_heard(socket, "experiments"))["experiments"][0]["spark"] != [0.125]:
            continue


@behind_a_server
async def test_lines_of_a_log_come_as_they_are_written(m: Rig, port: int) -> None:
    t = await m.start_trial(await m.create())
    await m.launcher.log(t.allocation, "before")
    topic = f"log:{t.trial}"
    async with listening(m, port, topic) as socket:
        start = await until_heard(socket, topic, "lines")
        assert start["lines"] == []
        await m.launcher.log(t.allocation, "<b>first</b>")
        await m.launcher.log(t.allocation, "second")
        lines: list[Any] = []
        while len(lines) < 2:
            told = await until_heard(socket, topic, "lines")
            assert told["since"] == (lines[-1]["id"] if lines else start["seq"])
            assert told["seq"] == told["lines"][-1]["id"]
            lines += told["lines"]
        assert [line["text"] for line in lines] == ["<b>first</b>", "second"]
        assert lines[0].keys() == {"trial", "id", "time", "level", "text"}


@behind_a_server
async def test_lines_of_all_trials_of_an_experiment_come_over_one_topic_also_after_their_ends(
    m: Rig, port: int
) -> None:
    e = await m.create(CONFIG.replace("slots_per_trial: 1", "slots_per_trial: 0"))
    other = await m.create()
    first, second = [await m.start_trial(e, number) for number in (1, 2)]
    strange = await m.start_trial(other)
    await m.launcher.log(first.allocation, "before")
    topic = f"logs:{e}"
    async with listening(m, port, topic) as socket:
        start = await until_heard(socket, topic, "lines")
        assert (start["lines"], start["since"]) == ([], start["seq"])
        read = await m.get(f"/v1/ui/experiments/{e}/logs")
        assert read["last"] == start["seq"] == max(line["id"] for line in read["lines"])
        await m.launcher.log(strange.allocation, "of another experiment")
        await m.launcher.log(first.allocation, "one")
        await m.launcher.log(second.allocation, "two")
        await m.launcher.exit(first.allocation, 0)
        ok(await m.operate(e, None, close_trial(request_id(1))))
        task = first.allocation.rpartition(".")[0]
        await m.post("/task-logs", [{"task_id": task, "log": "late", "timestamp": "2001-01-01T00:00:00Z"}])
        lines: list[Any] = []
        newest = start["seq"]
        while not lines or lines[-1]["text"] != "late":
            told = await until_heard(socket, topic, "lines")
            assert told["since"] == newest
            newest = told["seq"]
            lines += told["lines"]
        own = [(line["trial"], line["text"]) for line in lines if line["text"] in ("one", "two", "late")]
        assert own == [(first.trial, "one"), (second.trial, "two"), (first.trial, "late")]
        assert {line["trial"] for line in lines} == {first.trial, second.trial}
        assert newest == max(line["id"] for line in lines)
        assert (await m.get(f"/v1/ui/experiments/{e}/logs"))["last"] == newest


@behind_a_server
async def test_that_machines_come_and_go_is_told(m: Rig, port: int) -> None:
    async with listening(m, port, "cluster") as socket:
        await until_heard(socket, "hello")
        for _ in range(2):
            m.service.hub.tell(MACHINES)
            await until_heard(socket, "cluster")


@behind_a_server
async def test_who_comes_late_hears_what_a_large_answer_may_lack(m: Rig, port: int) -> None:
    """An answer that is up to a second old lacks the newest changes; their messages are sent to newcomers again."""
    e = await m.create()
    async with listening(m, port, f"exp:{e}") as first:
        await until_heard(first, f"exp:{e}", "seq")
        table = await m.get(f"/v1/ui/experiments/{e}/trials")
        t = await m.start_trial(e)
        told = await until_heard(first, f"exp:{e}", "trials")
        async with listening(m, port, f"exp:{e}") as second:
            again = await until_heard(second, f"exp:{e}", "trials")
            assert again == told
            assert again["seq"] > table["seq"]
            assert again["trials"]["columns"]["id"] == [t.trial]


def is_witnessed(m: Rig) -> bool:
    """Whether commits tell somebody."""
    return m.service.commits.witness is not None


@behind_a_server
async def test_nothing_is_done_when_nobody_listens(m: Rig, port: int) -> None:
    e = await m.create()
    assert not is_witnessed(m)
    async with listening(m, port, f"exp:{e}", "experiments") as socket:
        await heard(socket)
        assert is_witnessed(m)
        assert sorted(m.service.broadcast.topics) == ["exp:1", "experiments"]
    await until(lambda: not m.service.broadcast.topics)
    assert not is_witnessed(m)
    await until(lambda: not [task for task in asyncio.all_tasks() if "Channel" in repr(task.get_coro())])


@behind_a_server
async def test_only_users_may_listen_and_with_a_cookie_only_our_own_pages(m: Rig, port: int) -> None:
    t = await m.start_trial(await m.create())
    token = str(m.client.headers["Authorization"]).partition(" ")[2]
    cookie = {"Cookie": f"det_session_{port}={token}"}
    own, other = f"http://127.0.0.1:{port}", "http://localhost:1"
    refusals: list[tuple[dict[str, str], str | None, int]] = [
        ({}, None, 401),
        ({"Authorization": "Bearer nonsense"}, None, 401),
        ({"Authorization": f"Bearer {t.token}"}, None, 403),
        (cookie, None, 403),
        (cookie, other, 403),
        (cookie, "null", 403),
        ({"Authorization": f"Bearer {token}"}, other, 403),
    ]
    for headers, origin, status in refusals:
        with pytest.raises(InvalidStatus) as refused:
            async with listening(m, port, "experiments", headers=headers, origin=origin):
                pass
        assert refused.value.response.status_code == status, (headers, origin)
        assert json.loads(refused.value.response.body or b"")["message"]
    async with listening(m, port, "experiments", headers=cookie, origin=own) as socket:
        assert (await heard(socket))["topic"] == "hello"


@behind_a_server
async def test_topics_that_do_not_exist_are_refused(m: Rig, port: int) -> None:
    for topics, status in (
        ([], 400),
        (["nothing"], 400),
        (["exp:x"], 400),
        (["exp:99999999999"], 400),
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with listening(m, port, *topics):
                pass
        assert refused.value.response.status_code == status, topics
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{port}/nowhere", proxy=None):
            pass
    assert refused.value.response.status_code == 404


@behind_a_server
async def test_what_is_gone_is_told_and_holds_up_no_other_topic(m: Rig, port: int) -> None:
    e = await m.create()
    async with listening(m, port, f"exp:{e}", "exp:7", "log:7") as socket:
        assert (await heard(socket))["topic"] == "hello"
        told = [await heard(socket) for _ in range(3)]
        assert {"topic": "exp:7", "removed": True} in told
        assert {"topic": "log:7", "removed": True} in told
        await m.start_trial(e)
        assert (await until_heard(socket, f"exp:{e}", "trials"))["trials"]["count"] == 1


def test_a_client_that_falls_behind_is_told_to_read_everything_anew() -> None:
    async def play() -> None:
        client = Client(["exp:1", "experiments"], message("hello", master="m"))
        for number in range(MAX_WAITING):
            client.put("exp:1", message("exp:1", seq=number), number)
        client.put("exp:1", message("exp:1", seq=1000), 1000)
        told = [json.loads(await client.take() or "") for _ in range(4)]
        assert told == [
            # Without this a page would wait for ever; and with the version it cannot be content with an older answer.
            {"topic": "hello", "master": "m"},
            {"topic": "exp:1", "resync": True, "seq": 1000},
            {"topic": "experiments", "resync": True},
            {"topic": "exp:1", "seq": 1000},
        ]
        client.close()
        assert await client.take() is None

    asyncio.run(play())


@behind_a_server
async def test_a_client_that_takes_nothing_holds_up_nobody_and_resyncs(m: Rig, port: int) -> None:
    """Its connection is stuffed, its queue overflows; others hear everything at once, and the master's work goes on."""
    e = await m.create()
    topic = f"exp:{e}"
    # So little fits on the way that the queue in the master has to hold the rest.
    async with listening(m, port, topic, max_queue=1) as slow, listening(m, port, topic) as quick:
        await until_heard(quick, topic, "seq")
        channel = m.service.broadcast._channels[topic]
        version = channel.version or 0
        filler = "x" * (1 << 17)
        for number in range(4 * MAX_WAITING):
            channel._tell(message(topic, filler=filler, number=number))
            assert (await until_heard(quick, topic, "number"))["number"] == number
        await m.start_trial(e)
        assert (await until_heard(quick, topic, "trials"))["trials"]["count"] == 1
        told = await until_heard(slow, topic, "resync")
        assert told["resync"] is True
        assert told["seq"] >= version
        # Behind it everything comes that was told after it.
        assert (await until_heard(slow, topic, "trials"))["trials"]["count"] == 1


@behind_a_server
async def test_a_change_of_very_many_trials_is_read_anew(m: Rig, port: int) -> None:
    e = await m.create()
    operations = [create_trial(request_id(n)) for n in range(1, channels.MAX_CHANGED + 2)]
    async with listening(m, port, f"exp:{e}") as socket:
        await until_heard(socket, f"exp:{e}", "seq")
        ok(await m.operate(e, 1, *operations))
        assert (await until_heard(socket, f"exp:{e}", "resync"))["resync"] is True
        ok(await m.call("PATCH", f"/v1/experiments/{e}", {"name": "renamed"}))
        assert "experiment" in await until_heard(socket, f"exp:{e}", "experiment")


@behind_a_server
async def test_there_is_a_bound_on_who_listens(m: Rig, port: int) -> None:
    await m.create()
    bound = broadcasting.MAX_CLIENTS
    sockets = [await m.service.broadcast.join(["experiments"]) for _ in range(bound)]
    with pytest.raises(InvalidStatus) as refused:
        async with listening(m, port, "experiments"):
            pass
    assert refused.value.response.status_code == 429
    m.service.broadcast.leave(sockets[0])
    async with listening(m, port, "experiments") as socket:
        await heard(socket)


@behind_a_server
async def test_a_master_that_stops_says_so(m: Rig, port: int) -> None:
    async with listening(m, port, "experiments") as socket:
        await heard(socket)
        m.service.broadcast.close()
        with pytest.raises(ConnectionClosed) as closed:
            await until_heard(socket, "never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


@behind_a_server
async def test_who_logs_out_or_may_not_log_in_any_more_hears_nothing_more(m: Rig, port: int) -> None:
    admin = ok(await m.call("POST", "/v1/auth/login", {"username": "admin", "password": m.password}))["token"]
    first, second = [
        ok(await m.call("POST", "/v1/auth/login", {"username": "determined", "password": m.password}))["token"]
        for _ in range(2)
    ]
    bearers = [{"Authorization": f"Bearer {token}"} for token in (admin, first, second)]
    async with (
        listening(m, port, "experiments", headers=bearers[0]) as stays,
        listening(m, port, "experiments", headers=bearers[1]) as leaves,
        listening(m, port, "experiments", headers=bearers[2]) as is_sent_away,
    ):
        for socket in (stays, leaves, is_sent_away):
            await heard(socket)
        assert (await m.call("DELETE", "/ui/session", headers=bearers[1])).status_code == 204
        assert await code_of(leaves) == 1008
        e = await m.create()
        # The other session of the same user is another session.
        for socket in (stays, is_sent_away):
            assert (await until_heard(socket, "experiments"))["experiments"][0]["id"] == e
        ok(await m.call("PATCH", "/v1/users/2", {"active": False}, headers=bearers[0]))
        assert await code_of(is_sent_away) == 1008
        ok(await m.call("PATCH", f"/v1/experiments/{e}", {"name": "renamed"}, headers=bearers[0]))
        assert (await until_heard(stays, "experiments"))["experiments"][0]["name"] == "renamed"


async def code_of(socket: ClientConnection) -> int:
    """The code with which the other side closes a connection."""
    await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code

"""What the web UI reads, over the real service: tables, curves, decisions, rungs."""

from __future__ import annotations

import asyncio
import itertools
import struct
from array import array
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from determined.domain.ids import ExperimentId, TrialId
from determined.domain.search_method import SearchMethod
from determined.master.service.loading import config_of, load_lane
from determined.master.ui import merged_log
from determined.methods.async_halving import AsyncHalvingSearch
from determined.methods.halving import Bracket, Phase
from determined.methods.hosted import Hosted
from determined.methods.registry import make_method
from determined.storage.protocol import PutUser
from determined.testing.ui_fixture import asha, fill
from determined.wire.searcher import Inactive, event_from_json
from tests.integration.api_rig import (
    CONFIG,
    Rig,
    close_trial,
    create_trial,
    ok,
    refused,
    request_id,
    served,
    validate_after,
)
from tests.unfold import unfold

E1 = ExperimentId(1)


def recorded(trials: int = 60, **searcher: Any) -> Callable[[Callable[[Rig], Awaitable[None]]], Callable[[], None]]:
    """A test of a master that holds a recorded search."""

    def decorate(test: Callable[[Rig], Awaitable[None]]) -> Callable[[], None]:
        async def play(m: Rig) -> None:
            config = asha(trials, max_length=16, num_rungs=3)
            config["searcher"] |= {"max_concurrent_trials": 8, **searcher}
            owner = await m.auth.users.get_by_name("determined")
            await fill(m.store, PutUser(owner), config, "", seed=3)
            experiment, trial, _ = await m.store.next_ids()
            m.service.submissions.next_experiment = ExperimentId(experiment)
            m.service.commits.next_trial = TrialId(trial)
            await test(m)

        play.__name__ = test.__name__
        return served(play)

    return decorate


def column(table: Any, name: str) -> list[Any]:
    """A column of a table as plain values."""
    values = table["columns"][name]
    return [values["values"][code] for code in values["codes"]] if isinstance(values, dict) else values


@recorded()
async def test_a_table_holds_every_trial_as_the_lists_of_trials_do(m: Rig) -> None:
    table = await m.get("/v1/ui/experiments/1/trials")
    trials = (await m.get("/v1/experiments/1/trials", params={"limit": -1}))["trials"]
    assert table["count"] == len(trials) == len(column(table, "id"))
    assert column(table, "id") == [t["id"] for t in trials]
    assert column(table, "best") == [pytest.approx(t["searcherMetricValue"], rel=1e-6) for t in trials]
    assert column(table, "checkpoints") == [t["checkpointCount"] for t in trials]
    assert set(column(table, "state")) == {"COMPLETED"}
    ends = dict(zip(column(table, "id"), column(table, "end"), strict=True))
    lengths = dict(zip(column(table, "id"), column(table, "units"), strict=True))
    assert {lengths[t] for t in ends if ends[t] == "completed"} == {16.0}
    assert {lengths[t] for t in ends if ends[t] == "stopped"} == {1.0, 4.0}
    lr = next(h for h in table["hparams"] if h["name"] == "lr")
    assert lr["values"] == pytest.approx([t["hparams"]["lr"] for t in trials], rel=1e-6)
    optimizer = next(h for h in table["hparams"] if h["name"] == "optimizer")
    assert [optimizer["values"][code] for code in optimizer["codes"]] == [t["hparams"]["optimizer"] for t in trials]
    assert {h["name"]: h["kind"] for h in table["hparams"]}["augment"] == "category"


@recorded()
async def test_a_row_of_the_list_counts_trials_and_follows_the_best(m: Rig) -> None:
    await m.create()
    answer = await m.get("/v1/ui/experiments")
    assert answer["total"] == 2
    assert sum(answer["counts"].values()) == 2
    assert [row["id"] for row in answer["experiments"]] == [2, 1]
    row = answer["experiments"][1]
    table = await m.get("/v1/ui/experiments/1/trials")
    ends = column(table, "end")
    assert row["trials"] == {
        "total": len(ends),
        "running": 0,
        "completed": ends.count("completed") + ends.count("invalidHp") - _short_invalid(table),
        "stopped": ends.count("stopped") + _short_invalid(table),
        "errored": ends.count("errored"),
        "canceled": ends.count("canceled"),
    }
    assert (row["planned"], row["searcher"], row["metric"], row["user"]) == (
        60,
        "async_halving",
        "val_loss",
        "determined",
    )
    assert 2 <= len(row["spark"]) <= 40
    assert row["spark"] == sorted(row["spark"], reverse=True)
    assert row["spark"][-1] == row["best"]
    assert min(b for b in column(table, "best") if b is not None) == pytest.approx(row["best"])
    one = await m.get("/v1/ui/experiments/1")
    assert (one["unit"], one["maxLength"], one["hasCode"]) == ("epochs", 16, False)
    assert one["config"]["searcher"]["max_trials"] == 60
    assert {name: one[name] for name in row} == row


def _short_invalid(table: Any) -> int:
    ends, units = column(table, "end"), column(table, "units")
    return sum(end == "invalidHp" and length < 16 for end, length in zip(ends, units, strict=True))


@recorded(20)
async def test_the_list_is_filtered_sorted_and_bounded(m: Rig) -> None:
    await m.create()
    await m.post("/v1/experiments/1/archive")
    path = "/v1/ui/experiments"
    for query, expected in (
        ("state=COMPLETED", [1]),
        ("state=ACTIVE,PAUSED", [2]),
        ("q=ASHA", [1]),
        ("archived=false", [2]),
        ("sort=id", [1, 2]),
        ("sort=-best", [1, 2]),
        ("limit=1&offset=1", [1]),
        ("limit=1&before=2", [1]),
        ("before=1", []),
        ("limit=0", []),
    ):
        assert [row["id"] for row in (await m.get(f"{path}?{query}"))["experiments"]] == expected, query
    for query in ("state=NONE", "sort=lr", "limit=-1", "limit=2000", "offset=x", "before=x"):
        refused(await m.call("GET", f"{path}?{query}"), 400)


@recorded(130)
async def test_folded_the_table_is_smaller_and_says_the_same(m: Rig) -> None:
    path = "/v1/ui/experiments/1/trials"
    plain, small = await m.get(path), await m.get(f"{path}?folded=true")
    assert {"deltas", "per"} == set(small["columns"]["startedAt"])
    assert unfold(small) == plain
    sizes = [len((await m.call("GET", path + query)).content) for query in ("", "?folded=true")]
    assert sizes[1] < 0.9 * sizes[0]
    refused(await m.call("GET", f"{path}?folded=perhaps"), 400)


@recorded()
async def test_of_a_rung_no_more_is_sent_than_is_asked_for(m: Rig) -> None:
    path = "/v1/ui/experiments/1/rungs"
    [[low, *_]] = [bracket["rungs"] for bracket in (await m.get(path))["brackets"]]
    [[few, *_]] = [bracket["rungs"] for bracket in (await m.get(f"{path}?limit=8"))["brackets"]]
    assert (few["counts"], few["cut"]) == (low["counts"], low["cut"])
    assert sum(low["counts"].values()) == len(low["results"]) > 40
    assert few["results"][:2] == low["results"][:2]
    # The last trials that something was decided about are shown beside the eight.
    assert 8 <= len(few["results"]) <= 8 + 50
    refused(await m.call("GET", f"{path}?limit=-1"), 400)


@recorded()
async def test_an_answer_is_sent_once_and_then_only_its_version(m: Rig) -> None:
    for path in ("trials", "curves", "rungs"):
        first = await m.call("GET", f"/v1/ui/experiments/1/{path}")
        etag = first.headers["etag"]
        assert (first.status_code, first.headers["cache-control"]) == (200, "private, no-cache")
        again = await m.call("GET", f"/v1/ui/experiments/1/{path}", headers={"If-None-Match": etag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        # What people change counts too, and so a checkpoint that is deleted.
        ok(await m.call("PATCH", "/v1/experiments/1", {"name": f"renamed for {path}"}))
        m.service.feed.encodings.forget()
        after = await m.call("GET", f"/v1/ui/experiments/1/{path}", headers={"If-None-Match": etag})
        assert (after.status_code, after.headers["etag"] != etag) == (200, True)


def unpacked(content: bytes) -> tuple[list[int], dict[int, list[tuple[float, float]]]]:
    """The head of an answer, and the curves by trial."""
    magic, seq, count, total = struct.unpack_from("<4I", content)
    assert magic == 0x31435444
    numbers = array("I")
    numbers.frombytes(content[16 : 16 + 8 * count])
    ids, lengths = numbers[:count], numbers[count:]
    floats = array("f")
    floats.frombytes(content[16 + 8 * count :])
    assert len(floats) == 2 * sum(lengths)
    xs, ys = floats[: sum(lengths)], floats[sum(lengths) :]
    curves, place = {}, 0
    for trial, length in zip(ids, lengths, strict=True):
        curves[trial] = list(zip(xs[place : place + length], ys[place : place + length], strict=True))
        place += length
    return [seq, count, total], curves


@recorded()
async def test_curves_are_the_searched_metric_over_the_length(m: Rig) -> None:
    answer = await m.call("GET", "/v1/ui/experiments/1/curves")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "x-curves-sampling" not in answer.headers
    (_, count, total), curves = unpacked(answer.content)
    table = await m.get("/v1/ui/experiments/1/trials")
    assert total == table["count"]
    with_metric = {t for t, best in zip(column(table, "id"), column(table, "best"), strict=True) if best is not None}
    assert curves.keys() == with_metric
    assert count == len(with_metric)
    trial = max(curves, key=lambda t: len(curves[t]))
    metrics = (await m.get(f"/v1/ui/trials/{trial}/metrics"))["groups"]
    assert [x for x, _ in curves[trial]] == metrics["validation"]["units"] == [float(n) for n in range(1, 17)]
    assert [y for _, y in curves[trial]] == pytest.approx(metrics["validation"]["metrics"]["val_loss"])
    assert metrics["training"]["metrics"].keys() == {"loss"}


@recorded()
async def test_of_many_curves_the_best_and_a_sample_of_the_rest_are_shown(m: Rig) -> None:
    answer = await m.call("GET", "/v1/ui/experiments/1/curves?limit=10&points=4")
    _, curves = unpacked(answer.content)
    table = await m.get("/v1/ui/experiments/1/trials")
    best = dict(zip(column(table, "id"), column(table, "best"), strict=True))
    ranked = sorted((t for t in best if best[t] is not None), key=lambda t: best[t])
    assert answer.headers["x-curves-sampling"].startswith(f"10 of {len(ranked)} trials")
    assert len(curves) == 10
    assert set(ranked[:5]) <= curves.keys()
    assert ranked[-1] in curves
    whole = unpacked((await m.call("GET", "/v1/ui/experiments/1/curves")).content)[1]
    for trial, curve in curves.items():
        assert len(curve) <= 4
        assert set(curve) <= set(whole[trial])
        assert (curve[0], curve[-1]) == (whole[trial][0], whole[trial][-1])


@recorded()
async def test_decisions_are_those_of_the_journal_newest_first(m: Rig) -> None:
    """Page by page, they hold each operation once, with the event that it answers."""
    path, before, entries = "/v1/ui/experiments/1/decisions", None, []
    while True:
        page = await m.get(path, params={"limit": 7, **({} if before is None else {"before": before})})
        if not page["decisions"]:
            break
        entries += page["decisions"]
        before = entries[-1]["event"]
    events = [entry["event"] for entry in entries]
    assert events == sorted(set(events), reverse=True)
    told = [op for entry in reversed(entries) for op in entry["operations"]]
    recorded_ = await m.lines("/v1/experiments/1/decisions")
    kinds = {"createTrial": "Create", "validateAfter": "ValidateAfter", "closeTrial": "Close", "shutDown": "Shutdown"}
    assert [(op["kind"], op["trial"], op["length"], op["reason"], op["numbers"]) for op in told] == [
        (kinds[d["kind"]], d["trialId"], d["length"], d["reason"] or "", d["reasonNumbers"]) for d in recorded_
    ]
    causes = {entry["event"]: entry for entry in entries}
    for decision in recorded_:
        assert causes[decision["cause"]["eventId"]]["kind"] == decision["cause"]["kind"]
    validated = next(e for e in entries if e["kind"] == "validationCompleted")
    assert validated["said"].startswith(f"#{validated['trial']} reached ")
    assert " epoch" in validated["said"]
    one = await m.get(path, params={"trial": validated["trial"], "limit": 1000})
    # Of a trial are its events, and what was decided about it at those of others, such as that it begins.
    trial = validated["trial"]
    its_own = [e for e in entries if e["trial"] == trial or trial in [op["trial"] for op in e["operations"]]]
    assert [e["event"] for e in one["decisions"]] == [e["event"] for e in its_own]
    assert any(e["trial"] != trial for e in its_own)
    middle = events[len(events) // 2]
    later = await m.get(path, params={"after": middle, "limit": 1000})
    assert [e["event"] for e in later["decisions"]] == [e for e in events if e > middle]


class Replay:
    """The method of a recorded search, which is told its events once more."""

    def __init__(self, method: SearchMethod) -> None:
        assert isinstance(method, AsyncHalvingSearch)
        self.hosted = Hosted(method)
        self.bracket: Bracket = method.brackets[0]
        self.trials: dict[Any, int] = {}

    def state(self) -> list[Any]:
        """Each rung: results and whether they wait, and who is on its way."""
        members = self.bracket.members
        rungs = []
        for place, rung in enumerate(self.bracket.rungs):
            results = {}
            for number, loss in rung.results():
                if isinstance(loss, float) and members[number].metric == members[number].metric:
                    results[number + 1] = (loss, number in rung.waiting, members[number].rung > place)
            running = {m.number + 1 for m in members if m.rung == place and m.phase is Phase.TRAINING}
            rungs.append((rung.length, results, running))
        return rungs


@pytest.mark.parametrize("stop_once", [False, True])
def test_the_ladder_at_any_event_is_that_of_the_method_which_is_told_its_events_again(stop_once: bool) -> None:
    @recorded(40, stop_once=stop_once)
    async def play(m: Rig) -> None:
        experiment = await m.store.get_experiment(E1)
        replay = Replay(make_method(config_of(experiment)))
        compared = 0
        for row in await m.store.read_events(E1, 0, 100_000):
            event_id, event = event_from_json(msgspec.json.decode(row.body))
            assert not isinstance(event, Inactive)
            replay.hosted.handle(event_id, event)
            if event_id % 5 and event_id > 10:
                continue
            shown = await m.get(f"/v1/ui/experiments/1/rungs?event={event_id}")
            [bracket] = shown["brackets"]
            assert (shown["event"], bracket["bracket"]) == (event_id, None)
            _compare(bracket["rungs"], replay.state(), experiment.smaller_is_better)
            compared += 1
        assert compared > 50

    play()


def _compare(shown: list[Any], expected: list[Any], smaller_is_better: bool) -> None:
    for (length, results, running), rung in zip(expected, shown, strict=False):
        assert rung["length"] == length
        found = {trial: (metric, state) for trial, metric, state in rung["results"] if state != "running"}
        for trial, (loss, waits, went_on) in results.items():
            metric, state = found[trial]
            assert metric == loss
            assert (state == "waiting") == waits
            assert (state == "promoted") == went_on
        assert {trial for trial, _, state in rung["results"] if state == "running"} == running
        ranked = [metric for _, metric, state in rung["results"] if state != "running" and metric is not None]
        assert ranked == sorted(ranked, reverse=not smaller_is_better)
        promoted = [metric for _, metric, state in rung["results"] if state == "promoted"]
        assert rung["cut"] == (max(promoted) if promoted else None)
    assert all(not results and not running for _, results, running in expected[len(shown) :])


@served
async def test_a_search_of_a_custom_method_is_shown_like_any_other(m: Rig) -> None:
    t = await m.start_trial(await m.create(CONFIG + "hyperparameters: {}\n"), length=10)
    e = t.experiment
    await t.report("validation", 10, {"loss": 0.5})
    await t.post(f"/v1/trials/{t.trial}/searcher/completed_operation", {"op": {"length": 10}, "searcherMetric": 0.5})
    table = await m.get(f"/v1/ui/experiments/{e}/trials")
    assert (column(table, "units"), column(table, "bestUnits"), column(table, "end")) == ([10.0], [10.0], [""])
    rid, other = request_id(1), request_id(2)
    more = [validate_after(rid, 40), create_trial(other, lr=0.5, deep={"a": "x"}), validate_after(other, 10)]
    ok(await m.operate(e, 3, *more))
    log = await m.get(f"/v1/ui/experiments/{e}/decisions")
    newest = log["decisions"][0]
    assert (log["last"], newest["event"], newest["said"]) == (3, 3, f"#{t.trial} reached 10 with 0.5")
    assert [(op["kind"], op["trial"], op["length"]) for op in newest["operations"]] == [
        ("ValidateAfter", t.trial, 40),
        ("Create", t.trial + 1, None),
        ("ValidateAfter", t.trial + 1, 10),
    ]
    assert [entry["kind"] for entry in log["decisions"]] == ["validationCompleted", "initialOperations", "posted"]
    [bracket] = (await m.get(f"/v1/ui/experiments/{e}/rungs"))["brackets"]
    assert bracket["rungs"] == [
        {
            "length": 10,
            "counts": {"promoted": 1, "waiting": 0, "ended": 0, "running": 1},
            "results": [[t.trial, 0.5, "promoted"], [t.trial + 1, None, "running"]],
            "cut": 0.5,
        },
        {
            "length": 40,
            "counts": {"promoted": 0, "waiting": 0, "ended": 0, "running": 1},
            "results": [[t.trial, None, "running"]],
            "cut": None,
        },
    ]
    ok(await m.operate(e, None, close_trial(other)))
    m.service.feed.encodings.forget()
    [bracket] = (await m.get(f"/v1/ui/experiments/{e}/rungs"))["brackets"]
    assert bracket["rungs"][0]["results"] == [[t.trial, 0.5, "promoted"]]
    m.service.feed.encodings.forget()
    table = await m.get(f"/v1/ui/experiments/{e}/trials")
    hparams = {h["name"]: h for h in table["hparams"]}
    assert hparams["deep.a"] == {"name": "deep.a", "kind": "category", "codes": [-1, 0], "values": ["x"]}
    assert hparams["lr"] == {"name": "lr", "kind": "number", "values": [None, 0.5]}


HOSTED = """
name: hosted
entrypoint: python train.py
searcher: {name: SEARCHER, metric: loss, max_length: {batches: 4}, max_trials: 6, MORE, max_concurrent_trials: 2}
hyperparameters: {lr: {type: double, minval: 0.0, maxval: 1.0}}
"""


@served
async def test_a_method_that_the_master_runs_says_where_it_stands(m: Rig) -> None:
    halving = await m.create(HOSTED.replace("SEARCHER", "async_halving").replace("MORE", "num_rungs: 2"))
    plain = await m.create(HOSTED.replace("SEARCHER", "random").replace("MORE, ", ""))
    told = await told_when(m, halving, lambda summary: summary and summary["brackets"][0]["started"])
    [bracket] = told["brackets"]
    assert (bracket["started"], bracket["of"], bracket["ended"]) == (2, 6, 0)
    assert bracket["rungs"] == [
        {"length": 1, "results": 0, "waiting": 0, "training": 2},
        {"length": 4, "results": 0, "waiting": 0, "training": 0},
    ]
    told = await told_when(m, plain, lambda summary: summary and summary["started"])
    assert told == {"started": 2, "of": 6, "finished": 0, "invalid": 0, "length": 4}
    await m.post(f"/v1/experiments/{halving}/kill")
    await told_when(m, halving, lambda summary: summary is None)


@served
async def test_a_search_runner_sends_what_its_method_says_along_with_its_answers(m: Rig) -> None:
    e = await m.create()
    path = f"/v1/ui/experiments/{e}/summary"
    assert await m.get(path) == {"event": None, "summary": None}
    ok(await m.operate(e, 1, create_trial(request_id(1)), summary={"started": 1}))
    assert await m.get(path) == {"event": 1, "summary": {"started": 1}}
    # An answer without one changes nothing, and neither does one that is refused, or that is only repeated.
    ok(await m.operate(e, None, validate_after(request_id(1), 5)))
    for refuses in ({"a": "x" * 70_000}, "text", [1]):
        refused(await m.operate(e, None, close_trial(request_id(1)), summary=refuses), 400, "ummary")
    refused(await m.operate(e, 1, create_trial(request_id(2)), summary={"started": 9}), 409)
    ok(await m.operate(e, 1, create_trial(request_id(1)), summary={"started": 3}))
    assert await m.get(path) == {"event": 1, "summary": {"started": 1}}
    # It is no part of the state of the search: that is found again without it.
    lane = await load_lane(m.store, await m.store.get_experiment(ExperimentId(e)))
    assert (lane.seq, lane.answered) == (await m.service.commits.version(ExperimentId(e)), 1)


async def told_when(m: Rig, experiment: int, claim: Callable[[Any], object]) -> Any:
    """The summary of a search, once it is as claimed: methods answer a moment after they were made."""
    while True:
        summary = (await m.get(f"/v1/ui/experiments/{experiment}/summary"))["summary"]
        if claim(summary):
            return summary
        # A request over a store in memory waits for nothing, and so would let nobody else go on.
        await asyncio.sleep(0)


@served
async def test_what_is_not_there_is_told_and_empty_searches_are_shown(m: Rig) -> None:
    e = await m.create()
    assert (await m.get(f"/v1/ui/experiments/{e}/trials"))["count"] == 0
    assert unpacked((await m.call("GET", f"/v1/ui/experiments/{e}/curves")).content) == ([1, 0, 0], {})
    assert (await m.get(f"/v1/ui/experiments/{e}/rungs")) == {"event": 0, "brackets": []}
    assert (await m.get(f"/v1/ui/experiments/{e}/decisions"))["decisions"] == []
    for path in ("", "/trials", "/curves", "/rungs", "/decisions"):
        refused(await m.call("GET", f"/v1/ui/experiments/9{path}"), 404)
    refused(await m.call("GET", "/v1/ui/trials/9/metrics"), 404)
    refused(await m.call("GET", f"/v1/ui/experiments/{e}/curves?limit=1"), 400, "between 2 and")
    refused(await m.call("GET", f"/v1/ui/experiments/{e}/decisions?trial=9"), 404)


@recorded(20)
async def test_many_who_ask_at_once_are_served_by_one_encoding(m: Rig) -> None:
    made = 0
    original = m.store.trial_rows

    async def counted(*args: Any) -> Any:
        nonlocal made
        made += 1
        return await original(*args)

    m.store.trial_rows = counted  # type: ignore[assignment, method-assign]
    answers = await asyncio.gather(*(m.call("GET", "/v1/ui/experiments/1/trials") for _ in range(20)))
    assert made == 1
    assert len({answer.content for answer in answers}) == 1


@served
async def test_secrets_of_a_configuration_are_hidden_from_pages_and_come_back_in_a_fork(m: Rig) -> None:
    text = (
        CONFIG
        + "checkpoint_storage:\n  type: s3  # the usual one\n  bucket: b\n  access_key: AKIA\n  secret_key: S3CRET\n"
    )
    e = await m.create(text)
    shown = await m.get(f"/v1/ui/experiments/{e}")
    assert shown["config"]["checkpoint_storage"]["secret_key"] == "********"
    page = (await m.get(f"/v1/ui/experiments/{e}/config"))["config"]
    assert "# the usual one" in page
    for answer in (page, str(shown)):
        assert "S3CRET" not in answer
        assert "AKIA" not in answer
    # Clients of the REST API make experiments of what they read, so they are told everything.
    assert (await m.get(f"/v1/experiments/{e}"))["experiment"]["originalConfig"] == text
    fork = await m.create(page.replace("a test", "a fork"), modelDefinition=[], parentId=e)
    made = (await m.get(f"/v1/experiments/{fork}"))["experiment"]
    assert made["config"]["checkpoint_storage"]["secret_key"] == "S3CRET"
    assert made["config"]["checkpoint_storage"]["access_key"] == "AKIA"
    assert made["name"] == "a fork"
    body = {"config": CONFIG + "data: {password: '********'}", "parentId": e}
    refused(await m.call("POST", "/v1/experiments", body), 400, "data.password is hidden")


@served
async def test_the_logs_of_all_trials_are_one_log_by_time(m: Rig) -> None:
    e = await m.create(CONFIG.replace("slots_per_trial: 1", "slots_per_trial: 0"))
    runs = [await m.start_trial(e, number) for number in (1, 2, 3)]
    ticks = itertools.count(1.0)
    m.launcher._clock = lambda: next(ticks)
    for number in range(4):
        for run in runs:
            level = "ERROR: " if number == 3 else ""
            await m.launcher.log(run.allocation, f"{level}line {number} of {run.trial}")
    path = f"/v1/ui/experiments/{e}/logs"
    everything = await m.get(path)
    assert (everything["searched"], everything["trials"]) == (3, 3)
    own = [line for line in everything["lines"] if "line" in line["text"]]
    expected = [f"line {number} of {run.trial}" for number in range(4) for run in runs]
    assert [line["text"] for line in own] == expected
    assert own[0].keys() == {"trial", "id", "time", "level", "text"}

    async def texts(**parameters: Any) -> list[str]:
        return [line["text"] for line in (await m.get(path, params=parameters))["lines"]]

    # The newest ones, of all or of some trials, searched or from a level on.
    assert await texts(limit=4) == expected[-4:]
    some = f"{runs[0].trial},{runs[2].trial}"
    assert await texts(trials=some, find="LINE 1") == [expected[3], expected[5]]
    assert await texts(level="warning") == expected[-3:]
    assert len(await texts(level="info")) == len(everything["lines"])
    # A line that comes long after the end of its trial is one of the newest, whatever the time that it tells.
    await m.launcher.exit(runs[0].allocation, 0)
    ok(await m.operate(e, None, close_trial(request_id(1))))
    task = runs[0].allocation.rpartition(".")[0]
    for number, at in enumerate(("2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z")):
        await m.post("/task-logs", [{"task_id": task, "log": f"late {number}", "timestamp": at}])
    for run in runs[1:]:
        await m.launcher.log(run.allocation, "the last")
    newest = await m.get(path, params={"limit": 4})
    assert [line["text"] for line in newest["lines"]] == ["the last", "the last", "late 0", "late 1"]
    assert newest["last"] == max(line["id"] for line in newest["lines"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merged_log, "MOST_TRIALS", 2)
        assert (await m.get(path, params={"find": "nowhere"}))["searched"] == 2
        refused(await m.call("GET", f"{path}?trials=1,2,3"), 400, "at most 2")
    for wrong, status in (("trials=99", 404), ("trials=x", 400), ("level=loud", 400), ("limit=0", 400)):
        refused(await m.call("GET", f"{path}?{wrong}"), status)

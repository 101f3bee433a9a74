"""Experiments, trials, checkpoints and logs over HTTP, against the real service."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import tarfile
import zipfile
from typing import Any

import pytest

from determined.domain.ids import ExperimentId
from tests.integration.api_rig import (
    CONFIG,
    FILES,
    SHUT_DOWN,
    Rig,
    close_trial,
    create_trial,
    ok,
    refused,
    request_id,
    served,
    validate_after,
)

# Fields without which clients in the field fail.
EXPERIMENT = {
    "id", "name", "state", "startTime", "archived", "numTrials", "username", "jobId", "config", "originalConfig",
    "searcherType", "projectId", "projectOwnerId",
}  # fmt: skip
TRIAL = {"id", "experimentId", "state", "startTime", "hparams", "totalBatchesProcessed", "restarts"}
CHECKPOINT = {"uuid", "state", "resources", "metadata", "training", "taskId", "allocationId", "reportTime"}


@served
async def test_a_new_experiment_is_answered_complete(m: Rig) -> None:
    made = await m.post("/v1/experiments", {"config": CONFIG, "modelDefinition": FILES, "activate": True})
    shown = made["experiment"]
    assert shown.keys() >= EXPERIMENT
    assert shown["state"] == "STATE_QUEUED"
    assert shown["username"] == "determined"
    assert shown["originalConfig"] == CONFIG
    assert made["config"] == shown["config"]
    assert made["config"]["max_restarts"] == 5
    assert made["warnings"] == []
    read = await m.get(f"/v1/experiments/{shown['id']}")
    assert read["experiment"] == {**shown, "trialIds": []}
    assert read["jobSummary"] == {"state": "STATE_QUEUED", "jobsAhead": 0}


@served
async def test_fields_may_be_spelled_in_snake_case_and_the_body_needs_no_content_type(m: Rig) -> None:
    body = {"config": CONFIG, "model_definition": FILES, "activate": False, "unknown_field": [1], "project_id": "1"}
    made = await m.post("/v1/experiments", body, headers={"Content-Type": "text/plain"})
    assert made["experiment"]["state"] == "STATE_PAUSED"
    assert (await m.get(f"/v1/experiments/{made['experiment']['id']}"))["jobSummary"] is None


@served
async def test_checking_only_creates_nothing_and_still_answers_an_experiment(m: Rig) -> None:
    made = await m.post("/v1/experiments", {"config": CONFIG, "modelDefinition": FILES, "validateOnly": True})
    assert made["experiment"].keys() >= EXPERIMENT
    assert made["experiment"]["state"] == "STATE_UNSPECIFIED"
    assert made["config"]["searcher"]["name"] == "custom"
    assert (await m.get("/v1/experiments"))["pagination"]["total"] == 0


@served
async def test_too_many_slots_are_a_warning(m: Rig) -> None:
    body = {"config": CONFIG.replace("slots_per_trial: 1", "slots_per_trial: 100"), "modelDefinition": FILES}
    made = await m.post("/v1/experiments", body)
    assert made["warnings"] == ["LAUNCH_WARNING_CURRENT_SLOTS_EXCEEDED"]


@served
async def test_bad_submissions_are_refused_with_every_problem(m: Rig) -> None:
    async def refuse(status: int, part: str, **fields: Any) -> str:
        body = {"config": CONFIG, "modelDefinition": FILES, **fields}
        return refused(await m.call("POST", "/v1/experiments", body), status, part)

    message = await refuse(400, "invalid experiment", config="searcher: {name: custom}\nmax_restarts: -1\n")
    assert message.startswith("invalid experiment")
    assert "max_restarts" in message
    assert "metric" in message
    await refuse(400, "model definition", modelDefinition=[])
    await refuse(404, "77", parentId=77)
    await refuse(404, "project", projectId=9)
    await refuse(400, "template", template="x")
    await refuse(400, "gitRemote", gitRemote="x")
    await refuse(400, "base64", modelDefinition=[{**FILES[0], "content": "%%%"}])
    await refuse(400, "type 50", modelDefinition=[{**FILES[0], "type": 50}])
    for path in ("../x", "/etc/x", "a/../../x", ""):
        await refuse(400, "", modelDefinition=[{**FILES[0], "path": path}])
    assert (await m.get("/v1/experiments"))["pagination"]["total"] == 0


@served
async def test_the_same_client_key_gives_the_same_experiment(m: Rig) -> None:
    first = await m.create(clientKey="k")
    assert await m.create(clientKey="k") == first
    # A script that writes its files anew before it tries again sends the same search.
    later = [{**file, "mtime": "1700000123"} for file in FILES]
    assert await m.create(clientKey="k", modelDefinition=later) == first
    body = {"config": CONFIG + "description: other\n", "modelDefinition": FILES, "activate": True, "clientKey": "k"}
    refused(await m.call("POST", "/v1/experiments", body), 409)
    refused(await m.call("POST", "/v1/experiments", {**body, "clientKey": "k" * 129}), 400)


@served
async def test_the_model_definition_comes_back_as_a_gzipped_tar(m: Rig) -> None:
    number = await m.create()
    packed = base64.b64decode((await m.get(f"/v1/experiments/{number}/model_def"))["b64Tgz"])
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["train.py"]


@served
async def test_lists_of_experiments_filter_sort_and_page(m: Rig) -> None:
    for name in ("alpha", "beta", "gamma"):
        await m.create(CONFIG.replace("a test", name) + f"labels: [all, {name}]\n")
    await m.post("/v1/experiments/2/pause")

    async def ids(**params: Any) -> list[int]:
        return [e["id"] for e in (await m.get("/v1/experiments", params=params))["experiments"]]

    assert await ids() == [1, 2, 3]
    assert await ids(orderBy="ORDER_BY_DESC") == [3, 2, 1]
    assert await ids(sortBy="SORT_BY_NAME", orderBy="ORDER_BY_DESC", limit=2) == [3, 2]
    assert await ids(name="ALP") == [1]
    assert await ids(labels=["all", "beta"]) == [2]
    assert await ids(states=["STATE_PAUSED"]) == [2]
    assert await ids(states=["STATE_ACTIVE", "STATE_PAUSED"], archived="false") == [1, 2, 3]
    assert await ids(users="determined") == [1, 2, 3]
    assert await ids(users="admin") == []
    assert await ids(**{"experimentIdFilter.gt": 1}) == [2, 3]
    assert await ids(**{"experimentIdFilter.lte": 2, "experimentIdFilter.notIn": [1]}) == [2]
    assert await ids(**{"experimentIdFilter.incl": [1, 3]}) == [1, 3]
    page = await m.get("/v1/experiments", params={"offset": 1})
    assert page["pagination"] == {"offset": 1, "limit": 100, "startIndex": 1, "endIndex": 3, "total": 3}
    empty = await m.get("/v1/experiments", params={"offset": 3})
    assert empty["pagination"] == {"offset": 3, "limit": 100, "startIndex": 3, "endIndex": 3, "total": 3}
    for bad in (
        {"offset": 4},
        {"sortBy": "SORT_BY_X"},
        {"states": "STATE_X"},
        {"archived": "maybe"},
        {"orderBy": "UP"},
    ):
        refused(await m.call("GET", "/v1/experiments", params=bad), 400)


@served
async def test_verbs_change_the_state_and_may_be_repeated(m: Rig) -> None:
    number = await m.create()

    async def state() -> str:
        text: str = (await m.get(f"/v1/experiments/{number}"))["experiment"]["state"]
        return text

    async def verb(name: str) -> Any:
        return await m.call("POST", f"/v1/experiments/{number}/{name}")

    for _ in range(2):
        assert ok(await verb("pause")) == {}
    assert await state() == "STATE_PAUSED"
    ok(await verb("activate"))
    refused(await verb("archive"), 400)
    refused(await m.call("DELETE", f"/v1/experiments/{number}"), 400)
    ok(await verb("cancel"))
    assert await state() == "STATE_CANCELED"
    for name in ("cancel", "kill"):
        ok(await verb(name))
    refused(await verb("pause"), 400)
    for name in ("archive", "archive"):
        ok(await verb(name))
    refused(await verb("activate"), 404, "archived")
    ok(await verb("unarchive"))
    ok(await m.call("DELETE", f"/v1/experiments/{number}"))
    for name in ("pause", "kill", "archive"):
        refused(await m.call("POST", f"/v1/experiments/99/{name}"), 404)


@served
async def test_several_experiments_are_changed_at_once_each_with_its_own_result(m: Rig) -> None:
    for _ in range(3):
        await m.create()
    body = {"experimentIds": [1, 99]}
    results = (await m.post("/v1/experiments/pause", body))["results"]
    assert [(r["id"], bool(r["error"])) for r in results] == [(1, False), (99, True)]
    filters = {"states": ["STATE_ACTIVE"], "excludedExperimentIds": [2]}
    results = (await m.post("/v1/experiments/kill", {"experimentIds": [], "filters": filters}))["results"]
    assert results == [{"id": 3, "error": ""}]
    results = ok(await m.call("DELETE", "/v1/experiments/delete", {"experimentIds": [3, 1]}))["results"]
    assert [bool(r["error"]) for r in results] == [False, True]


@served
async def test_only_owners_and_admins_delete(m: Rig) -> None:
    number = await m.create()
    await m.post(f"/v1/experiments/{number}/kill")
    admin = {"Authorization": f"Bearer {await m.login('admin', m.password)}"}
    new = {"user": {"username": "eve", "active": True}, "password": "pw", "isHashed": False}
    await m.post("/v1/users", new, headers=admin)
    eve = {"Authorization": f"Bearer {await m.login('eve', 'pw')}"}
    refused(await m.call("DELETE", f"/v1/experiments/{number}", headers=eve), 403)
    ok(await m.call("DELETE", f"/v1/experiments/{number}", headers=admin))


@served
async def test_patches_change_only_what_they_name(m: Rig) -> None:
    number = await m.create()
    path = f"/v1/experiments/{number}"
    body = {
        "id": number,
        "description": "d",
        "labels": ["x", "y"],
        "notes": "n",
        "resources": {"maxSlots": 2},
        "checkpoint_storage": {"save_trial_best": 3},
    }
    shown = ok(await m.call("PATCH", path, body))["experiment"]
    assert (shown["name"], shown["description"], shown["notes"]) == ("a test", "d", "n")
    assert sorted(shown["labels"]) == ["x", "y"]
    assert shown["config"]["resources"]["max_slots"] == 2
    assert shown["config"]["checkpoint_storage"]["save_trial_best"] == 3
    shown = ok(await m.call("PATCH", path, {"resources": {"maxSlots": None}, "name": None}))["experiment"]
    assert shown["config"]["resources"]["max_slots"] is None
    assert shown["name"] == "a test"
    for bad in ({"name": "  "}, {"labels": "x"}, {"resources": {"priority": 100}}, {"resources": {"maxSlots": -1}}):
        refused(await m.call("PATCH", path, bad), 400)
    refused(await m.call("PATCH", "/v1/experiments/9", {"notes": "x"}), 404)


@served
async def test_a_trial_is_shown_with_its_best_and_latest_reports(m: Rig) -> None:
    number = await m.create()
    t = await m.start_trial(number)
    for steps, loss in ((10, 0.5), (20, 0.25), (30, 1.0)):
        await t.report("training", steps, {"loss": loss * 2})
        await t.report("validation", steps, {"loss": loss, "epoch": 1})
    await t.report("validation", 40, {"loss": "NaN"})
    first = await t.checkpoint(11, 10)
    best = await t.checkpoint(12, 20)
    await t.post(f"/v1/trials/{t.trial}/runner/metadata", {"state": "training"})
    trial = (await m.get(f"/v1/trials/{t.trial}"))["trial"]
    assert trial.keys() >= TRIAL
    assert trial["state"] == "STATE_RUNNING"
    assert trial["totalBatchesProcessed"] == 40
    assert trial["runnerState"] == "training"
    assert trial["taskId"] == f"{number}.{request_id(1)}"
    assert trial["bestValidation"]["metrics"]["avgMetrics"] == {"loss": 0.25, "epoch": 1}
    assert trial["bestValidation"]["totalBatches"] == 20
    assert trial["latestValidation"]["metrics"]["avgMetrics"] == {"loss": "NaN"}
    assert trial["bestCheckpoint"]["uuid"] == best
    assert trial["bestCheckpoint"]["resources"] == {"model.bin": "1024", "sub/": "0"}
    assert trial["checkpointCount"] == 2
    assert trial["totalCheckpointSize"] == "2048"
    listed = await m.get(f"/v1/experiments/{number}/trials", params={"states": "STATE_ACTIVE", "limit": 1})
    assert {**listed["trials"][0], "wallClockTime": 0} == {**trial, "wallClockTime": 0}
    experiment = (await m.get(f"/v1/experiments/{number}"))["experiment"]
    assert experiment["state"] == "STATE_RUNNING"
    assert experiment["trialIds"] == [t.trial]
    assert experiment["bestTrialSearcherMetric"] == 0.25
    assert first


@served
async def test_a_trial_tells_its_story_with_the_reasons_of_the_search(m: Rig) -> None:
    number = await m.create()
    t = await m.start_trial(number)
    other = await m.start_trial(number, 2)
    await t.report("validation", 100, {"loss": 0.5})
    taken = {"op": {"length": 100}, "searcherMetric": 0.5}
    assert await t.post(f"/v1/trials/{t.trial}/searcher/completed_operation", taken) == {"done": False}
    close = {"closeTrial": {"requestId": request_id(1), "reason": "not among the best"}}
    ok(await m.operate(number, None, close))
    told = (await m.get(f"/v1/trials/{t.trial}/story"))["sentences"]
    without_times = [re.sub(r"^\d+\. After [0-9.]+ s ", "", sentence) for sentence in told]
    assert without_times[0] == "the search method created it with {}."
    assert without_times[-1] == "the search method closed it (not among the best)."
    assert [s.partition(". ")[0] for s in told] == [str(i) for i in range(1, len(told) + 1)]
    assert not any("run 2" in s for s in told)
    assert len((await other.get(f"/v1/trials/{other.trial}/story"))["sentences"]) < len(told)
    refused(await m.call("GET", "/v1/trials/99/story"), 404)


@served
async def test_numbers_keep_their_kind_on_the_way_through(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    raw = (
        b'{"trial_run_id":"1","steps_completed":5.0,"metrics":{"avg_metrics":'
        b'{"loss":1.0,"n":3,"big":123456789012345678901234567890,"inf":"-Infinity","inner_key":{"a_b":null}}}}'
    )
    await t.post(f"/v1/trials/{t.trial}/validation_metrics", raw)
    answer = await m.call("GET", f"/v1/trials/{t.trial}")
    assert b'"loss":1.0,"n":3' in answer.content
    assert b'"inf":"-Infinity","inner_key":{"a_b":null}' in answer.content


@served
async def test_workloads_come_in_order_of_training(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    body = {
        "trial_run_id": 1,
        "steps_completed": 10,
        "metrics": {"avg_metrics": {"loss": 3.0}, "batch_metrics": [{"loss": 4.0}]},
    }
    await t.post(f"/v1/trials/{t.trial}/training_metrics", body)
    await t.report("validation", 10, {"loss": 2.0})
    await t.checkpoint(5, 10)
    await t.report("validation", 20, {"loss": 1.0})
    path = f"/v1/trials/{t.trial}/workloads"

    async def kinds(**params: Any) -> list[tuple[str, int]]:
        found = await m.get(path, params=params)
        return [(k, v["totalBatches"]) for w in found["workloads"] for k, v in w.items()]

    everything = [("training", 10), ("validation", 10), ("checkpoint", 10), ("validation", 20)]
    assert await kinds() == everything
    assert await kinds(orderBy="ORDER_BY_DESC") == everything[::-1]
    assert await kinds(filter="FILTER_OPTION_CHECKPOINT") == [("checkpoint", 10)]
    assert await kinds(filter="FILTER_OPTION_VALIDATION") == [("validation", 10), ("validation", 20)]
    assert len(await kinds(filter="FILTER_OPTION_CHECKPOINT_OR_VALIDATION")) == 3
    assert await kinds(metricType="METRIC_TYPE_TRAINING", limit=1) == [("training", 10)]
    assert (await kinds(sortKey="loss"))[0] == ("validation", 20)
    first = (await m.get(path))["workloads"][0]["training"]
    assert first["metrics"] == {"avgMetrics": {"loss": 3.0}}
    assert first["numInputs"] == 0
    first = (await m.get(path, params={"includeBatchMetrics": "true"}))["workloads"][0]["training"]
    assert first["metrics"]["batchMetrics"] == [{"loss": 4.0}]
    refused(await m.call("GET", "/v1/trials/99/workloads"), 404)
    refused(await m.call("GET", path, params={"filter": "X"}), 400)


@served
async def test_checkpoints_carry_their_training_and_sort_best_first(m: Rig) -> None:
    number = await m.create()
    t = await m.start_trial(number)
    names = {}
    for steps, loss in ((10, 0.5), (20, 0.25), (30, None)):
        if loss is not None:
            await t.report("validation", steps, {"loss": loss, "acc": 1 - loss})
        names[steps] = await t.checkpoint(steps, steps)
    shown = (await m.get(f"/v1/checkpoints/{names[10]}"))["checkpoint"]
    assert shown.keys() >= CHECKPOINT
    assert shown["state"] == "STATE_COMPLETED"
    assert shown["metadata"] == {"steps_completed": 10, "framework": "none"}
    assert shown["training"]["validationMetrics"]["avgMetrics"] == {"loss": 0.5, "acc": 0.5}
    assert shown["training"]["trainingMetrics"] == {"avgMetrics": {}, "batchMetrics": []}
    assert shown["training"]["experimentConfig"]["checkpoint_storage"]["type"] == "shared_fs"
    assert shown["training"]["searcherMetric"] == 0.5

    async def steps_of(path: str, **params: Any) -> list[int]:
        found = await m.get(path, params=params)
        return [c["metadata"]["steps_completed"] for c in found["checkpoints"]]

    every, own = f"/v1/experiments/{number}/checkpoints", f"/v1/trials/{t.trial}/checkpoints"
    assert await steps_of(own) == [10, 20, 30]
    assert await steps_of(every, sortBy="SORT_BY_SEARCHER_METRIC") == [20, 10, 30]
    assert await steps_of(every, sortBy="SORT_BY_SEARCHER_METRIC", orderBy="ORDER_BY_DESC", limit=2) == [10, 20]
    assert await steps_of(every, sortByAttr="SORT_BY_BATCH_NUMBER", orderBy="ORDER_BY_DESC") == [30, 20, 10]
    assert await steps_of(own, sortByMetric="acc") == [10, 20, 30]
    assert await steps_of(own, sortByMetric="acc", orderBy="ORDER_BY_DESC") == [20, 10, 30]
    assert await steps_of(own, states="STATE_DELETED") == []
    refused(await m.call("GET", f"/v1/checkpoints/{request_id(77)}"), 404)


@served
async def test_metadata_is_replaced_and_checkpoints_deleted(m: Rig) -> None:
    number = await m.create()
    t = await m.start_trial(number)
    name = await t.checkpoint(1, 1)
    other = await t.checkpoint(2, 2)
    body = {"checkpoint": {"uuid": name, "metadata": {"steps_completed": 1, "a_b": 2.0}}}
    changed = await m.post(f"/v1/checkpoints/{name}/metadata", body)
    assert changed["checkpoint"]["metadata"] == {"steps_completed": 1, "a_b": 2.0}
    assert ok(await m.call("DELETE", "/v1/checkpoints", {"checkpointUuids": [name]})) == {}
    assert (await m.get(f"/v1/checkpoints/{name}"))["checkpoint"]["state"] == "STATE_DELETED"
    refused(await m.call("DELETE", "/v1/checkpoints", {"checkpointUuids": [other]}), 400)


@served
async def test_a_checkpoint_is_downloaded_as_one_file_without_links(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    name = await t.checkpoint(1, 1)
    refused(await m.call("GET", f"/checkpoints/{name}"), 404, "gone")
    folder = m.folder / "checkpoints" / name
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "model.bin").write_bytes(b"weights")
    (folder / "link").symlink_to("/etc/passwd")
    answer = await m.call("GET", f"/checkpoints/{name}", headers={"Accept": "application/zip"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert sorted(archive.namelist()) == ["sub/", "sub/model.bin"]
    answer = await m.call("GET", f"/checkpoints/{name}", headers={"Accept": "application/gzip"})
    assert answer.headers["content-type"] == "application/gzip"
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        assert tar.getnames() == ["sub", "sub/model.bin"]


@served
async def test_a_policy_can_be_tried_before_it_is_set(m: Rig) -> None:
    number = await m.create()
    t = await m.start_trial(number)
    await t.report("validation", 1, {"loss": 0.1})
    old, new = await t.checkpoint(1, 1), await t.checkpoint(2, 2)
    params = {"save_experiment_best": 0, "save_trial_best": 0, "save_trial_latest": 1}
    shown = await m.get(f"/experiments/{number}/preview_gc", params=params)
    assert shown["metric_name"] == "loss"
    assert [c["UUID"] for c in shown["checkpoints"]] == [old]
    assert shown["checkpoints"][0]["step"]["validation"]
    assert (await m.get(f"/v1/checkpoints/{new}"))["checkpoint"]["state"] == "STATE_COMPLETED"


@served
async def test_logs_are_streamed_line_by_line_as_they_were_printed(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    await m.launcher.log(t.allocation, "plain", "[rank=3] ERROR: bad \u2028 thing", "INFO: fine", stdtype="stderr")
    path = f"/v1/trials/{t.trial}/logs"
    lines = [line for line in await m.lines(path) if line["source"] == "trial"]
    assert {"id", "level", "message", "timestamp", "trialId"} <= lines[0].keys()
    assert isinstance(lines[0]["id"], str)
    assert [line["level"] for line in lines] == ["LOG_LEVEL_UNSPECIFIED", "LOG_LEVEL_ERROR", "LOG_LEVEL_INFO"]
    assert lines[0]["message"].endswith(" || plain\n")
    assert lines[1]["message"].endswith(" [rank=3] || ERROR: bad \u2028 thing\n")
    assert lines[1]["rankId"] == 3

    async def texts(**params: Any) -> list[str]:
        return [line["log"] for line in await m.lines(path, params={"sources": "trial", **params})]

    assert await texts(limit=2) == ["plain", "bad \u2028 thing"]
    assert await texts(limit=1, orderBy="ORDER_BY_DESC") == ["fine"]
    assert await texts(levels=["LOG_LEVEL_ERROR", "LOG_LEVEL_CRITICAL"]) == ["bad \u2028 thing"]
    assert await texts(rankIds=3) == ["bad \u2028 thing"]
    assert await texts(searchText="PLA") == ["plain"]
    assert await texts(timestampAfter="2100-01-01T00:00:00Z") == []
    assert await texts(stdtypes="stdout") == []
    [fields] = await m.lines(f"{path}/fields")
    assert fields["stdtypes"] == ["stderr"]
    assert fields["rankIds"] == [3]
    task = t.allocation.rpartition(".")[0]
    by_task = [line for line in await m.lines(f"/v1/tasks/{task}/logs") if line["source"] == "trial"]
    assert [line["taskId"] for line in by_task] == [task] * 3
    refused(await m.call("GET", path, params={"follow": "true", "limit": 1}), 400)
    refused(await m.call("GET", path, params={"levels": "LOUD"}), 400)
    refused(await m.call("GET", path, params={"timestampBefore": "yesterday"}), 400)
    refused(await m.call("GET", "/v1/trials/99/logs"), 404)


@served
async def test_following_a_log_ends_when_the_trial_is_over(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    await m.launcher.log(t.allocation, "last words")
    await m.post(f"/v1/trials/{t.trial}/kill")
    lines = await m.lines(f"/v1/trials/{t.trial}/logs", params={"follow": "true"})
    assert "last words" in [line["log"] for line in lines]
    assert (await m.get(f"/v1/trials/{t.trial}"))["trial"]["state"] == "STATE_CANCELED"


@served
async def test_a_canceled_trial_is_asked_to_leave_and_the_search_hears_of_it(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    assert await m.post(f"/v1/trials/{t.trial}/cancel") == {}
    assert (await m.get(f"/v1/trials/{t.trial}"))["trial"]["state"] == "STATE_STOPPING_CANCELED"
    asked = await t.get(f"/v1/allocations/{t.allocation}/signals/preemption")
    assert asked["preempt"] is True
    assert await m.post(f"/v1/trials/{t.trial}/cancel") == {}
    refused(await m.call("POST", "/v1/trials/99/cancel"), 404)
    await m.post(f"/v1/trials/{t.trial}/kill")
    await m.lines(f"/v1/trials/{t.trial}/logs", params={"follow": "true"})
    assert (await m.get(f"/v1/trials/{t.trial}"))["trial"]["state"] == "STATE_CANCELED"
    assert await m.post(f"/v1/trials/{t.trial}/cancel") == {}
    story = (await m.get(f"/v1/trials/{t.trial}/story"))["sentences"]
    assert [s for s in story if "a user asked to cancel it" in s] == [s for s in story if "cancel" in s]


@served
async def test_forwarders_ship_lines_under_both_paths(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    task = t.allocation.rpartition(".")[0]
    line = {"task_id": task, "log": "one\nWARNING: two\n", "timestamp": "2023-06-01T10:00:00Z", "stdtype": "stdout"}
    await m.post("/task-logs", [line])
    await t.post("/v1/task/logs", {"logs": [{**line, "log": "three", "level": "LOG_LEVEL_INFO"}]})
    lines = await m.lines(f"/v1/trials/{t.trial}/logs", params={"stdtypes": "stdout"})
    assert [(x["log"], x["level"]) for x in lines] == [
        ("one", "LOG_LEVEL_UNSPECIFIED"),
        ("two", "LOG_LEVEL_WARNING"),
        ("three", "LOG_LEVEL_INFO"),
    ]
    assert lines[0]["timestamp"] == "2023-06-01T10:00:00.000000Z"
    refused(await m.call("POST", "/task-logs", [{**line, "task_id": "9.x"}]), 404)
    refused(await m.call("POST", "/task-logs", [line, {**line, "level": "LOUD"}]), 400)


@served
async def test_metric_streams_hold_every_report(m: Rig) -> None:
    number = await m.create()
    trials = [await m.start_trial(number, n) for n in (1, 2)]
    for t in trials:
        await t.report("training", 10, {"loss": 1.0})
        await t.report("validation", 10, {"loss": 0.5})
    ids = [t.trial for t in trials]
    batches = await m.lines("/v1/trials/metrics/training_metrics", params={"trialIds": ids})
    reports = [r for b in batches for r in b["metrics"]]
    required = {"id", "trialId", "trialRunId", "totalBatches", "endTime", "archived", "metrics"}
    assert all(r.keys() >= required for r in reports)
    assert [r["trialId"] for r in reports] == ids
    assert reports[0]["metrics"]["avg_metrics"] == {"loss": 1.0}
    [batch, _] = await m.lines("/v1/trials/metrics/validation_metrics", params={"trialIds": ids})
    assert batch["metrics"][0]["metrics"] == {"validation_metrics": {"loss": 0.5}}
    refused(await m.call("GET", "/v1/trials/metrics/training_metrics"), 400)
    refused(await m.call("GET", "/v1/trials/metrics/training_metrics", params={"trialIds": 99}), 404)


@served
async def test_runs_are_shown_as_tasks_and_hold_slots(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    task = t.allocation.rpartition(".")[0]
    legacy = await m.get("/tasks")
    assert legacy[t.allocation]["name"] == f"Trial {t.trial} (Experiment {t.experiment})"
    assert legacy[t.allocation]["slots_needed"] == 1
    summaries = (await m.get("/v1/tasks"))["allocationIdToSummary"]
    assert summaries[t.allocation]["taskId"] == task
    shown = (await m.get(f"/v1/tasks/{task}"))["task"]
    assert shown["allocations"][0]["allocationId"] == t.allocation
    assert shown["allocations"][0]["state"] == "STATE_RUNNING"
    assert (await t.get(f"/v1/tasks/{task}/context_directory"))["b64Tgz"]
    slots = (await m.get("/v1/agents"))["agents"][0]["slots"]
    busy = [s["container"]["id"] for s in slots.values() if s["container"]]
    assert busy == [t.allocation]
    for name in ("9", "x.y", "1.nothing", "\u0661.x"):
        refused(await m.call("GET", f"/v1/tasks/{name}"), 404)


@served
async def test_a_whole_search_over_http(m: Rig) -> None:
    """One trial from its creation to the end of the search, as the reference client goes about it."""
    number = await m.create()
    events = f"/v1/experiments/{number}/searcher_events"
    rid, allocation = request_id(1), f"{number}.{request_id(1)}.1"
    assert (await m.get(events))["searcherEvents"] == [{"id": 1, "initialOperations": {"placeholder": 0}}]
    assert ok(await m.operate(number, 1, create_trial(rid, lr=0.1), validate_after(rid, 100), close_trial(rid))) == {}
    await m.launcher.started(allocation)
    assert (await m.get(events))["searcherEvents"] == [{"id": 2, "trialCreated": {"requestId": rid}}]
    ok(await m.operate(number, 2))
    t = await m.attach_to(number, allocation)
    assert (await t.get(f"/v1/allocations/{allocation}/signals/preemption?timeout_seconds=0")) == {"preempt": False}
    current = await t.get(f"/v1/trials/{t.trial}/searcher/operation")
    assert current == {"op": {"validateAfter": {"requestId": "", "length": "100"}}, "completed": False}
    await t.post(f"/v1/trials/{t.trial}/progress", 40.0)
    body = {"op": {"length": "100"}, "searcherMetric": 0.31}
    for _ in range(2):
        done = await t.post(f"/v1/trials/{t.trial}/searcher/completed_operation", body)
        assert done == {"done": True}, "it was closed when it was made"
    found = (await m.get(events))["searcherEvents"]
    assert found[0] == {"id": 3, "trialProgress": {"requestId": rid, "partialUnits": 40.0}}
    validated = {"requestId": rid, "metric": 0.31, "validateAfterLength": "100"}
    assert found[1:] == [{"id": 4, "validationCompleted": validated}]
    ok(await m.operate(number, 4, {"setSearcherProgress": {"progress": 0.5}}))
    await t.report("validation", 100, {"loss": 0.31})
    assert (await t.get(f"/v1/trials/{t.trial}/searcher/operation"))["completed"] is True
    best = f"/v1/experiments/{number}/searcher/best_searcher_validation_metric"
    assert await t.get(best) == {"metric": 0.31}
    await t.post(f"/v1/allocations/{allocation}/signals/ack_preemption")
    await m.launcher.exit(allocation, 0)
    assert (await m.get(events))["searcherEvents"] == [{"id": 5, "trialClosed": {"requestId": rid}}]
    ok(await m.operate(number, 5, SHUT_DOWN, {"setSearcherProgress": {"progress": 1.0}}))
    inactive = {"id": -1, "experimentInactive": {"experimentState": "STATE_COMPLETED"}}
    assert (await m.get(events))["searcherEvents"] == [inactive]
    shown = (await m.get(f"/v1/experiments/{number}"))["experiment"]
    assert (shown["state"], shown["progress"]) == ("STATE_COMPLETED", 1.0)
    assert shown["endTime"]
    [last] = await m.lines(f"/v1/experiments/{number}/watch", params={"follow": "true"})
    assert last["state"] == "STATE_COMPLETED"
    refused(await t.call("POST", f"/v1/trials/{t.trial}/progress", 50), 401)


@served
async def test_a_bad_batch_changes_nothing_and_replays_are_told_from_divergence(m: Rig) -> None:
    number = await m.create()
    rid = request_id(1)
    good = create_trial(rid)
    bad = [
        {"createTrial": {"requestId": "x", "hyperparams": "{}"}},
        {"createTrial": {"requestId": rid, "hyperparams": "[]"}},
        {"trialOperation": {"validateAfter": {"requestId": rid, "length": "-1"}}},
        {"unknown": {}},
        {},
    ]
    for operation in bad:
        refused(await m.operate(number, 1, good, operation), 400)
    refused(await m.operate(number, 2, good), 400)
    assert [e["id"] for e in (await m.get(f"/v1/experiments/{number}/searcher_events"))["searcherEvents"]] == [1]
    ok(await m.operate(number, 1, good))
    ok(await m.operate(number, 1, good))
    refused(await m.operate(number, 1, close_trial(rid)), 409)
    assert (await m.get(f"/v1/experiments/{number}"))["experiment"]["numTrials"] == 1
    refused(await m.operate(99, 1, good), 404)


@served
async def test_a_runner_that_was_replaced_is_fenced_off(m: Rig) -> None:
    number = await m.create()
    first = (await m.post(f"/v1/experiments/{number}/searcher_attach", {}))["epoch"]
    second = (await m.post(f"/v1/experiments/{number}/searcher_attach", {}))["epoch"]
    assert second > first
    refused(await m.operate(number, 1, epoch=first), 409)
    ok(await m.operate(number, 1, epoch=second))


@served
async def test_a_runner_that_says_twice_that_it_takes_over_does_not_fence_itself_off(m: Rig) -> None:
    number = await m.create()
    path = f"/v1/experiments/{number}/searcher_attach"
    first = (await m.post(path, {"runner": "a"}))["epoch"]
    assert (await m.post(path, {"runner": "a"}))["epoch"] == first
    assert (await m.post(path, {"runner": "b"}))["epoch"] > first
    refused(await m.operate(number, 1, epoch=first), 409)
    refused(await m.call("POST", path, {"runner": "x" * 129}), 400)


@served
async def test_a_repeated_takeover_is_answered_when_it_is_stored_and_not_before(m: Rig) -> None:
    number = ExperimentId(await m.create())
    write, held = m.store.write, asyncio.Event()
    begun = asyncio.Event()

    async def slowly(unit: Any, lane: int | None = None) -> None:
        begun.set()
        await held.wait()
        await write(unit, lane)

    m.store.write = lambda unit, lane=None: asyncio.ensure_future(slowly(unit, lane))  # type: ignore[method-assign]
    first = asyncio.ensure_future(m.service.attach(number, "a"))
    await begun.wait()
    begun.clear()
    again = asyncio.ensure_future(m.service.attach(number, "a"))
    await asyncio.wait({again, asyncio.ensure_future(begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert not again.done()
    held.set()
    assert await again == await first == (await m.store.get_experiment(number)).epoch


@pytest.mark.parametrize("verb", ["searcher_events", "searcher_operations"])
def test_only_custom_searches_hand_out_their_queue(verb: str) -> None:
    @served
    async def play(m: Rig) -> None:
        number = await m.create(
            "entrypoint: x\nsearcher: {name: single, metric: loss, max_length: {batches: 1}}\n", activate=False
        )
        method = "GET" if verb == "searcher_events" else "POST"
        refused(await m.call(method, f"/v1/experiments/{number}/{verb}", b"{}"), 400, "single")

    play()

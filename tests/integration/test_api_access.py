"""What the token of a run reaches, and what it does not."""

from __future__ import annotations

import pytest

from tests.integration.api_rig import Rig, ok, refused, request_id, served

REPORT = {"trial_run_id": 1, "steps_completed": 1, "metrics": {"avg_metrics": {"loss": 1.0}}}


@served
async def test_a_run_reaches_its_own_experiment_and_trial(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    name = await t.checkpoint(1, 1)
    await t.report("validation", 1, {"loss": 1.0})
    e, task = t.experiment, t.allocation.rpartition(".")[0]
    for path in (
        f"/v1/experiments/{e}",
        f"/v1/experiments/{e}/model_def",
        f"/v1/experiments/{e}/trials",
        f"/v1/experiments/{e}/checkpoints",
        f"/v1/experiments/{e}/searcher/best_searcher_validation_metric",
        f"/v1/trials/{t.trial}",
        f"/v1/trials/{t.trial}/workloads",
        f"/v1/trials/{t.trial}/checkpoints",
        f"/v1/checkpoints/{name}",
        f"/v1/tasks/{task}",
        f"/v1/tasks/{task}/context_directory",
        f"/v1/allocations/{t.allocation}/signals/preemption",
    ):
        await t.get(path)
    assert (await t.call("GET", f"/v1/trials/{t.trial}/logs")).status_code == 200
    for path in ("ready", "waiting", "signals/pending_preemption", "signals/ack_preemption"):
        await t.post(f"/v1/allocations/{t.allocation}/{path}")


@served
async def test_a_run_reaches_nothing_else(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    other = await m.start_trial(await m.create(), 2)
    theirs = await other.checkpoint(9, 1)
    task = other.allocation.rpartition(".")[0]
    for path in (
        f"/v1/experiments/{other.experiment}",
        f"/v1/experiments/{other.experiment}/model_def",
        f"/v1/experiments/{other.experiment}/trials",
        f"/v1/experiments/{other.experiment}/checkpoints",
        f"/v1/experiments/{other.experiment}/searcher/best_searcher_validation_metric",
        f"/v1/trials/{other.trial}",
        f"/v1/trials/{other.trial}/logs",
        f"/v1/trials/{other.trial}/searcher/operation",
        "/v1/trials/99",
        f"/v1/checkpoints/{theirs}",
        f"/checkpoints/{theirs}",
        f"/v1/tasks/{task}",
        f"/v1/tasks/{task}/context_directory",
        f"/v1/allocations/{other.allocation}/signals/preemption",
        "/v1/experiments",
        "/v1/users",
        "/v1/me",
        "/v1/master/config",
        f"/v1/experiments/{t.experiment}/searcher_events",
    ):
        refused(await t.call("GET", path), 403)
    for path, body in (
        (f"/v1/trials/{other.trial}/training_metrics", REPORT),
        (f"/v1/trials/{other.trial}/progress", 1),
        (f"/v1/trials/{other.trial}/early_exit", {"reason": "EXITED_REASON_INVALID_HP"}),
        (f"/v1/trials/{other.trial}/kill", None),
        (f"/v1/trials/{t.trial}/kill", None),
        (f"/v1/trials/{t.trial}/cancel", None),
        (f"/v1/experiments/{t.experiment}/kill", None),
        (f"/v1/allocations/{other.allocation}/signals/ack_preemption", None),
        ("/task-logs", [{"task_id": task, "log": "x"}]),
        ("/v1/checkpoints", {"uuid": request_id(5), "allocationId": other.allocation, "taskId": task}),
        (f"/v1/checkpoints/{theirs}/metadata", {"checkpoint": {"metadata": {}}}),
        ("/v1/users", {"user": {"username": "x"}}),
    ):
        refused(await t.call("POST", path, body), 403)


@served
async def test_a_run_reads_the_checkpoint_that_it_starts_from(m: Rig) -> None:
    first = await m.start_trial(await m.create())
    name = await first.checkpoint(4, 10)
    number = await m.create()
    rid = request_id(2)
    create = {"createTrial": {"requestId": rid, "hyperparams": "{}", "sourceCheckpointUuid": name}}
    after = {"trialOperation": {"validateAfter": {"requestId": rid, "length": 1}}}
    ok(await m.operate(number, None, create, after))
    t = await m.attach_to(number, f"{number}.{rid}.1")
    assert (await t.get(f"/v1/checkpoints/{name}"))["checkpoint"]["uuid"] == name


@served
async def test_users_may_report_for_their_live_trials_by_hand(m: Rig) -> None:
    t = await m.start_trial(await m.create())
    ok(await m.call("POST", f"/v1/trials/{t.trial}/validation_metrics", REPORT))
    refused(await m.call("POST", "/v1/trials/99/validation_metrics", REPORT), 404)
    admin = {"Authorization": f"Bearer {await m.login('admin', m.password)}"}
    new = {"user": {"username": "eve", "active": True}, "password": "pw", "isHashed": False}
    await m.post("/v1/users", new, headers=admin)
    eve = {"Authorization": f"Bearer {await m.login('eve', 'pw')}"}
    refused(await m.call("POST", f"/v1/trials/{t.trial}/progress", 1, headers=eve), 403)
    refused(await m.call("POST", f"/v1/allocations/{t.allocation}/ready", headers=eve), 403)
    await m.post(f"/v1/experiments/{t.experiment}/kill")
    await m.lines(f"/v1/trials/{t.trial}/logs", params={"follow": "true"})
    refused(await m.call("POST", f"/v1/trials/{t.trial}/progress", 1), 400)
    refused(await m.call("GET", f"/v1/allocations/{t.allocation}/signals/preemption"), 404)


@served
async def test_a_runner_inside_of_a_trial_acts_as_its_user(m: Rig) -> None:
    """It sends both tokens: the user's for the search it drives, the run's for its own trial."""
    t = await m.start_trial(await m.create())
    user = await m.auth.users.get_by_name("determined")
    both = {**t.headers, "Authorization": f"Bearer {m.auth.mint_user_token(user, t.allocation)}"}
    ok(await m.call("GET", "/v1/me", headers=both))
    ok(await m.call("POST", f"/v1/trials/{t.trial}/progress", 1, headers=both))
    inner = await m.create()
    ok(await m.call("GET", f"/v1/experiments/{inner}/searcher_events", headers=both))
    await m.post(f"/v1/experiments/{t.experiment}/kill")
    await m.get(f"/v1/experiments/{t.experiment}")
    lines = await m.lines(f"/v1/trials/{t.trial}/logs", params={"follow": "true"})
    assert isinstance(lines, list)
    refused(await m.call("GET", "/v1/me", headers=both), 401)


@pytest.mark.parametrize("run", [0, 2, -1])
def test_reports_of_another_run_of_the_trial_store_nothing(run: int) -> None:
    @served
    async def play(m: Rig) -> None:
        t = await m.start_trial(await m.create())
        refused(await t.call("POST", f"/v1/trials/{t.trial}/training_metrics", {**REPORT, "trial_run_id": run}), 400)
        assert (await m.get(f"/v1/trials/{t.trial}/workloads"))["pagination"]["total"] == 0

    play()

"""Population-based training in a real service: copies start from the checkpoints of their parents."""

from __future__ import annotations

import json
from typing import Any

from determined.methods.draws import Draws
from tests.integration.api_rig import Rig, Running, create_trial, ok, refused, request_id, served, validate_after

CONFIG = json.dumps(
    {
        "name": "a population",
        "entrypoint": "python3 train.py",
        "searcher": {"name": "pbt", "metric": "loss", "max_length": 20, "population_size": 2, "num_rounds": 2},
        "hyperparameters": {"x": {"type": "double", "minval": 0.0, "maxval": 1.0}},
        "reproducibility": {"experiment_seed": 3},
    }
)


async def train(run: Running, length: int, metric: float) -> None:
    """One operation of a trial that saves and reports."""
    await run.get(f"/v1/allocations/{run.allocation}/resources/r/rendezvous")
    op = (await run.get(f"/v1/trials/{run.trial}/searcher/operation"))["op"]
    assert op["validateAfter"]["length"] == str(length)
    await run.checkpoint(100 * run.trial + length, length)
    body = {"op": {"length": str(length)}, "searcherMetric": metric}
    await run.post(f"/v1/trials/{run.trial}/searcher/completed_operation", body)


async def trial(rig: Rig, number: int) -> dict[str, Any]:
    shown: dict[str, Any] = (await rig.get(f"/v1/trials/{number}"))["trial"]
    return shown


@served
async def test_the_copy_of_a_member_starts_from_its_checkpoint(rig: Rig) -> None:
    number = await rig.create(CONFIG)
    ids = [Draws(3).request_ids("trial")(i) for i in range(3)]
    good, bad = [await rig.attach_to(number, f"{number}.{rid}.1") for rid in ids[:2]]
    await train(good, 10, 0.1)
    await train(bad, 10, 0.9)
    assert (await bad.get(f"/v1/trials/{bad.trial}/searcher/operation"))["completed"] is True
    await rig.launcher.exit(bad.allocation, 0)
    copy = await rig.attach_to(number, f"{number}.{ids[2]}.1")
    saved = request_id(100 * good.trial + 10)
    assert (await trial(rig, copy.trial))["warmStartCheckpointUuid"] == saved
    assert rig.launcher.runs[copy.allocation].spec.env["DET_LATEST_CHECKPOINT"] == saved
    await train(copy, 20, 0.05)


@served
async def test_an_operation_may_name_a_source_by_its_request_id(rig: Rig) -> None:
    number = await rig.create()
    parent = await rig.start_trial(number, 1)
    saved = await parent.checkpoint(77, 50)
    create = create_trial(request_id(2))
    create["createTrial"]["sourceTrialRequestId"] = request_id(1)
    ok(await rig.operate(number, None, create, validate_after(request_id(2), 100)))
    copy = await rig.attach_to(number, f"{number}.{request_id(2)}.1")
    assert (await trial(rig, copy.trial))["warmStartCheckpointUuid"] == saved
    create = create_trial(request_id(3))
    create["createTrial"]["sourceTrialRequestId"] = request_id(4)
    refused(await rig.operate(number, None, create), 400, "no trial with request id")

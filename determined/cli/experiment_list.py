"""``det experiment``: lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from determined.cli import render
from determined.cli.call import Call
from determined.common.api.paging import read_paginated

Json = Mapping[str, Any]


def fetch(call: Call, path: str, key: str, **filters: Any) -> list[Any]:
    """A list, as far as ``--limit``, ``--offset`` and ``--pages`` go."""
    args = call.args
    params = {**filters, "limit": args.limit}
    return list(
        read_paginated(call.session, path, key, params=params, offset=args.offset, single_page=args.pages == "1")
    )


def list_experiments(call: Call) -> None:
    """List experiments: one's own, or all."""
    args = call.args
    mine = {} if args.all else {"archived": False, "users": [call.session.user]}
    found = fetch(call, "/api/v1/experiments", "experiments", **mine)
    headers = ["ID", "Owner", "Name", "Parent ID", "State", "Progress", "Started", "Ended", "Resource Pool"]
    headers = [*(["Workspace", "Project"] if args.show_project else []), *headers, *(["Archived"] if args.all else [])]
    render.listing(args, headers, [_experiment_row(call, e) for e in found], found)


def _experiment_row(call: Call, e: Json) -> list[Any]:
    row = [
        e["id"],
        e.get("username"),
        e.get("name"),
        e.get("forkedFrom"),
        render.state(e),
        render.percent(e.get("progress")),
        render.time(e.get("startTime")),
        render.time(e.get("endTime")),
        e.get("resourcePool"),
    ]
    if call.args.show_project:
        row = [e.get("workspaceName"), e.get("projectName"), *row]
    return [*row, e.get("archived")] if call.args.all else row


def list_trials(call: Call) -> None:
    """List the trials of an experiment."""
    found = fetch(call, f"/api/v1/experiments/{call.args.experiment_id}/trials", "trials")
    headers = ["Trial ID", "State", "H-Params", "Started", "Ended", "# of Batches"]
    rows = [
        [
            t["id"],
            render.state(t),
            render.hparams(t.get("hparams")),
            render.time(t.get("startTime")),
            render.time(t.get("endTime")),
            t.get("totalBatchesProcessed"),
        ]
        for t in found
    ]
    render.listing(call.args, headers, rows, found)


def list_checkpoints(call: Call) -> None:
    """List the checkpoints of an experiment."""
    best = call.args.best
    params = {"sortBy": "SORT_BY_SEARCHER_METRIC" if best else "SORT_BY_END_TIME", "limit": best or None}
    path = f"/api/v1/experiments/{call.args.experiment_id}/checkpoints"
    found = list(read_paginated(call.session, path, "checkpoints", params=params, single_page=bool(best)))
    headers = ["Trial ID", "# of Batches", "State", "Validation Metric", "UUID", "Resources", "Size"]
    render.listing(call.args, headers, [_checkpoint_row(c) for c in found], found)


def _checkpoint_row(c: Json) -> list[Any]:
    training: Json = c.get("training") or {}
    searcher: Json = (training.get("experimentConfig") or {}).get("searcher") or {}
    metrics: Json = (training.get("validationMetrics") or {}).get("avgMetrics") or {}
    return [
        training.get("trialId"),
        (c.get("metadata") or {}).get("steps_completed"),
        render.state(c),
        metrics.get(str(searcher.get("metric")), ""),
        c["uuid"],
        render.resources(c.get("resources")),
        render.resource_size(c.get("resources")),
    ]

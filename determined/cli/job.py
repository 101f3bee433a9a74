"""``det job``: experiments as the scheduler sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.options import TABLE
from determined.common.api.paging import read_paginated

_HEADERS = ("#", "ID", "Job Name", "Priority", "Submitted", "State", "User")
_WAITING_STATES = ("STATE_ACTIVE", "STATE_PAUSED")


def list_jobs(call: Call) -> None:
    """List experiments that want slots, in the order in which they get them."""
    params = {"states": _WAITING_STATES, "limit": 200, "sortBy": "SORT_BY_ID"}
    listed = read_paginated(call.session, "/api/v1/experiments", "experiments", params=params)
    # How many are ahead is told of one experiment at a time only.
    jobs = [call.session.get(f"/api/v1/experiments/{e['id']}") for e in listed]
    jobs = [job for job in jobs if job.get("jobSummary")]
    jobs.sort(key=lambda job: int(job["jobSummary"].get("jobsAhead", 0)))
    render.listing(call.args, _HEADERS, [_row(job) for job in jobs], jobs)


def _row(job: Mapping[str, Any]) -> list[Any]:
    e, summary = job["experiment"], job["jobSummary"]
    return [
        summary.get("jobsAhead"),
        e.get("jobId"),
        f"{e.get('name')} ({e['id']})",
        ((e.get("config") or {}).get("resources") or {}).get("priority"),
        render.time(e.get("startTime")),
        render.state(summary),
        e.get("username"),
    ]


COMMAND = Command(
    "job",
    "the queue for slots",
    commands=(Command("list", "list the queue", list_jobs, (TABLE,), ("ls",), is_default=True),),
)

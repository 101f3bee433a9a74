"""``det job``: experiments as the scheduler sees them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import CliError, Command, UsageError
from determined.cli.experiment_set import slots_or_none
from determined.cli.options import TABLE, option
from determined.common.api.paging import read_paginated

Json = Mapping[str, Any]
_HEADERS = ("#", "ID", "Job Name", "Priority", "Weight", "Submitted", "State", "User")
_WAITING_HEADERS = ("Waiting", "Priority", "Slots", "For")
_WAITING_STATES = ("STATE_ACTIVE", "STATE_PAUSED")
_USUAL_PRIORITY = 42


def list_jobs(call: Call) -> None:
    """List experiments that want slots, in the order in which they get them, and the runs that wait."""
    # How many are ahead is told of one experiment at a time only.
    jobs = [call.session.get(f"/api/v1/experiments/{e['id']}") for e in _unfinished(call)]
    jobs = sorted((job for job in jobs if job.get("jobSummary")), key=_place)
    waiting = _waiting(call)
    for job in jobs:
        job["waiting"] = [run for run in waiting if run["taskId"].partition(".")[0] == str(job["experiment"]["id"])]
    render.listing(call.args, _HEADERS, [_row(job) for job in jobs], jobs)
    if waiting and not (call.args.json or call.args.csv):
        print()
        render.table(_WAITING_HEADERS, [[r["name"], r["priority"], r["slotsNeeded"], r["waitingFor"]] for r in waiting])


def update(call: Call) -> None:
    """Change what the scheduler knows of an experiment; it takes effect at once."""
    args = call.args
    given = {"priority": args.priority, "weight": args.weight, "maxSlots": args.max_slots}
    changes = {name: value for name, value in given.items() if value is not _ABSENT}
    if not changes:
        raise UsageError("say what to change: --priority, --weight or --max-slots")
    number = _experiment(call, args.job)
    call.session.patch(f"/api/v1/experiments/{number}", json={"id": number, "resources": changes})
    print(f"Updated the job of experiment {number}: {', '.join(f'{name} {value}' for name, value in changes.items())}")


def _unfinished(call: Call) -> list[Json]:
    params = {"states": _WAITING_STATES, "limit": 200, "sortBy": "SORT_BY_ID"}
    return list(read_paginated(call.session, "/api/v1/experiments", "experiments", params=params))


def _experiment(call: Call, job: str) -> int:
    """The experiment that is meant by its own number or by that of its job."""
    if job.isascii() and job.isdigit():
        return int(job)
    found = next((e for e in _unfinished(call) if e.get("jobId") == job), None)
    if found is None:
        raise CliError(f"no unfinished experiment has the job {job!r}; `det job list` shows those that have one")
    return int(found["id"])


def _waiting(call: Call) -> list[dict[str, Any]]:
    """Runs that wait for slots, the most important first."""
    runs = (call.session.get("/api/v1/tasks").get("allocationIdToSummary") or {}).values()
    found = [dict(run) for run in runs if run.get("waitingFor")]
    return sorted(found, key=lambda run: (int(run["priority"]), int(run["taskId"].partition(".")[0])))


def _place(job: Json) -> tuple[int, int, int]:
    e = job["experiment"]
    return int(job["jobSummary"].get("jobsAhead", 0)), _priority(e) or _USUAL_PRIORITY, int(e["id"])


def _resources(experiment: Json) -> Json:
    return (experiment.get("config") or {}).get("resources") or {}


def _priority(experiment: Json) -> int | None:
    priority: int | None = _resources(experiment).get("priority")
    return priority


def _row(job: Json) -> list[Any]:
    e, summary = job["experiment"], job["jobSummary"]
    return [
        summary.get("jobsAhead"),
        e.get("jobId"),
        f"{e.get('name')} ({e['id']})",
        _priority(e),
        _resources(e).get("weight"),
        render.time(e.get("startTime")),
        render.state(summary),
        e.get("username"),
    ]


_ABSENT: Any = object()


def _changes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-p", "--priority", type=int, default=_ABSENT, metavar="N", help="1 (first) to 99")
    parser.add_argument(
        "-w",
        "--weight",
        type=float,
        default=_ABSENT,
        metavar="W",
        help="its share, compared with others of its priority",
    )
    parser.add_argument("--max-slots", type=slots_or_none, default=_ABSENT, metavar="N", help="a number, or none")


_JOB = option("job", metavar="JOB", help="its ID, or the number of the experiment")

COMMAND = Command(
    "job",
    "the queue for slots",
    commands=(
        Command("list", "list the queue, and why each run waits", list_jobs, (TABLE,), ("ls",), is_default=True),
        Command("update", "change priority, weight or limit", update, (_JOB, _changes)),
    ),
)

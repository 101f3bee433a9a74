"""``det task``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.options import TABLE, log_filter, log_options, option
from determined.common.api.logs import task_logs
from determined.common.terminal import visible

_HEADERS = (
    "Task ID",
    "Allocation ID",
    "Name",
    "Slots Needed",
    "Registered Time",
    "Agent",
    "Priority",
    "Resource Pool",
    "Ports",
)


def list_tasks(call: Call) -> None:
    """List the runs that wait for slots or live."""
    tasks: Mapping[str, Any] = call.session.get("/api/v1/tasks").get("allocationIdToSummary") or {}
    in_order = sorted(tasks.values(), key=lambda task: str(task.get("registeredTime")))
    render.listing(call.args, _HEADERS, [_row(task) for task in in_order], tasks)


def _row(task: Mapping[str, Any]) -> list[Any]:
    agents = [agent for resource in task.get("resources") or [] for agent in resource.get("agentDevices") or {}]
    ports = sorted(port["port"] for port in task.get("proxyPorts") or [] if port.get("port") is not None)
    return [
        task.get("taskId"),
        task.get("allocationId"),
        task.get("name"),
        task.get("slotsNeeded"),
        render.time(task.get("registeredTime")),
        ", ".join(agents) or "unassigned",
        task.get("priority") if task.get("schedulerType") == "priority" else "N/A",
        task.get("resourcePool"),
        ",".join(map(str, ports)),
    ]


def logs(call: Call) -> None:
    """Print the log of a task."""
    args = call.args
    try:
        render.print_logs(task_logs(call.session, args.task_id, log_filter(args)), args.json)
    finally:
        again = f"det task logs -f {visible(args.task_id)}"
        print(f"Task log stream ended. To reopen log stream, run: {again}", file=sys.stderr)


COMMAND = Command(
    "task",
    "what runs",
    commands=(
        Command("list", "list tasks", list_tasks, (TABLE,), ("ls",), is_default=True),
        Command("logs", "print the log", logs, (option("task_id", help="task id"), log_options)),
    ),
)

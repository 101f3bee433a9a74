"""``det agent``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.options import TABLE

_HEADERS = (
    "Agent ID",
    "Version",
    "Registered Time",
    "Slots",
    "Containers",
    "Resource Pool",
    "Enabled",
    "Draining",
    "Addresses",
)


def agents(call: Call) -> list[Mapping[str, Any]]:
    """All agents, by name."""
    return sorted(call.session.get("/api/v1/agents").get("agents") or [], key=lambda agent: str(agent["id"]))


def pools(agent: Mapping[str, Any]) -> str:
    """The resource pools of an agent."""
    return ", ".join(agent.get("resourcePools") or [])


def list_agents(call: Call) -> None:
    """List the machines that run trials."""
    found = [
        {
            "id": agent["id"],
            "version": agent.get("version"),
            "registered_time": render.time(agent.get("registeredTime")),
            "num_slots": len(agent.get("slots") or {}),
            "num_containers": len(agent.get("containers") or {}),
            "resource_pools": pools(agent),
            "enabled": agent.get("enabled"),
            "draining": agent.get("draining"),
            "addresses": ", ".join(agent.get("addresses") or []),
        }
        for agent in agents(call)
    ]
    render.listing(call.args, _HEADERS, [list(agent.values()) for agent in found], found)


COMMAND = Command(
    "agent",
    "machines that run trials",
    commands=(Command("list", "list machines", list_agents, (TABLE,), ("ls",), is_default=True),),
)

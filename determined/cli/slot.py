"""``det slot``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from determined.cli import render
from determined.cli.agent import agents, pools
from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.options import TABLE

Json = Mapping[str, Any]
_HEADERS = (
    "Agent ID",
    "Resource Pool",
    "Slot ID",
    "Enabled",
    "Draining",
    "Allocation ID",
    "Task Name",
    "Type",
    "Device",
)


def list_slots(call: Call) -> None:
    """List slots, and who holds them."""
    holders = _holders(call.session.get("/tasks"))
    found = [
        _slot(agent, slot, holders) for agent in agents(call) for _, slot in sorted((agent.get("slots") or {}).items())
    ]
    render.listing(call.args, _HEADERS, [list(slot.values()) for slot in found], found)


def _holders(allocations: Mapping[str, Json]) -> dict[str, Json]:
    return {container: allocation for allocation in allocations.values() for container in _containers(allocation)}


def _containers(allocation: Json) -> Iterator[str]:
    for resource in allocation.get("resources") or []:
        if container := resource.get("container_id"):
            yield container


def _slot(agent: Json, slot: Json, holders: Mapping[str, Json]) -> dict[str, Any]:
    container = (slot.get("container") or {}).get("id")
    holder = holders.get(container, {}) if container else {}
    device: Json = slot.get("device") or {}
    free = "OCCUPIED" if container else "FREE"
    return {
        "agent_id": agent["id"],
        "resource_pools": pools(agent),
        "slot_id": slot.get("id"),
        "enabled": slot.get("enabled"),
        "draining": slot.get("draining"),
        "allocation_id": holder.get("allocation_id", free),
        "task_name": holder.get("name", free),
        "type": str(device.get("type") or "unknown").removeprefix("TYPE_").lower(),
        "device": device.get("brand"),
    }


COMMAND = Command(
    "slot",
    "devices that trials hold",
    commands=(Command("list", "list slots", list_slots, (TABLE,), ("ls",), is_default=True),),
)

"""Reads and checks the ``resources`` section."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from determined.domain.config.bounds import MAX_INT32
from determined.domain.config.fields import Fields
from determined.domain.config.node import Node
from determined.domain.config.values import Resources

_SIZE = re.compile(r"\d{1,18}(\.\d{1,9})? ?([kmgtp]i?)?b?", re.IGNORECASE)
_DEVICE_FORM = "of the form host_path:container_path or host_path:container_path:mode"


def read_resources(root: Fields, default_pool: str) -> tuple[Resources, dict[str, Any]]:
    """Read the section: what has an effect as values, and all of it as complete JSON."""
    fields = root.fields("resources")
    resources = Resources(
        slots_per_trial=fields.integer("slots_per_trial", 1, least=0, most=MAX_INT32),
        max_slots=fields.integer("max_slots", None, least=0, most=MAX_INT32),
        priority=fields.integer("priority", None, least=1, most=99),
        weight=_weight(fields),
        resource_pool=fields.name("resource_pool", default_pool),
    )
    if resources.max_slots is not None and resources.max_slots < resources.slots_per_trial:
        fields.report.warn(
            (*fields.path, "max_slots"),
            f"{resources.max_slots} is less than slots_per_trial ({resources.slots_per_trial}), so no trial can run",
        )
    complete = {
        "slots_per_trial": resources.slots_per_trial,
        "max_slots": resources.max_slots,
        "priority": resources.priority,
        "weight": resources.weight,
        "resource_pool": resources.resource_pool,
        "agent_label": fields.name("agent_label", ""),
        "devices": list(_devices(fields.find("devices"))),
        "native_parallel": fields.boolean("native_parallel", False),
        "shm_size": _size(fields.find("shm_size")),
    }
    fields.done()
    return resources, complete


def _weight(fields: Fields) -> float:
    node = fields.find("weight")
    weight = node and node.number()
    if node and weight is not None and weight < 0:
        node.must_be("a number of at least 0")
    return 1 if weight is None else weight


def _size(node: Node | None) -> int | str | None:
    if node is None:
        return None
    if not isinstance(node.value, str):
        return node.integer(least=0)
    if _SIZE.fullmatch(node.value):
        return node.value
    node.must_be("a number of bytes or a size such as 4g or 512MiB")
    return None


def _devices(node: Node | None) -> Iterator[dict[str, str]]:
    for member in node.items() if node else ():
        if isinstance(member.value, str):
            parts = member.value.split(":")
            if len(parts) not in (2, 3) or not all(parts):
                member.must_be(_DEVICE_FORM)
                continue
            yield dict(zip(("host_path", "container_path", "mode"), (*parts, "mrw"), strict=False))
        else:
            fields = Fields(member)
            yield {
                "host_path": fields.text("host_path", "", needed="give the device on the host"),
                "container_path": fields.text("container_path", "", needed="give the device as trials see it"),
                "mode": fields.name("mode", "mrw"),
            }
            fields.done()

"""Reads and checks the ``environment`` and ``bind_mounts`` sections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from determined.domain.config.fields import Fields
from determined.domain.config.node import Node
from determined.domain.config.read_storage import PROPAGATIONS, absolute_path
from determined.domain.config.values import Environment

_REGISTRY_KEYS = ("username", "server", "serveraddress", "email")
_REGISTRY_SECRETS = ("password", "auth", "identitytoken", "registrytoken")
_MAX_PORT = 65_535


def read_environment(root: Fields, warm_start: bool) -> tuple[Environment, dict[str, Any]]:
    """Read the section: the variables as values, and all of it as complete JSON. ``warm_start``: the default."""
    fields = root.fields("environment")
    environment = replace(
        _environment(fields.find("environment_variables")),
        warm_start=fields.boolean("warm_start", warm_start),
        preload=_preload(fields.find("preload")),
    )
    complete = {
        "warm_start": environment.warm_start,
        "preload": None if environment.preload is None else list(environment.preload),
        "environment_variables": {
            kind: [f"{name}={value}" for name, value in getattr(environment, kind)] for kind in ("cpu", "cuda", "rocm")
        },
        "image": _image(fields.find("image")),
        "ports": _ports(fields.fields("ports")),
        "proxy_ports": list(_proxy_ports(fields.find("proxy_ports"))),
        "force_pull_image": fields.boolean("force_pull_image", False),
        "registry_auth": _registry_auth(fields),
        "add_capabilities": list(fields.names("add_capabilities")),
        "drop_capabilities": list(fields.names("drop_capabilities")),
        "pod_spec": fields.free("pod_spec") or None,
    }
    fields.done()
    return environment, complete


def read_bind_mounts(root: Fields) -> list[dict[str, Any]]:
    """Read the section as complete JSON; mounts have no effect where trials run without containers."""
    node = root.find("bind_mounts")
    return [_bind_mount(Fields(member)) for member in node.items()] if node else []


def _environment(node: Node | None) -> Environment:
    if node is None:
        return Environment()
    if isinstance(node.value, list):
        shared = tuple(_variables(node))
        return Environment(shared, shared, shared)
    fields = Fields(node)
    by_kind = [fields.find(kind) for kind in ("cpu", "cuda", "gpu", "rocm")]
    cpu, cuda, gpu, rocm = (tuple(_variables(member)) if member else () for member in by_kind)
    fields.done()
    # ``gpu`` is the older name of ``cuda``.
    return Environment(cpu, cuda or gpu, rocm)


def _preload(node: Node | None) -> tuple[str, ...] | None:
    if node is None:
        return None
    for member in node.items():
        name = member.text()
        if name is not None and not all(part.isidentifier() for part in name.split(".")):
            member.must_be("the name of a module, such as sklearn.linear_model")
    return node.names()


def _variables(node: Node) -> Iterator[tuple[str, str]]:
    for member in node.items():
        text = member.text()
        name, found, value = (text or "").partition("=")
        if text is None:
            continue
        if not found or not name.strip():
            member.must_be("of the form NAME=value")
            continue
        if name.startswith("DET_"):
            member.report.warn(member.path, f"{name} has no effect: names with DET_ are set by the system")
        yield name, value


def _image(node: Node | None) -> Any:
    if node is None or isinstance(node.value, str):
        return node and node.name()
    fields = Fields(node)
    images = {kind: fields.name(kind, None) for kind in ("cpu", "cuda", "gpu", "rocm")}
    fields.done()
    gpu = images.pop("gpu")
    return {**images, "cuda": images["cuda"] or gpu}


def _ports(fields: Fields) -> dict[str, int]:
    ports = ((member.path[-1], member.integer(least=1, most=_MAX_PORT)) for member in fields.members())
    return {str(name): port for name, port in ports if port is not None}


def _proxy_ports(node: Node | None) -> Iterator[dict[str, Any]]:
    for member in node.items() if node else ():
        fields = Fields(member)
        yield {
            "proxy_port": fields.integer("proxy_port", 0, least=1, most=_MAX_PORT, needed="give the port's number"),
            "proxy_tcp": fields.boolean("proxy_tcp", False),
            "unauthenticated": fields.boolean("unauthenticated", False),
        }
        fields.done()


def _registry_auth(root: Fields) -> dict[str, str] | None:
    if "registry_auth" not in root:
        root.find("registry_auth")
        return None
    fields = root.fields("registry_auth")
    found = {name: fields.name(name, None) for name in _REGISTRY_KEYS}
    secrets = {name: fields.text(name, None, secret=True) for name in _REGISTRY_SECRETS}
    fields.done()
    return {name: value for name, value in {**found, **secrets}.items() if value is not None}


def _bind_mount(fields: Fields) -> dict[str, Any]:
    node = fields.find("host_path", needed="give the absolute path on the host")
    host = absolute_path(node) if node else None
    container = fields.text("container_path", None, needed="give the path that trials use")
    if host is not None and container is not None and container.rstrip("/") != host.rstrip("/"):
        fields.report.warn(
            fields.path, f"trials run without containers and see {host!r:.200}, not {container!r:.200}; use one path"
        )
    mount = {
        "host_path": host,
        "container_path": container,
        "read_only": fields.boolean("read_only", False),
        "propagation": fields.choice("propagation", PROPAGATIONS, "rprivate"),
    }
    fields.done()
    return mount

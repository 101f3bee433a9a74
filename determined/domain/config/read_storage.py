"""Reads and checks the ``checkpoint_storage`` section, over the master's default."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from determined.domain.config.bounds import MAX_INT32
from determined.domain.config.fields import Fields
from determined.domain.config.node import Node, has_control
from determined.domain.config.storage import S3, Azure, CheckpointStorage, Gcs, Location, SharedFs

PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_POLICY = ("save_experiment_best", "save_trial_best", "save_trial_latest")
_PLACE = {"shared_fs": "host_path", "s3": "bucket", "gcs": "bucket", "azure": "container"}
_REMOVED: Mapping[str, str] = {
    "hdfs": "hdfs is not supported; use one of {}",
    "directory": "directory is not supported; use shared_fs with an absolute host_path",
}
_UNREAD = SharedFs("/")
"""Stands in for a place that could not be read; it never leaves a parse without problems."""


def read_storage(root: Fields, default: Mapping[str, Any]) -> CheckpointStorage:
    """Read the section from the top-level fields; what is not given comes from the master's default."""
    node = root.find("checkpoint_storage")
    if node is None:
        node = Node({}, (*root.path, "checkpoint_storage"), root.report)
    if not isinstance(node.value, dict):
        node.must_be("a mapping")
        return CheckpointStorage(_UNREAD)
    fields = Fields(Node(_merged(node.value, default), node.path, node.report))
    location = _location(fields)
    experiment_best, trial_best, trial_latest = (
        fields.integer(name, kept, least=0, most=MAX_INT32) for name, kept in zip(_POLICY, (0, 1, 1), strict=True)
    )
    return CheckpointStorage(location, experiment_best, trial_best, trial_latest)


def _merged(given: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """The given fields over the default ones.

    Another place takes over only the policy: credentials and paths of the default must not leak into it.
    """
    own = {name: value for name, value in given.items() if value is not None}
    place = _PLACE.get(str(default.get("type")), "")
    is_same = all(own.get(name, default.get(name)) == default.get(name) for name in ("type", place))
    inherited = default if is_same else {name: default[name] for name in ("type", *_POLICY) if name in default}
    # Nulls of the given mapping stay where no default fills them, so that unknown fields are still found.
    return {**dict.fromkeys(given), **inherited, **own}


def _location(fields: Fields) -> Location:
    node = fields.find("type", needed=f"one of {', '.join(_READERS)}")
    if node is None:
        return _UNREAD
    if isinstance(node.value, str) and node.value in _REMOVED:
        node.refuse(_REMOVED[node.value].format(", ".join(_READERS)))
        return _UNREAD
    kind = node.choice(tuple(_READERS))
    if kind is None:
        return _UNREAD
    location = _READERS[kind](fields)
    for name in _POLICY:
        fields.find(name)
    fields.done()
    return location


def _shared_fs(fields: Fields) -> Location:
    node = fields.find("host_path", needed="give the absolute path of a folder that all trials see")
    host = absolute_path(node) if node else None
    propagation = fields.choice("propagation", PROPAGATIONS, "rprivate")
    fields.text("container_path", None)
    # The two older names mean the same as the newest.
    found = [fields.find(name) for name in ("storage_path", "tensorboard_path", "checkpoint_path")]
    inner = [_inside(host or "/", path) for path in found if path is not None]
    return SharedFs(host or "/", inner[0] if inner else None, propagation)


def absolute_path(node: Node) -> str | None:
    """An absolute path without ``..``; None after a problem."""
    text = node.text()
    if text is None:
        return None
    if has_control(text):
        node.must_be("a path without control characters")
    elif not text.startswith("/"):
        node.must_be("an absolute path")
    else:
        return "/" + posixpath.normpath(text).lstrip("/")
    return None


def _inside(host: str, node: Node) -> str | None:
    """A path relative to the host path, which it must not leave; None for the host path itself."""
    text = node.text()
    if text is None:
        return None
    if has_control(text):
        node.must_be("a path without control characters")
        return None
    full = "/" + posixpath.normpath(posixpath.join(host, text)).lstrip("/")
    parent = host.rstrip("/") + "/"
    if full != host and not full.startswith(parent):
        node.refuse(f"leaves host_path: {full!r:.200} is not inside {host!r:.200}; give a folder in it")
        return None
    return full[len(parent) :] or None


def _s3(fields: Fields) -> Location:
    return S3(
        fields.name("bucket", "", needed="give the name of the bucket"),
        fields.text("access_key", None, secret=True),
        fields.text("secret_key", None, secret=True),
        fields.name("endpoint_url", None),
        _prefix(fields),
    )


def _gcs(fields: Fields) -> Location:
    return Gcs(fields.name("bucket", "", needed="give the name of the bucket"), _prefix(fields))


def _azure(fields: Fields) -> Location:
    connection = fields.text("connection_string", None, secret=True)
    account = fields.name("account_url", None)
    credential = fields.text("credential", None, secret=True)
    if "connection_string" in fields and "account_url" in fields:
        fields.refuse("account_url", "cannot be given together with connection_string; keep one of them")
    elif "connection_string" not in fields and "account_url" not in fields:
        fields.refuse("connection_string", "is missing; give it, or account_url")
    if "credential" in fields and "account_url" not in fields:
        fields.refuse("credential", "goes with account_url only; remove it or give account_url")
    container = fields.name("container", "", needed="give the name of the container")
    return Azure(container, connection, account, credential)


def _prefix(fields: Fields) -> str | None:
    prefix = fields.name("prefix", None)
    if prefix is not None and ".." in prefix.split("/"):
        fields.refuse("prefix", "must not have '..' as a part; write the prefix out")
    return prefix


_READERS: Mapping[str, Callable[[Fields], Location]] = {
    "shared_fs": _shared_fs,
    "s3": _s3,
    "gcs": _gcs,
    "azure": _azure,
}

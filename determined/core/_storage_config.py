"""From the words of a configuration, or of a call, to a checkpoint storage."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from determined.errors import InvalidInput

if TYPE_CHECKING:
    from determined._info import ClusterInfo
    from determined.common.objects.place import Place
    from determined.core._storage import Storage

_DEFAULT_FOLDER = "determined"
_OBJECT_STORES = ("s3", "gcs", "azure")
_KINDS = ", ".join(("shared_fs", *_OBJECT_STORES))
_OFF_CLUSTER = "local"


def storage_of_run(info: ClusterInfo) -> Storage:
    """The storage that the configuration of a run's experiment names.

    Raises:
        InvalidInput: an unknown type, or a field that is missing or wrong.
    """
    experiment = f"{info.cluster_id}/{info.trial.experiment_id}"
    return storage_from_config(info.trial._config.get("checkpoint_storage"), info.task_id, experiment)


def storage_from_config(config: Any, owner: str = _OFF_CLUSTER, experiment: str = _OFF_CLUSTER) -> Storage:
    """The storage that a ``checkpoint_storage`` section describes.

    Args:
        config: the section, as a dictionary.
        owner: the task that unfinished checkpoints belong to.
        experiment: its cluster and experiment; several clusters may share one bucket.
    Raises:
        InvalidInput: an unknown type, or a field that is missing or wrong.
    """
    if not isinstance(config, Mapping):
        raise InvalidInput(f"checkpoint_storage is {config!r}; give an object with a type ({_KINDS})")
    kind = config.get("type")
    if kind == "shared_fs":
        from determined.core._storage import LocalStorage

        return LocalStorage(shared_fs_root(config), owner)
    if kind in _OBJECT_STORES:
        from determined.common.objects.place import place_of

        return _remote(place_of(config), f"{experiment}/{owner}")
    raise InvalidInput(f"checkpoint_storage.type is {kind!r}; this version knows {_KINDS}")


def storage_from_argument(argument: str | os.PathLike[str] | Mapping[str, Any] | None) -> Storage | None:
    """The storage that a ``checkpoint_storage`` argument of ``core.init`` means; None when it was not given.

    Raises:
        InvalidInput: a shared_fs dictionary, or text that is neither a path nor a URI.
        TypeError: of another kind.
    """
    if argument is None:
        return None
    if isinstance(argument, Mapping):
        if argument.get("type") == "shared_fs":
            raise InvalidInput("checkpoint_storage of type shared_fs cannot be given here; give its path as text")
        return storage_from_config(argument)
    if isinstance(argument, (str, os.PathLike)):
        return storage_from_text(os.fspath(argument))
    raise TypeError(f"checkpoint_storage is {argument!r}; give a path, a URI, a dictionary or None")


def storage_from_text(text: str) -> Storage:
    """The storage at a path, or at a URI such as ``file:///data/ckpts``, ``s3://bucket/prefix``, ``gs://bucket`` or ``abfs://container``.

    Raises:
        InvalidInput: empty, or a URI with a query, a host where none belongs, or no bucket.
    """
    from determined.core._storage import LocalStorage

    scheme, colon, rest = text.partition("://")
    if not colon:
        if not text:
            raise InvalidInput("checkpoint_storage is empty; give a path, or a URI such as s3://bucket/prefix")
        return LocalStorage(text)
    if any(mark in rest for mark in "?#;") or not rest:
        raise InvalidInput(f"checkpoint_storage is {text!r}; give scheme://bucket/prefix and nothing more")
    if scheme.lower() == "file":
        if not rest.startswith("/"):
            raise InvalidInput(f"checkpoint_storage is {text!r}; a file URI has no host: file:///absolute/path")
        return LocalStorage(rest)
    from determined.common.objects.place import Place

    return _remote(Place(scheme.lower(), rest.strip("/")), f"{_OFF_CLUSTER}/{_OFF_CLUSTER}")


def default_storage() -> Storage:
    """The folder for checkpoints of a script that runs off the cluster and names no storage."""
    import platformdirs

    from determined.core._storage import LocalStorage

    return LocalStorage(platformdirs.user_data_path(_DEFAULT_FOLDER))


def shared_fs_root(config: Mapping[str, Any]) -> str:
    """The folder of a ``shared_fs`` storage: ``storage_path`` inside ``host_path``.

    Raises:
        InvalidInput: ``host_path`` is not an absolute path, or ``storage_path`` leads out of it.
    """
    host = config.get("host_path")
    if not isinstance(host, str) or not posixpath.isabs(host):
        raise InvalidInput(f"checkpoint_storage.host_path is {host!r}; give an absolute path")
    inner = config.get("storage_path") or config.get("tensorboard_path") or config.get("checkpoint_path") or ""
    host, full = posixpath.normpath(host), posixpath.normpath(posixpath.join(host, str(inner)))
    if posixpath.commonpath([host, full]) != host:
        raise InvalidInput(f"checkpoint_storage.storage_path is {inner!r}, outside of {host}; give a path inside it")
    return full


def _remote(place: Place, owner: str) -> Storage:
    from determined.core._remote_storage import RemoteStorage

    return RemoteStorage(place, owner)

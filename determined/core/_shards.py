"""A checkpoint from the files of several processes: whose is whose, and what the whole holds. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from determined.errors import FailedPrecondition


def merge_metadata(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One dictionary of those of all ranks. Dictionaries under the same key are merged, too.

    Raises:
        FailedPrecondition: ranks gave different values for one key; it is a RuntimeError.
    """
    conflicts: dict[str, list[int]] = {}
    merged = _merge(list(enumerate(parts)), "", conflicts)
    if conflicts:
        raise FailedPrecondition(
            f"the metadata of this checkpoint differs between ranks: {_listed(conflicts)}; give equal values, or other"
            " keys on each rank; nothing was stored"
        )
    return merged


def _merge(
    parts: Sequence[tuple[int, Mapping[str, Any]]], prefix: str, conflicts: dict[str, list[int]]
) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for _, part in parts for key in part):
        given = [(rank, part[key]) for rank, part in parts if key in part]
        first = given[0][1]
        if all(isinstance(value, Mapping) for _, value in given):
            merged[key] = _merge(given, f"{prefix}{key}.", conflicts)
        elif all(type(value) is type(first) and value == first for _, value in given):
            merged[key] = first
        else:
            conflicts[f"{prefix}{key}"] = [rank for rank, _ in given]
    return merged


def shared_names(parts: Sequence[Mapping[str, int]]) -> dict[str, list[int]]:
    """Names that several ranks have, unless it is a folder for all of them: name without "/" -> ranks.

    Args:
        parts: relative path -> size of each rank, folders with "/" at the end.
    """
    owners: dict[str, list[int]] = {}
    are_files: set[str] = set()
    for rank, part in enumerate(parts):
        for name in part:
            owners.setdefault(name.rstrip("/"), []).append(rank)
            if not name.endswith("/"):
                are_files.add(name)
    return {name: ranks for name, ranks in owners.items() if len(ranks) > 1 and name in are_files}


def divide(
    parts: Sequence[Mapping[str, int]], digests: Sequence[Mapping[str, str]]
) -> tuple[list[list[str]], dict[str, int]]:
    """Who stores what.

    Args:
        parts: as for ``shared_names``.
        digests: of each rank, for the files among its shared names: name -> digest of the content.
    Returns:
        The names that each rank stores, and all of them with their sizes. A file that several ranks have with the same
        content is stored by the first of them.
    Raises:
        FailedPrecondition: ranks have different things under one name; it is a RuntimeError.
    """
    shared = shared_names(parts)
    differing = {name: ranks for name, ranks in shared.items() if not _is_same(name, ranks, digests)}
    if differing:
        raise FailedPrecondition(
            f"several ranks have files of the same name and different content: {_listed(differing)}; put the rank into"
            " the names; nothing was stored"
        )
    whole = {name: size for part in parts for name, size in part.items()}
    own = [
        [name for name in part if shared.get(name.rstrip("/"), [rank])[0] == rank] for rank, part in enumerate(parts)
    ]
    return own, whole


def _is_same(name: str, ranks: Sequence[int], digests: Sequence[Mapping[str, str]]) -> bool:
    return len({digests[rank].get(name) for rank in ranks}) == 1


def _listed(conflicts: Mapping[str, Sequence[int]]) -> str:
    most = 20
    shown = [f"{name!r} of ranks {', '.join(map(str, ranks))}" for name, ranks in sorted(conflicts.items())[:most]]
    more = f" and {len(conflicts) - most} more" if len(conflicts) > most else ""
    return "; ".join(shown) + more

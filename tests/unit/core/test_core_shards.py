"""Whose files and whose metadata a checkpoint of several processes holds."""

from __future__ import annotations

from typing import Any

import pytest

from determined.core._shards import divide, merge_metadata, shared_names


@pytest.mark.parametrize(
    ("parts", "merged"),
    [
        ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
        ([{"a": 1}, {"a": 1}], {"a": 1}),
        ([{"a": [1]}, {"a": [1]}], {"a": [1]}),
        ([{"a": {"c": 1}}, {"a": {"d": 1}}, {}], {"a": {"c": 1, "d": 1}}),
        ([{}, {"a": {}}], {"a": {}}),
    ],
)
def test_metadata_of_all_ranks_is_merged(parts: list[dict[str, Any]], merged: dict[str, Any]) -> None:
    assert merge_metadata(parts) == merged


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([{"a": 1}, {}, {"a": 2}], "'a' of ranks 0, 2;"),
        ([{"a": [1]}, {"a": [2]}], "'a' of ranks 0, 1;"),
        ([{"a": 1}, {"a": True}], "'a' of ranks 0, 1;"),
        ([{"a": {"c": 1}}, {"a": 1}], "'a' of ranks 0, 1;"),
        ([{"a": {"c": 1}}, {"a": {"c": 2}}], "'a.c' of ranks 0, 1;"),
    ],
)
def test_metadata_that_differs_is_refused_with_its_key_and_ranks(parts: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(RuntimeError, match=told):
        merge_metadata(parts)


def test_folders_may_be_shared_and_files_only_with_equal_content() -> None:
    parts = [{"d/": 0, "d/0": 5, "same": 3}, {"d/": 0, "d/1": 6, "same": 3}, {}]
    assert shared_names(parts) == {"same": [0, 1]}
    own, whole = divide(parts, [{"same": "x"}, {"same": "x"}, {}])
    assert own == [["d/", "d/0", "same"], ["d/", "d/1"], []]
    assert whole == {"d/": 0, "d/0": 5, "d/1": 6, "same": 3}


@pytest.mark.parametrize(
    ("parts", "digests"),
    [
        ([{"a": 1}, {"a": 1}], [{"a": "x"}, {"a": "y"}]),
        ([{"a": 1}, {"a/": 0}], [{"a": "x"}, {}]),
    ],
)
def test_different_things_of_one_name_are_refused(parts: list[dict[str, int]], digests: list[dict[str, str]]) -> None:
    with pytest.raises(RuntimeError, match="'a' of ranks 0, 1;"):
        divide(parts, digests)

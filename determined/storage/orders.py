"""What lists may be sorted by, and which part of a list a page is: the same for every store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from determined.domain.states import ExperimentState
from determined.errors import InvalidInput
from determined.storage.protocol import Order, Page

EXPERIMENT_KEYS: Final = (
    "ID",
    "DESCRIPTION",
    "START_TIME",
    "END_TIME",
    "STATE",
    "NUM_TRIALS",
    "PROGRESS",
    "USER",
    "NAME",
    "FORKED_FROM",
    "RESOURCE_POOL",
    "PROJECT_ID",
    "CHECKPOINT_SIZE",
    "CHECKPOINT_COUNT",
    "SEARCHER_METRIC_VAL",
)
TRIAL_KEYS: Final = (
    "ID",
    "START_TIME",
    "END_TIME",
    "STATE",
    "BEST_VALIDATION_METRIC",
    "LATEST_VALIDATION_METRIC",
    "BATCHES_PROCESSED",
    "DURATION",
    "RESTARTS",
    "CHECKPOINT_SIZE",
)
CHECKPOINT_KEYS: Final = ("ID", "UUID", "TRIAL_ID", "BATCH_NUMBER", "END_TIME", "STATE", "SEARCHER_METRIC")

PATCHABLE: Final = frozenset(
    {"name", "description", "labels", "notes", "archived", "config", "epoch", "state", "uncollected"}
)
"""What ``PatchExperiment`` may change."""


UNFINISHED: Final = tuple(s for s in ExperimentState if not s.is_terminal or s is ExperimentState.DELETING)
"""States of experiments that a master must take up when it starts."""


def check_order(what: str, order: Order, keys: Sequence[str]) -> None:
    """Refuse a sort key that the list does not have.

    Raises:
        InvalidInput: naming the key and those that exist.
    """
    if order.key not in keys:
        raise InvalidInput(f"{what} cannot be sorted by {order.key!r} (allowed: {', '.join(keys)})")


def check_changes(changes: Sequence[str]) -> None:
    """Refuse to patch what is not for people to change.

    Raises:
        InvalidInput: naming the fields and those that may be changed.
    """
    wrong = sorted(set(changes) - PATCHABLE)
    if wrong:
        allowed = ", ".join(sorted(PATCHABLE))
        raise InvalidInput(f"an experiment's {', '.join(wrong)} cannot be changed (allowed: {allowed})")


def window(page: Page, total: int) -> tuple[int, int]:
    """First index and number of rows of a page of ``total`` rows; never outside of the list."""
    start = max(0, total + page.offset) if page.offset < 0 else min(page.offset, total)
    rest = total - start
    return start, rest if page.limit is None else min(max(0, page.limit), rest)

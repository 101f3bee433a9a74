"""Everything that one trial reported, as columns over its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from determined.domain.records import Metrics
from determined.master.ui.lengths import units_per_batch
from determined.storage.protocol import TrialRow

MAX_REPORTS: Final = 2_000
"""Reports of a group that are shown; of more, every so many-th, and the last."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode
Json = dict[str, Any]


def trial_metrics(reports: Sequence[Metrics], row: TrialRow, unit: str) -> Json:
    """The numbers in a trial's live reports.

    Args:
        reports: by steps.
    """
    groups: dict[str, list[Metrics]] = {}
    for report in reports:
        groups.setdefault(report.group, []).append(report)
    scale = units_per_batch(row, unit)
    return {"groups": {name: _group(_some(group), scale) for name, group in groups.items()}}


def _some(reports: list[Metrics]) -> list[Metrics]:
    if len(reports) <= MAX_REPORTS:
        return reports
    return [reports[(n + 1) * len(reports) // MAX_REPORTS - 1] for n in range(MAX_REPORTS)]


def _group(reports: list[Metrics], scale: float) -> Json:
    metrics: dict[str, list[float | None]] = {}
    for place, report in enumerate(reports):
        for name, value in _decode(report.metrics).items():
            # What is not finite is a text, and has no place in a chart.
            if type(value) in (int, float):
                metrics.setdefault(name, [None] * len(reports))[place] = value
    return {"units": [report.steps * scale for report in reports], "metrics": metrics}

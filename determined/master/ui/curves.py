"""Learning curves of many trials in one answer, sampled so that it stays small, and binary so that it is not parsed.

Little endian: u32 magic, low bits of the sequence number, number of curves, number of trials; then u32 ids and lengths
of the curves; then f32 x and y of all points, curve after curve.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

from determined.master.ui.lengths import units_per_batch
from determined.storage.protocol import SearcherPoint, TrialRow

MAGIC: Final = 0x31435444
MAX_CURVES: Final = 20_000
MAX_POINTS: Final = 2_000
_TRIAL = itemgetter(1)
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which trials' curves are shown; ``said`` is a sentence about that, "" when it is all."""

    rows: Sequence[TrialRow]
    said: str


def choose(rows: Sequence[TrialRow], limit: int, smaller_is_better: bool) -> Choice:
    """All trials with a metric, or if there are more than ``limit``: those that run, the best, and some of the rest.

    Running ones get at most half of the places, the best half of what is left, and an even sample by rank the others.
    """
    with_metric = [row for row in rows if row.best_metric is not None]
    if len(with_metric) <= limit:
        return Choice(with_metric, "")
    sign = 1.0 if smaller_is_better else -1.0
    ranked = sorted(with_metric, key=lambda row: (sign * (row.best_metric or 0.0), row.id))
    running = [row for row in ranked if row.ended_at is None and row.phase is not None][: limit // 2]
    taken = {row.id for row in running}
    rest = [row for row in ranked if row.id not in taken]
    best = rest[: (limit - len(running)) // 2]
    left = rest[len(best) :]
    places = limit - len(running) - len(best)
    # The worst one is always among them, so that the range can be seen.
    sample = [left[(place + 1) * len(left) // places - 1] for place in range(places)]
    chosen = sorted((*running, *best, *sample), key=lambda row: row.id)
    return Choice(chosen, f"{limit:,} of {len(with_metric):,} trials: running, best, and an even sample of the rest")


def packed(seq: int, total: int, choice: Choice, points: Sequence[SearcherPoint], most: int, unit: str) -> bytes:
    """The answer.

    Args:
        total: number of all trials.
        points: of the chosen trials, by trial and steps.
        most: points per curve.
    """
    ids, lengths = array("I"), array("I")
    x, y = array("f"), array("f")
    scales = {row.id: units_per_batch(row, unit) for row in choice.rows}
    for trial_id, curve in _curves(points, scales, most):
        ids.append(trial_id)
        lengths.append(len(curve))
        x.extend([point[0] for point in curve])
        y.extend([point[1] for point in curve])
    head = array("I", [MAGIC, seq & 0xFFFFFFFF, len(ids), total])
    parts = (head, ids, lengths, x, y)
    if sys.byteorder == "big":
        for part in parts:
            part.byteswap()
    return b"".join(part.tobytes() for part in parts)


def _curves(
    points: Sequence[SearcherPoint], scales: Mapping[int, float], most: int
) -> Iterator[tuple[int, list[Point]]]:
    for trial_id, group in groupby(points, _TRIAL):
        scale = scales.get(trial_id)
        if scale is not None:
            yield trial_id, thinned([(point.steps * scale, _single(point.metric)) for point in group], most)


_LARGEST: Final = 3.4e38


def _single(value: float) -> float:
    """A number that has a place among those of 32 bits; what is too large becomes the largest of them."""
    return min(max(value, -_LARGEST), _LARGEST)


def thinned(points: list[Point], most: int) -> list[Point]:
    """At most so many points of a curve; of each stretch its lowest and its highest stay, and so do both ends."""
    if len(points) <= most:
        return points
    stretches = max((most - 2) // 2, 1)
    inner = len(points) - 2
    kept = [points[0]]
    for n in range(stretches):
        stretch = range(1 + n * inner // stretches, 1 + (n + 1) * inner // stretches)
        low = min(stretch, key=lambda i: points[i][1])
        high = max(stretch, key=lambda i: points[i][1])
        kept += [points[i] for i in sorted({low, high})]
    kept.append(points[-1])
    return kept

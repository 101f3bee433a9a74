"""The table of trials in a form that packs well: a page that is opened anew needs all of it before it can be used.

Compressors see texts of 32 kB at a time and know nothing of numbers. So columns say themselves what they share: ids
and times as differences from row to row, a metric that is mostly another one as the rows where it is not, and
fractions as whole numbers of seven digits whose bytes stand side by side. In each, any list of numbers may also stand
as it is.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

DIGITS: Final = 7
PER_SECOND: Final = 100
FOLDED_FROM: Final = 100
"""Rows; shorter columns stand as they are."""
_LARGEST: Final = 10**DIGITS
Json = dict[str, Any]


def folded(table: Json) -> Json:
    """A table with ``columns`` and ``hparams`` as of ``trial_columns``, whose fractions need not be shortened."""
    columns = table["columns"]
    if table["count"] < FOLDED_FROM:
        return table
    more = {
        "id": deltas(columns["id"], 1),
        "startedAt": deltas(columns["startedAt"], PER_SECOND),
        "latest": different(columns["latest"], columns["best"], "best"),
        **{name: fractions(columns[name]) for name in ("units", "best", "bestUnits")},
    }
    return {**table, "columns": {**columns, **more}, "hparams": [_hparam(hparam) for hparam in table["hparams"]]}


def _hparam(hparam: Json) -> Json:
    return hparam if hparam["kind"] != "number" else {**hparam, "values": fractions(hparam["values"])}


def deltas(values: Sequence[float], per: int) -> Json:
    """Each number as its difference from the one before, in whole steps of 1 / ``per``."""
    steps = [0, *(round(value * per) for value in values)]
    return {"deltas": [after - before for before, after in pairwise(steps)], "per": per}


def different(values: Sequence[float | None], other: Sequence[float | None], name: str) -> Json:
    """The rows in which a column is not like another one, and what it is there."""
    rows = [row for row, (mine, theirs) in enumerate(zip(values, other, strict=True)) if mine != theirs]
    return {"like": name, "rows": deltas(rows, 1)["deltas"], "values": fractions([values[row] for row in rows])}


def fractions(values: Sequence[float | None]) -> Any:
    """A column of fractions as 32-bit whole numbers and powers of ten, to seven digits; others as they are.

    The numbers are base64 of all their lowest bytes, then all second ones, and so on; the power is null for none.
    """
    if not _pays(values):
        return [round_off(value) for value in values]
    whole = array("i")
    powers: list[int | None] = []
    for value in values:
        if value is None or not math.isfinite(value):
            whole.append(0)
            powers.append(None)
        else:
            digits, _, power = f"{value:.{DIGITS - 1}e}".partition("e")
            whole.append(int(digits.replace(".", "")))
            powers.append(int(power) - DIGITS + 1)
    if sys.byteorder == "big":
        whole.byteswap()
    raw = whole.tobytes()
    return {"whole": base64.b64encode(b"".join(raw[n::4] for n in range(4))).decode(), "powers": powers}


def round_off(value: Any) -> Any:
    """A fraction to seven digits: what a chart can show, in half of the bytes."""
    return float(f"{value:.{DIGITS}g}") if type(value) is float else value


def _pays(values: Sequence[Any]) -> bool:
    return (
        len(values) >= FOLDED_FROM
        and 2 * sum(type(value) is float for value in values) > len(values)
        and all(type(value) is not int or abs(value) < _LARGEST for value in values)
    )

"""The table of trials out of its folded form, as pages read it."""

from __future__ import annotations

import base64
from itertools import accumulate
from typing import Any


def unfold(table: dict[str, Any]) -> dict[str, Any]:
    """The same table with every column as a list."""
    columns = table["columns"]
    plain = {name: _plain(column, {}) for name, column in columns.items() if "like" not in column}
    plain |= {name: _plain(column, plain) for name, column in columns.items() if "like" in column}
    hparams = [h | {"values": _plain(h["values"], {})} if h["kind"] == "number" else h for h in table["hparams"]]
    return {**table, "columns": plain, "hparams": hparams}


def _plain(column: Any, others: dict[str, Any]) -> Any:
    if "deltas" in column:
        return [total / column["per"] for total in accumulate(column["deltas"])]
    if "whole" in column:
        return _fractions(base64.b64decode(column["whole"]), column["powers"])
    if "like" in column:
        values = list(others[column["like"]])
        for row, value in zip(accumulate(column["rows"]), _plain(column["values"], {}), strict=True):
            values[row] = value
        return values
    return column


def _fractions(raw: bytes, powers: list[int | None]) -> list[float | None]:
    count = len(powers)
    whole = [int.from_bytes(bytes(raw[n::count]), "little", signed=True) for n in range(count)]
    return [None if power is None else float(f"{n}e{power}") for n, power in zip(whole, powers, strict=True)]

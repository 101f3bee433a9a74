"""The trials of an experiment column by column: 10,000 rows are a few numbers each, and no name is sent twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from determined.domain.states import TrialState
from determined.master.ui.folding import folded, round_off
from determined.master.ui.lengths import reached, units_per_batch
from determined.storage.protocol import TrialRow

WAITING: Final = "WAITING"
"""State of an active trial without a run: it has no work at the moment."""
_ENDS: Final = {TrialState.ERROR.value: "errored", TrialState.CANCELED.value: "canceled"}
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
Json = dict[str, Any]


def trial_columns(
    rows: Sequence[TrialRow], unit: str, longest: float, invalid: Collection[int], *, fold: bool = False
) -> Json:
    """The columns of some trials; fractions have seven digits, times two decimals.

    Args:
        rows: the trials.
        unit: of lengths.
        longest: what trials train to that are not stopped before.
        invalid: ids of trials that said that their hyperparameters are invalid.
        fold: make it small; see ``folding``.
    """
    short = _exact if fold else round_off
    table = {
        "count": len(rows),
        "columns": {
            "id": [row.id for row in rows],
            "state": codes(shown_state(row) for row in rows),
            "units": [short(reached(row)) for row in rows],
            "best": [short(row.best_metric) for row in rows],
            "latest": [short(row.latest_metric) for row in rows],
            "bestUnits": [_best_units(row, unit, short) for row in rows],
            "checkpoints": [row.checkpoint_count for row in rows],
            "restarts": [row.restarts for row in rows],
            "startedAt": [round(row.created_at, 2) for row in rows],
            "endedAt": [None if row.ended_at is None else round(row.ended_at, 2) for row in rows],
            "end": codes(_end(row, longest, invalid) for row in rows),
        },
        "hparams": hparam_columns([row.hparams for row in rows], short),
    }
    return folded(table) if fold else table


def _exact(value: Any) -> Any:
    return value


def shown_state(row: TrialRow) -> str:
    """The state for people: an active trial is shown by what its run does."""
    return row.state if row.state != TrialState.ACTIVE.value else row.phase or WAITING


def _best_units(row: TrialRow, unit: str, short: Callable[[Any], Any]) -> Any:
    return None if row.best_steps is None else short(row.best_steps * units_per_batch(row, unit))


def _end(row: TrialRow, longest: float, invalid: Collection[int]) -> str:
    if row.ended_at is None:
        return ""
    if row.state != TrialState.COMPLETED.value:
        return _ENDS.get(row.state, "")
    if row.id in invalid:
        return "invalidHp"
    return "stopped" if reached(row) < longest else "completed"


def codes(values: Iterable[str]) -> Json:
    """Texts of which many are equal, as places in a list of them."""
    places: dict[str, int] = {}
    found = [places.setdefault(value, len(places)) for value in values]
    return {"codes": found, "values": list(places)}


def hparam_columns(texts: Sequence[str], short: Callable[[Any], Any] = round_off) -> list[Json]:
    """One column for each hyperparameter that some trial has; nested ones are named with dots.

    Args:
        texts: JSON of each trial's hyperparameters.
        short: what is done with numbers.
    """
    columns: dict[str, list[Any]] = {}
    for place, text in enumerate(texts):
        for name, value in _flat(_decode(text)):
            column = columns.get(name)
            if column is None:
                column = columns[name] = [None] * len(texts)
            column[place] = value
    return [_hparam_column(name, column, short) for name, column in columns.items()]


def _flat(hparams: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in hparams.items():
        if type(value) is dict:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _hparam_column(name: str, values: list[Any], short: Callable[[Any], Any]) -> Json:
    # Exact types: True is an int to isinstance.
    if all(type(value) in _NUMBERS for value in values):
        return {"name": name, "kind": "number", "values": list(map(short, values))}
    places: dict[str, int] = {}
    found = [-1 if v is None else places.setdefault(_text(v), len(places)) for v in values]
    return {"name": name, "kind": "category", "codes": found, "values": list(places)}


_NUMBERS: Final = frozenset({int, float, type(None)})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from determined.errors import InvalidInput
from determined.methods.grid import GridSearch
from determined.searcher import Curve, Table, simulate
from determined.simulator import NotRecorded

CURVES = [
    Curve({"lr": 0.1, "opt": {"name": "sgd"}}, [1, 2, 4], [0.9, 0.8, 0.7]),
    Curve({"lr": 0.3, "opt": {"name": "adam"}}, [1, 2, 4], [0.6, 0.5, 0.4]),
]


def test_a_search_over_the_rows_of_an_array_meets_each_curve() -> None:
    table = Table.of(np.array([[3.0, 2.0, 1.5], [4.0, 1.0, 0.5]]))
    result = simulate(GridSearch(table.space(), 3), table=table)
    assert {t.hparams["row"]: t.last for t in result.trials} == {0: 1.5, 1: 0.5}
    assert result.best is not None
    assert (result.best.metric, result.best.length) == (0.5, 3)


def test_the_columns_of_an_array_may_stand_for_other_lengths() -> None:
    table = Table.of([[3.0, 2.0]], lengths=[10, 100])
    assert (table({"row": 0}, 10), table({"row": 0}, 100)) == (3.0, 2.0)


def test_points_are_found_by_their_hyperparameters_and_by_their_row() -> None:
    table = Table.of(CURVES)
    assert table({"opt": {"name": "adam"}, "lr": 0.3}, 2) == table({"row": 1}, 2) == 0.5
    assert (len(table), table.hparams(0)) == (2, CURVES[0].hparams)


@pytest.mark.parametrize(
    ("hparams", "length", "message"),
    [
        ({"lr": 0.2, "opt": {"name": "sgd"}}, 1, "no row of the table has the hyperparameters"),
        ({"row": 2}, 1, "no row of the table has the hyperparameters"),
        ({"row": 0}, 3, r"no metric at length 3 \(recorded: 1, 2, 4\)"),
        ({"row": 0}, 5, "no metric at length 5"),
    ],
)
def test_what_was_not_recorded_is_refused(hparams: dict[str, Any], length: int, message: str) -> None:
    with pytest.raises(NotRecorded, match=message):
        Table.of(CURVES)(hparams, length)


def test_the_nearest_row_and_length_stand_for_others_where_that_is_wanted() -> None:
    table = Table.of(CURVES, outside="nearest")
    assert table.row_of({"lr": 0.15, "opt": {"name": "sgd"}}) == 0
    # The range of lr is 0.2: 0.29 is 0.95 of it away from the first row, less than another name would be.
    assert table.row_of({"lr": 0.29, "opt": {"name": "sgd"}}) == 0
    assert table.row_of({"lr": 0.31, "opt": {"name": "rms"}}) == 1
    assert [table({"row": 0}, length) for length in (0, 2.9, 3, 3.1, 99)] == [0.9, 0.8, 0.8, 0.7, 0.7]


def frame() -> pd.DataFrame:
    lines = [(0.1, 16, 2, 0.8), (0.1, 16, 1, 0.9), (0.2, 32, 1, 0.7), (0.2, 32, 2, 0.5)]
    return pd.DataFrame(lines, columns=["lr", "batch", "length", "loss"])


def test_a_frame_holds_a_line_for_each_validation_in_any_order() -> None:
    table = Table.of(frame(), metric="loss")
    assert [table({"lr": 0.1, "batch": 16}, length) for length in (1, 2)] == [0.9, 0.8]
    assert [dict(c.hparams) for c in table.curves] == [{"lr": 0.1, "batch": 16}, {"lr": 0.2, "batch": 32}]


def test_a_parquet_file_is_read_as_a_frame(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    frame().rename(columns={"loss": "metric"}).to_parquet(tmp_path / "t.parquet")
    assert Table.of(tmp_path / "t.parquet").curves == Table.of(frame(), metric="loss").curves
    (tmp_path / "broken.parquet").write_text("no parquet")
    for name in ("broken.parquet", "missing.parquet"):
        with pytest.raises(InvalidInput, match=rf"the table .*{name} cannot be read"):
            Table.of(tmp_path / name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Table.of([]), "at least one curve"),
        (lambda: Table.of(CURVES, outside="guess"), "cannot 'guess'"),
        (lambda: Table.of([1, 2]), r"read from curves, an array \(trials, lengths\), a frame"),
        (lambda: Table.of(frame()), "no column 'metric' .it has: lr, batch, length, loss"),
        (lambda: Table.of(frame()[["length", "loss"]], metric="loss"), "no column for a hyperparameter"),
        (lambda: Curve({"x": 1}, [1, 1], [0.0, 0.0]), "ascending lengths"),
        (lambda: Curve({"x": 1}, [1], []), "1 lengths and 0 metrics"),
    ],
)
def test_what_cannot_be_a_table_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()

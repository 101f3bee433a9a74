from __future__ import annotations

import math
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


def any_(value: object) -> Any:
    """A value of a type that is not allowed."""
    return value


def test_a_search_over_the_rows_of_an_array_meets_each_curve() -> None:
    table = Table.of(np.array([[3.0, 2.0, 1.5], [4.0, 1.0, 0.5]]))
    result = simulate(GridSearch(table.space(), 3), table=table)
    assert {t.hparams["row"]: t.last for t in result.trials} == {0: 1.5, 1: 0.5}
    assert result.best is not None
    assert (result.best.metric, result.best.length) == (0.5, 3)


def test_the_columns_of_an_array_may_stand_for_other_lengths() -> None:
    table = Table.of([[3.0, 2.0]], lengths=np.array([10, 100]))
    assert (table({"row": 0}, 10), table({"row": 0}, 100)) == (3.0, 2.0)


def test_a_table_of_one_curve_is_searched_through_its_own_space() -> None:
    table = Table.of(np.array([[3.0, 2.0, 1.0]]))
    config = {
        "searcher": {"name": "grid", "metric": "loss", "max_length": 3},
        "hyperparameters": table.space().to_json(),
    }
    result = simulate(config=config, table=table)
    assert [(dict(t.hparams), t.metrics) for t in result.trials] == [({"row": 0}, (1.0,))]


def test_nan_at_the_end_of_a_row_was_not_recorded_and_before_a_number_it_is_a_metric() -> None:
    table = Table.of(np.array([[3.0, np.nan, 1.0], [2.0, np.nan, np.nan]]), lengths=[1, 10, 100])
    assert [curve.lengths for curve in table.curves] == [(1, 10, 100), (1,)]
    assert math.isnan(table({"row": 0}, 10))
    with pytest.raises(NotRecorded, match=r"no metric at length 10 \(recorded: 1\)"):
        table({"row": 1}, 10)
    assert [curve.metrics for curve in Table.of([[3.0, 2.0], np.array([1.0])]).curves] == [(3.0, 2.0), (1.0,)]


def test_numbers_of_numpy_in_a_curve_are_kept_as_those_of_python() -> None:
    curve = Curve({"x": 1}, np.array([1, 2]), [np.float32(0.5), np.int64(3)])
    assert (curve.lengths, curve.metrics) == ((1, 2), (0.5, 3))
    assert {type(number) for number in (*curve.lengths, *curve.metrics)} == {int, float}


def test_a_metric_of_a_frame_may_be_nan() -> None:
    lines = frame().assign(loss=[0.8, np.nan, 0.7, 0.5])
    assert math.isnan(Table.of(lines, metric="loss")({"lr": 0.1, "batch": 16}, 1))


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
    for name in ("broken.parquet", "missing.parquet", "missing"):
        with pytest.raises(InvalidInput, match=rf"the table .*{name} cannot be read"):
            Table.of(tmp_path / name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Table.of([]), "at least one curve"),
        (lambda: Table.of(CURVES, outside="guess"), "cannot 'guess'"),
        (lambda: Table.of([1, 2]), r"read from curves, an array \(trials, lengths\), a frame, .*, not from 1"),
        (lambda: Table.of(None), "a table is read from curves, .*, not from None"),
        (lambda: Table.of(5), "a table is read from curves, .*, not from 5"),
        (lambda: Table.of({"lr": 1}), "a table is read from curves, .*, not from {'lr': 1}"),
        (lambda: Table.of(["ab"]), "a table is read from curves, .*, not from 'ab'"),
        (lambda: Table.of([[1, "a"]]), "metrics of row 0 of the table holds 'a', which is no number"),
        (lambda: Table.of(np.ones((1, 2, 2))), r"metrics of row 0 of the table holds \[1.0, 1.0\]"),
        (lambda: Table.of([[1.0], [math.nan]]), "row 1 of the table holds nothing but NaN"),
        (lambda: Table.of([[1.0, 2.0]], lengths=[5]), "row 0 of the table has 2 metrics for 1 lengths"),
        (lambda: Table.of([[1.0, 2.0]], lengths=any_(5)), "lengths of the table is a list of numbers, not 5"),
        (lambda: Table.of(frame().assign(loss="a"), metric="loss"), "column 'loss' of the frame holds 'a'"),
        (lambda: Table.of(frame().assign(length="1"), metric="loss"), "column 'length' of the frame holds '1'"),
        (
            lambda: Table.of(frame().assign(length=1), metric="loss"),
            "length 1 twice for {'lr': 0.1, 'batch': 16}; .* by another column",
        ),
        (lambda: Table.of(frame()), "no column 'metric' .it has: lr, batch, length, loss"),
        (lambda: Table.of(frame()[["length", "loss"]], metric="loss"), "no column for a hyperparameter"),
        (lambda: Curve({"x": 1}, [1, 1], [0.0, 0.0]), "ascending lengths"),
        (lambda: Curve({"x": 1}, [1], []), r"1 lengths \(1\) and 0 metrics"),
        (lambda: Curve({"x": 1}, [1, math.nan], [0.0, 0.0]), "ascending lengths"),
        (lambda: Curve({"x": 1}, [1], [True]), "metrics of the curve of {'x': 1} holds True"),
        (lambda: Curve({"x": 1}, any_(1), [1.0]), "lengths of the curve of {'x': 1} is a list of numbers, not 1"),
        (lambda: Curve(any_(5), [1], [1.0]), "hyperparameters of a curve are a mapping of names to values, not 5"),
    ],
)
def test_what_cannot_be_a_table_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()

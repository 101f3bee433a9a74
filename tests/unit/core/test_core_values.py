"""Values that training code reports, as JSON has them."""

from __future__ import annotations

import decimal
import enum
import json
import logging
import math
from typing import Any

import numpy as np
import pytest

from determined.core._values import (
    length_to_wire,
    metrics_to_wire,
    refuse_missing,
    steps_to_wire,
    to_wire,
)
from determined.errors import InvalidInput


class Tensor:
    """Behaves like a tensor of one of the big libraries: it converts itself, and is no number."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def tolist(self) -> Any:
        return self._content


class Colour(str, enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(2.0), 2.0),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(1.5), 1.5),
        (np.array([1, 2]), [1, 2]),
        (np.str_("text"), "text"),
        (Tensor(0.25), 0.25),
        (Tensor([[1], [2]]), [[1], [2]]),
        (decimal.Decimal("0.5"), 0.5),
        (Colour.RED, "red"),
        ((1, 2.0), [1, 2.0]),
        ({1: {"a": np.int8(4)}}, {"1": {"a": 4}}),
        (None, None),
        (True, True),
    ],
)
def test_numbers_of_other_libraries_become_plain_ones_of_the_same_kind(value: Any, expected: Any) -> None:
    plain = to_wire(value, "x")
    assert plain == expected
    assert type(plain) is type(expected)
    json.dumps(plain, allow_nan=False)


def test_integers_stay_integers_and_floats_stay_floats() -> None:
    assert json.dumps(to_wire([1, 1.0, np.int32(2), np.float32(2)], "x")) == "[1, 1.0, 2, 2.0]"


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "NaN"), (np.float32("inf"), "Infinity"), (Tensor(-math.inf), "-Infinity")]
)
def test_non_finite_numbers_become_their_names(value: Any, text: str) -> None:
    assert to_wire(value, "x") == text


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, 1 + 2j, b"x", memoryview(b"x"), {"a": object()}, np.datetime64("now")]
)
def test_what_has_no_form_in_json_is_a_type_error_that_names_the_metric(value: Any) -> None:
    with pytest.raises(TypeError, match="accuracy"):
        metrics_to_wire({"accuracy": [value]}, "metrics")


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="keys must be texts"):
        to_wire({(1, 2): 3}, "x")


def test_integers_beyond_64_bits_are_refused() -> None:
    assert to_wire(2**63 - 1, "x") == 2**63 - 1
    with pytest.raises(InvalidInput, match="64 bits"):
        to_wire(2**63, "x")


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidInput, match="nested"):
        to_wire(endless, "x")


def test_raw_bytes_are_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert metrics_to_wire({"image": b"png", "loss": 1}, "validation metrics") == {"loss": 1}
    assert "image" in caplog.text


def test_metrics_must_be_a_dictionary() -> None:
    with pytest.raises(TypeError, match="give a dictionary"):
        metrics_to_wire([1], "training metrics")


def test_a_missing_metric_is_a_runtime_error_that_names_it() -> None:
    refuse_missing({"loss": 0}, "validation metrics")
    with pytest.raises(RuntimeError, match="loss"):
        refuse_missing({"loss": None}, "validation metrics")


@pytest.mark.parametrize("steps", [0, 7, np.int64(7), 7.0])
def test_steps_are_whole_numbers_of_any_kind(steps: Any) -> None:
    assert type(steps_to_wire(steps)) is int


@pytest.mark.parametrize("steps", [-1, 2**31, 1.5, "7", None, True])
def test_other_steps_are_refused(steps: Any) -> None:
    with pytest.raises(InvalidInput, match="steps_completed"):
        steps_to_wire(steps)


@pytest.mark.parametrize("length", [math.nan, math.inf, "3", None, True, [1]])
def test_a_length_is_a_finite_number(length: Any) -> None:
    assert length_to_wire(np.float64(1.5), "length") == 1.5
    with pytest.raises(TypeError, match="length"):
        length_to_wire(length, "length")

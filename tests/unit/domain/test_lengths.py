from __future__ import annotations

from typing import Any

import pytest

from determined.domain.lengths import Length, Unit
from determined.errors import InvalidInput


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (100, Length(100)),
        ({"batches": 1}, Length(1, Unit.BATCHES)),
        ({"records": 5}, Length(5, Unit.RECORDS)),
        ({"epochs": 2**63 - 1}, Length(2**63 - 1, Unit.EPOCHS)),
        ({"epochs": 3, "batches": None}, Length(3, Unit.EPOCHS)),
    ],
)
def test_a_length_is_a_number_or_a_mapping_of_one_unit(given: Any, expected: Length) -> None:
    assert Length.parse(given) == expected


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (0, "at least 1"),
        (-1, "from 0"),
        (2**63, "from 0"),
        ({"batches": 10**5000}, "bits"),
        (1.5, "whole number"),
        (1.0, "whole number"),
        (True, "whole number"),
        ("5", "whole number"),
        (None, "whole number"),
        ([], "whole number"),
        ({}, "exactly one unit"),
        ({"batches": 1, "epochs": 2}, "batches and epochs"),
        ({"batches": True}, "whole number"),
        ({"hours": 1}, "unknown unit 'hours'"),
        ({1: 1}, "unknown unit 1"),
    ],
)
def test_anything_else_is_refused_with_advice(given: Any, part: str) -> None:
    with pytest.raises(InvalidInput, match=part):
        Length.parse(given)


def test_zero_is_a_length_where_it_is_allowed() -> None:
    assert Length.parse({"batches": 0}, least=0) == Length(0, Unit.BATCHES)


@pytest.mark.parametrize("given", [7, {"batches": 7}])
def test_a_length_is_written_as_it_was_read(given: Any) -> None:
    assert Length.parse(given).to_json() == given

from __future__ import annotations

import copy
import json
import math
import pickle
import uuid

import pytest

from determined.domain.operations import Close
from determined.domain.reasons import Reason, numbers_of
from determined.errors import InvalidOperations
from determined.wire.searcher import operation_from_json, operation_to_json, operations_digest

RID = uuid.UUID(int=5)


def test_a_reason_is_a_text_that_keeps_its_numbers() -> None:
    reason = Reason("rank {rank} of {of} with {metric}", rank=3, of=40, metric=0.123456789)
    assert reason == "rank 3 of 40 with 0.123457"
    assert numbers_of(reason) == {"rank": 3, "of": 40, "metric": 0.123456789}
    assert numbers_of("plain") == {}
    assert numbers_of(None) == {}


@pytest.mark.parametrize("remade", [copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))])
def test_a_copied_reason_keeps_its_numbers(remade: object) -> None:
    reason = Reason("{{braces}} and {n}", n=1)
    copied = remade(reason)  # type: ignore[operator]
    assert copied == "{braces} and 1"
    assert copied.numbers == {"n": 1}


def test_a_reason_goes_over_the_wire_with_its_numbers() -> None:
    op = Close(RID, Reason("metric {metric}", metric=math.nan))
    read = operation_from_json(json.loads(json.dumps(operation_to_json(op), allow_nan=False)))
    assert isinstance(read, Close)
    assert read.reason == "metric nan"
    assert math.isnan(numbers_of(read.reason)["metric"])  # type: ignore[arg-type]
    assert operations_digest([read]) == operations_digest([op])


@pytest.mark.parametrize("numbers", [[], {"a": True}, {"a": {}}, {"a": "x" * 5000}, {str(n): n for n in range(65)}])
def test_numbers_that_are_none_are_refused(numbers: object) -> None:
    body = {"requestId": str(RID), "reason": "because", "reasonNumbers": numbers}
    with pytest.raises(InvalidOperations, match="reasonNumbers"):
        operation_from_json({"closeTrial": body})

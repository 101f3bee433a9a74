from __future__ import annotations

import copy
import json
import math
import pickle
import uuid

import msgspec
import pytest

from determined.domain.operations import Close
from determined.domain.reasons import Reason, numbers_of
from determined.errors import InvalidOperations
from determined.methods.halving_words import GoesOn, Words
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


def test_a_reason_is_used_like_its_text() -> None:
    reason = Reason("rank {rank} of {of}", rank=3, of=40)
    assert reason == "rank 3 of 40"
    assert reason != "rank 3 of 41"
    assert reason == Reason("rank 3 of {of}", of=40)
    assert hash(reason) == hash("rank 3 of 40")
    assert (reason.startswith("rank"), reason.upper(), len(reason), "3 of" in reason) == (
        True,
        "RANK 3 OF 40",
        12,
        True,
    )
    assert f"{reason:>14}|{reason!r}" == "  rank 3 of 40|'rank 3 of 40'"
    assert (reason + "!", "a " + reason) == ("rank 3 of 40!", "a rank 3 of 40")
    assert (reason[:4], [*reason][:2]) == ("rank", ["r", "a"])
    assert sorted([reason, Reason("first"), "middle"], key=str) == ["first", "middle", "rank 3 of 40"]
    assert min(reason, Reason("first")) == min("zero", Reason("first")) == "first"
    body = f'{{"request_id": "{RID}", "reason": "x"}}'
    assert msgspec.json.decode(body, type=Close) == Close(RID, "x")
    assert not hasattr(reason, "_absent")
    assert not hasattr(reason, "absent")


def test_what_a_bracket_says_is_a_reason_like_any_other() -> None:
    words = Words(divisor=3, bracket=None, lengths=(1, 3), trials=9)
    reason = GoesOn(words, rung=0, rank=1, among=4, metric=0.25, places=1)
    assert reason == "reached 1 with 0.25: rank 1 of 4 in rung 0, inside the top 1/3 (1): goes on to 3"
    assert numbers_of(reason)["next_length"] == 3
    for remade in (copy.deepcopy(reason), pickle.loads(pickle.dumps(reason))):
        assert remade == reason
        assert numbers_of(remade) == numbers_of(reason)

from __future__ import annotations

import json
import math
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from determined.domain.events import (
    ExitCause,
    ExitedReason,
    InitialOperations,
    SearcherEvent,
    TrialClosed,
    TrialCreated,
    TrialExitedEarly,
    TrialProgress,
    ValidationCompleted,
)
from determined.domain.operations import Close, Create, Operation, Progress, Shutdown, ValidateAfter
from determined.domain.states import ExperimentState
from determined.errors import InvalidInput, InvalidOperations
from determined.wire.searcher import (
    Inactive,
    event_from_json,
    event_to_json,
    operation_from_json,
    operation_to_json,
    operations_digest,
    operations_from_json,
)

RID = uuid.UUID("8d7f0c1e-1111-4222-8333-444455556666")

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
reasons = st.none() | texts
lengths = st.integers(0, 2**63 - 1)
creates = st.builds(
    Create,
    st.uuids(),
    st.dictionaries(texts, json_values, max_size=4),
    st.none() | st.uuids().map(str),
    reasons,
)
copies = st.builds(Create, st.uuids(), st.just("{}"), reason=reasons, source_trial=st.uuids())
operations: st.SearchStrategy[Operation] = st.one_of(
    creates,
    copies,
    st.builds(ValidateAfter, st.uuids(), lengths, reasons),
    st.builds(Close, st.uuids(), reasons),
    st.builds(Progress, finite),
    st.builds(Shutdown, st.booleans(), st.booleans(), reasons),
)
metrics = (finite | st.sampled_from([math.inf, -math.inf]) | json_values).filter(
    lambda m: m is not None and not (isinstance(m, str) and m in ("NaN", "Infinity", "-Infinity"))
)
units = finite | st.just(math.inf)
events: st.SearchStrategy[SearcherEvent | Inactive] = st.one_of(
    st.just(InitialOperations()),
    st.builds(TrialCreated, st.uuids()),
    st.builds(TrialProgress, st.uuids(), units),
    st.builds(ValidationCompleted, st.uuids(), metrics, lengths),
    st.builds(TrialExitedEarly, st.uuids(), st.sampled_from(ExitCause)),
    st.builds(TrialClosed, st.uuids()),
    st.builds(Inactive, st.sampled_from(ExperimentState)),
)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


@given(operations)
def test_an_operation_comes_back_from_json_as_it_was(op: Operation) -> None:
    assert operation_from_json(through_json(operation_to_json(op)), 0) == op


@given(st.lists(operations, max_size=5))
def test_a_batch_comes_back_from_json_with_the_same_digest(ops: list[Operation]) -> None:
    back = operations_from_json(through_json([operation_to_json(op) for op in ops]))
    assert back == ops
    assert operations_digest(back) == operations_digest(ops)


@given(st.integers(-1, 2**31 - 1), events)
def test_an_event_comes_back_from_json_as_it_was(event_id: int, event: SearcherEvent | Inactive) -> None:
    assert event_from_json(through_json(event_to_json(event_id, event))) == (event_id, event)


def test_a_metric_that_is_not_a_number_travels_as_text_and_comes_back_as_nan() -> None:
    written = event_to_json(4, ValidationCompleted(RID, {"loss": math.nan}, 100))
    assert written["validationCompleted"]["metric"] == {"loss": "NaN"}
    _, event = event_from_json(through_json(written))
    assert isinstance(event, ValidationCompleted)
    assert math.isnan(event.metric["loss"])


def test_whole_and_broken_numbers_keep_their_kind_in_metrics() -> None:
    _, event = event_from_json(through_json(event_to_json(4, ValidationCompleted(RID, [1, 1.0], 1))))
    assert isinstance(event, ValidationCompleted)
    assert [type(v) for v in event.metric] == [int, float]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (Create(RID, {"lr": 0.1}), {"createTrial": {"requestId": str(RID), "hyperparams": '{"lr":0.1}'}}),
        (
            Create(RID, "{}", source_trial=uuid.UUID(int=7)),
            {
                "createTrial": {
                    "requestId": str(RID),
                    "hyperparams": "{}",
                    "sourceTrialRequestId": "00000000-0000-0000-0000-000000000007",
                }
            },
        ),
        (
            ValidateAfter(RID, 100),
            {"trialOperation": {"validateAfter": {"requestId": str(RID), "length": "100"}}},
        ),
        (Close(RID, "done"), {"closeTrial": {"requestId": str(RID), "reason": "done"}}),
        (Progress(0.25), {"setSearcherProgress": {"progress": 0.25}}),
        (Shutdown(), {"shutDown": {"cancel": False, "failure": False}}),
    ],
)
def test_operations_are_written_in_the_form_that_masters_know(op: Operation, expected: dict[str, Any]) -> None:
    assert operation_to_json(op) == expected


def test_every_event_is_written_in_the_form_that_search_runners_know() -> None:
    written = [
        event_to_json(1, InitialOperations()),
        event_to_json(3, TrialProgress(RID, 40)),
        event_to_json(4, ValidationCompleted(RID, 0.31, 100)),
        event_to_json(5, TrialExitedEarly(RID, ExitCause.KILLED)),
        event_to_json(-1, Inactive(ExperimentState.PAUSED)),
    ]
    assert written == [
        {"id": 1, "initialOperations": {"placeholder": 0}},
        {"id": 3, "trialProgress": {"requestId": str(RID), "partialUnits": 40}},
        {
            "id": 4,
            "validationCompleted": {"requestId": str(RID), "metric": 0.31, "validateAfterLength": "100"},
        },
        {
            "id": 5,
            "trialExitedEarly": {
                "requestId": str(RID),
                "exitedReason": "EXITED_REASON_USER_REQUESTED_STOP",
                "cause": "KILLED",
            },
        },
        {"id": -1, "experimentInactive": {"experimentState": "STATE_PAUSED"}},
    ]


@pytest.mark.parametrize("spelling", ["EXITED_REASON_USER_CANCELED", "EXITED_REASON_USER_REQUESTED_STOP"])
def test_both_spellings_of_a_cancelled_trial_are_understood(spelling: str) -> None:
    _, event = event_from_json({"id": 5, "trialExitedEarly": {"requestId": str(RID), "exitedReason": spelling}})
    assert isinstance(event, TrialExitedEarly)
    assert event.cause.reason is ExitedReason.USER_CANCELED


@pytest.mark.parametrize(
    "length", [100, "100", 100.0, "0100"], ids=["number", "text", "integral float", "leading zero"]
)
def test_a_length_may_be_written_in_several_ways(length: object) -> None:
    obj = {"trialOperation": {"validateAfter": {"requestId": str(RID), "length": length}}}
    assert operation_from_json(obj, 0) == ValidateAfter(RID, 100)


def test_snake_case_and_null_for_absent_are_accepted() -> None:
    obj = {
        "trial_operation": {"validate_after": {"request_id": str(RID), "length": 3}},
        "createTrial": None,
        "shutDown": None,
    }
    assert operation_from_json(obj, 0) == ValidateAfter(RID, 3)
    assert operation_from_json({"close_trial": {"request_id": str(RID).upper()}}) == Close(RID)


def create(hyperparams: object, **more: object) -> dict[str, Any]:
    return {"createTrial": {"requestId": str(RID), "hyperparams": hyperparams, **more}}


def validate_after(length: object) -> dict[str, Any]:
    return {"trialOperation": {"validateAfter": {"requestId": str(RID), "length": length}}}


MALFORMED: list[tuple[object, str]] = [
    (None, "must be an object"),
    ([], "must be an object"),
    ({}, "holds nothing"),
    ({"closeTrial": None}, "holds nothing"),
    ({"explode": {}}, "unknown kind 'explode'"),
    ({"closeTrial": {"requestId": str(RID)}, "shutDown": {}}, "closeTrial and shutDown"),
    ({"closeTrial": {"requestId": str(RID)}, "explode": {}}, "unknown kind"),
    ({"closeTrial": []}, "closeTrial: must be an object"),
    ({"closeTrial": {}}, "closeTrial.requestId"),
    ({"closeTrial": {"requestId": 7}}, "closeTrial.requestId"),
    ({"closeTrial": {"requestId": "{" + str(RID) + "}"}}, "closeTrial.requestId"),
    ({"closeTrial": {"requestId": RID.hex}}, "closeTrial.requestId"),
    ({"closeTrial": {"requestId": str(RID) + "\n"}}, "closeTrial.requestId"),
    ({"closeTrial": {"requestId": "٨" + str(RID)[1:]}}, "closeTrial.requestId"),
    ({"closeTrial": {"requestId": str(RID), "reason": 3}}, "closeTrial.reason"),
    ({"closeTrial": {"requestId": str(RID), "reason": "x" * 5000}}, "closeTrial.reason"),
    ({"closeTrial": {"requestId": str(RID), "reason": "\ud800"}}, "closeTrial.reason"),
    (create({"lr": 1}), "createTrial.hyperparams"),
    (create(None), "createTrial.hyperparams"),
    (create("[1]"), "must be a JSON object"),
    (create("{"), "is no JSON"),
    (create('{"lr": NaN}'), "holds NaN"),
    (create('{"lr": -Infinity}'), "holds -Infinity"),
    (create('{"lr": 1e999}'), "holds 1e999"),
    (create('{"lr": 1, "lr": 2}'), "names a key twice"),
    (create('{"lr": "\\ud800"}'), "surrogate"),
    (create('{"n": ' + "9" * 5000 + "}"), "createTrial.hyperparams"),
    (create('{"n": ' + "[" * 20_000 + "]" * 20_000 + "}"), "nested too deeply"),
    (create('{"n": "' + "x" * 1_000_000 + '"}'), "at most 65536 bytes"),
    (create('{"n": "' + "é" * 40_000 + '"}'), "at most 65536 bytes"),
    (create("{}", sourceCheckpointUuid="../../etc"), "createTrial.sourceCheckpointUuid"),
    (create("{}", sourceCheckpointUuid=4), "createTrial.sourceCheckpointUuid"),
    (create("{}", sourceTrialRequestId="trial 4"), "createTrial.sourceTrialRequestId"),
    (create("{}", sourceTrialRequestId=str(RID), sourceCheckpointUuid=str(RID)), "keep one of them"),
    (validate_after(None), "validateAfter.length"),
    (validate_after(-1), "validateAfter.length"),
    (validate_after("-1"), "validateAfter.length"),
    (validate_after(1.5), "validateAfter.length"),
    (validate_after("1.5"), "validateAfter.length"),
    (validate_after("1e2"), "validateAfter.length"),
    (validate_after("\uff11"), "validateAfter.length"),
    (validate_after(True), "validateAfter.length"),
    (validate_after([]), "validateAfter.length"),
    (validate_after(2**63), "validateAfter.length"),
    (validate_after(math.inf), "validateAfter.length"),
    (validate_after("9" * 5000), "validateAfter.length"),
    (validate_after(10**5000), "validateAfter.length"),
    ({"trialOperation": {}}, "trialOperation: holds nothing"),
    ({"trialOperation": {"trainFor": {}}}, "trialOperation: unknown kind"),
    ({"trialOperation": 3}, "trialOperation: must be an object"),
    ({"setSearcherProgress": {}}, "setSearcherProgress.progress"),
    ({"setSearcherProgress": {"progress": "0.5"}}, "setSearcherProgress.progress"),
    ({"setSearcherProgress": {"progress": True}}, "setSearcherProgress.progress"),
    ({"setSearcherProgress": {"progress": math.nan}}, "setSearcherProgress.progress"),
    ({"setSearcherProgress": {"progress": math.inf}}, "setSearcherProgress.progress"),
    ({"setSearcherProgress": {"progress": 10**400}}, "setSearcherProgress.progress"),
    ({"shutDown": {"cancel": "false"}}, "shutDown.cancel"),
    ({"shutDown": {"failure": 1}}, "shutDown.failure"),
]


@pytest.mark.parametrize(("obj", "expected"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_operation_is_refused_with_its_place_and_reason(obj: object, expected: str) -> None:
    with pytest.raises(InvalidOperations) as refused:
        operation_from_json(obj, 3)
    message = str(refused.value)
    assert message.startswith("searcherOperations[3]")
    assert expected in message
    assert message.isascii()
    assert len(message) < 400


def test_one_bad_operation_refuses_the_whole_batch_and_is_named() -> None:
    good = operation_to_json(Close(RID))
    with pytest.raises(InvalidOperations, match=r"searcherOperations\[2\]"):
        operations_from_json([good, good, {"closeTrial": {}}])


@pytest.mark.parametrize("objs", [None, {}, "[]", 3])
def test_a_batch_that_is_no_list_is_refused(objs: object) -> None:
    with pytest.raises(InvalidOperations, match="must be a list"):
        operations_from_json(objs)


def test_a_batch_of_a_million_operations_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidOperations, match="in one batch"):
        operations_from_json([None] * 1_000_000)


@pytest.mark.parametrize(
    "obj",
    [
        None,
        [],
        {},
        {"id": "x", "initialOperations": {}},
        {"id": True, "initialOperations": {}},
        {"id": 1},
        {"id": 1, "trialVanished": {}},
        {"id": 1, "trialCreated": {"requestId": "no"}},
        {"id": 1, "trialCreated": {"requestId": str(RID)}, "trialClosed": {"requestId": str(RID)}},
        {"id": 1, "trialProgress": {"requestId": str(RID), "partialUnits": "much"}},
        {"id": 1, "validationCompleted": {"requestId": str(RID), "metric": None, "validateAfterLength": 1}},
        {"id": 1, "validationCompleted": {"requestId": str(RID), "metric": 1}},
        {"id": 1, "trialExitedEarly": {"requestId": str(RID), "exitedReason": "EXITED_REASON_BORED"}},
        {"id": 1, "trialExitedEarly": {"requestId": str(RID)}},
        {"id": -1, "experimentInactive": {"experimentState": "STATE_CONFUSED"}},
        {"id": -1, "experimentInactive": {}},
    ],
)
def test_a_malformed_event_is_refused(obj: object) -> None:
    with pytest.raises(InvalidInput):
        event_from_json(obj)


def test_what_a_newer_master_adds_to_an_event_is_ignored() -> None:
    obj = {"id": "7", "time": 3, "trialClosed": {"requestId": str(RID), "trialId": 4}, "trialCreated": None}
    assert event_from_json(obj) == (7, TrialClosed(RID))


def test_the_digest_does_not_see_how_numbers_and_keys_were_written() -> None:
    plain: list[Operation] = [Create(RID, '{"a": 0.1, "b": 2e3}'), Progress(1)]
    other: list[Operation] = [Create(RID, '{"b":2000.0,"a":1e-1}'), Progress(1.0)]
    assert operations_digest(plain) == operations_digest(other)


@pytest.mark.parametrize(
    "other",
    [
        [],
        [Close(RID), Close(RID)],
        [Close(uuid.UUID(int=1))],
        [ValidateAfter(RID, 1)],
        [Progress(0.5)],
        [Create(RID, {})],
    ],
)
def test_the_digest_sees_every_real_difference(other: list[Operation]) -> None:
    assert operations_digest(other) != operations_digest([Close(RID)])

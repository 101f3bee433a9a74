from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from determined.errors import InvalidInput
from determined.wire import reports
from determined.wire.experiments import FileJson, NewExperiment, PatchExperiment, file_content
from determined.wire.requests import camel, convert, decode, parse


class Inner(msgspec.Struct, rename="camel"):
    some_number: int = 0


class Outer(msgspec.Struct, rename="camel"):
    plain_field: str = ""
    free_form: dict[str, Any] = {}
    one_inner: Inner | None = None
    many_inner: list[Inner] = []


def test_declared_names_are_respelled_and_free_form_ones_left_alone() -> None:
    data = {
        "plain_field": "x",
        "freeForm": {"snake_case": {"plain_field": 1}},
        "one_inner": {"some_number": "5", "other": 1},
        "many_inner": [{"someNumber": 1.0}, {"some_number": 2}],
        "unknown": {},
    }
    assert convert(data, Outer) == Outer("x", {"snake_case": {"plain_field": 1}}, Inner(5), [Inner(1), Inner(2)])


def test_null_stands_for_the_default_unless_it_has_a_meaning() -> None:
    assert convert({"plainField": None, "manyInner": None, "oneInner": None}, Outer) == Outer()
    patch = convert({"name": None, "resources": {"max_slots": None, "weight": None}}, PatchExperiment)
    assert patch.changes() == {"max_slots": None}


@pytest.mark.parametrize("value", [True, "x", "\uff15", 1.5, [], {}, "5 ", "0x5"])
def test_what_is_no_integer_is_refused_with_its_place(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"oneInner\.someNumber"):
        convert({"oneInner": {"someNumber": value}}, Outer)


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}"])
def test_nothing_is_an_empty_object(body: bytes) -> None:
    assert parse(body, Outer) == Outer()


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        lambda x: st.lists(x) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs", "Cc"])), x),
    )
)
def test_legal_json_passes_unchanged(value: Any) -> None:
    assert decode(json.dumps(value).encode()) == value


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert decode(rb'{"pattern": "a\\u0000b"}') == {"pattern": r"a\u0000b"}
    for body in (rb'["a\u0000b"]', rb'{"a\u0000b": 1}', rb'{"x": ["\\u0000", "\\\u0000"]}'):
        with pytest.raises(InvalidInput, match="NUL"):
            decode(body)


def test_a_key_that_occurs_twice_is_named() -> None:
    with pytest.raises(InvalidInput, match="'lr'"):
        decode(b'{"a": [{"lr": 1, "x": 2, "lr": 3}]}')


@pytest.mark.parametrize(
    ("name", "spelled"), [("steps_completed", "stepsCompleted"), ("id", "id"), ("a_b_c", "aBC"), ("lr", "lr")]
)
def test_camel_case(name: str, spelled: str) -> None:
    assert camel(name) == spelled


@pytest.mark.parametrize(
    ("body", "units"), [(b"12.5", 12.5), (b"40", 40.0), (b"", 0.0), (b'"40"', 40.0), (b'{"progress": 3}', 3.0)]
)
def test_progress_is_a_bare_number(body: bytes, units: float) -> None:
    assert reports.progress(body) == units


@pytest.mark.parametrize("body", [b"true", b"null", b'"x"', b'"NaN"', b'"Infinity"', b"[]", b'{"a": 1}', b"1" * 400])
def test_other_progress_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        reports.progress(body)


def test_non_finite_metrics_become_floats_and_kinds_of_numbers_stay() -> None:
    report = parse(
        b'{"trialRunId":"1","steps_completed":"9223372036854775807","metrics":{"avgMetrics":{"a":"NaN","b":1,"c":1.0}}}',
        reports.ReportedMetrics,
    )
    averages, batches = reports.metrics_of(report)
    assert str(averages) == "{'a': nan, 'b': 1, 'c': 1.0}"
    assert batches is None
    assert report.steps_completed == 2**63 - 1


def test_files_are_decoded_and_folders_have_no_content() -> None:
    assert file_content(FileJson(path="x", content="aGk=")) == b"hi"
    assert file_content(FileJson(path="x", type=53, mode=0o40755)) is None
    assert parse(b'{"model_definition":[{"path":"x","mtime":"1","uid":0}]}', NewExperiment).model_definition == [
        FileJson(path="x", mtime=1)
    ]
    with pytest.raises(InvalidInput):
        file_content(FileJson(path="x", content="a"))

from __future__ import annotations

import enum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
import yaml

from determined.domain.config import document as reading
from determined.domain.config.bounds import MAX_BYTES, MAX_DEPTH, MAX_VALUES
from determined.domain.config.document import Document, read_document
from determined.errors import InvalidConfig, Problem

LOADERS = [getattr(yaml, "CSafeLoader", yaml.SafeLoader), yaml.SafeLoader]


@pytest.fixture(params=LOADERS, ids=["fast", "plain"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's parsers are in use, since the fast one is not on every machine."""
    monkeypatch.setattr(reading, "_LOADER", request.param)


def refusal(source: object) -> Problem:
    with pytest.raises(InvalidConfig) as caught:
        read_document(source)
    [problem] = caught.value.problems
    return problem


def value(text: str) -> Any:
    document = read_document(f"x: {text}\n")
    assert document.problems == ()
    return document.data["x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-2.5e3", -2500.0),
        ("1.0e5", 100000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("no", False),
        ("On", True),
        ("y", "y"),
        ("012", 10),
        ("08", "08"),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("1_000.5", 1000.5),
        ("12:30:00", 45000),
        ("~", None),
        ("", None),
        ("null", None),
        ("2001-12-14", "2001-12-14"),
        ("=", "="),
        ("0x_", "0x_"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("'1'", "1"),
        ("|\n  a\n  b\n", "a\nb\n"),
        (".inf", float("inf")),
    ],
)
def test_plain_scalars_are_read_as_yaml_1_1(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_nan_is_read_as_such() -> None:
    assert value(".NaN") != value(".NaN")


def test_keys_keep_the_text_they_were_written_with() -> None:
    assert read_document("no: 1\n1.0: 2\n~: 3\n").data == {"no": 1, "1.0": 2, "~": 3}


def test_every_place_has_its_line() -> None:
    document = read_document("a: 1\nb:\n  c:\n  - 1\n  - d: 2\n")
    assert document.line(("a",)) == 1
    assert document.line(("b",)) == 2
    assert document.line(("b", "c", 0)) == 4
    assert document.line(("b", "c", 1, "d")) == 5


def test_an_absent_place_has_the_line_of_what_encloses_it() -> None:
    document = read_document("a: 1\nb:\n  c: 1\n")
    assert document.line(("b", "x", "y")) == 2
    assert document.line(("x",)) is None
    assert document.line(()) is None


def test_a_duplicate_key_is_reported_with_both_lines_and_the_first_value_stays() -> None:
    document = read_document("a: 1\nb:\n  c: 1\n  d: 2\n  c: {x: 3}\n")
    assert document.data["b"] == {"c": 1, "d": 2}
    [problem] = document.problems
    assert (problem.path, problem.line) == ("b.c", 5)
    assert "lines 3 and 5" in problem.message


def test_a_quoted_and_an_unquoted_key_can_be_duplicates() -> None:
    assert len(read_document("1: a\n'1': b\n").problems) == 1


def test_aliases_repeat_what_they_name() -> None:
    document = read_document("a: &x {k: [1]}\nb: *x\nc: &t name\n*t : 5\n&u d: 1\ne: *u\n")
    assert document.data == {"a": {"k": [1]}, "b": {"k": [1]}, "c": "name", "name": 5, "d": 1, "e": "d"}
    assert document.problems == ()


def test_merged_mappings_give_what_is_not_there_already() -> None:
    document = read_document("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  z: 3\n  <<: [*b, *a]\nd: {<<: *a}\n")
    assert document.data["c"] == {"z": 3, "y": 2, "x": 1}
    assert document.data["d"] == {"x": 1, "y": 1}
    assert document.line(("c", "x")) == 1


def test_a_quoted_merge_key_is_an_ordinary_key() -> None:
    assert read_document("'<<': 1\n").data == {"<<": 1}


@pytest.mark.parametrize("merged", ["5", "[{a: 1}, 2]", "text"])
def test_only_mappings_can_be_merged(merged: str) -> None:
    [problem] = read_document(f"a:\n  <<: {merged}\n").problems
    assert (problem.path, problem.line) == ("a.<<", 2)


@pytest.mark.parametrize(
    "text",
    ["a: !!python/object:os.system x", "a: !!str 5", "a: !mine {}", "a: !!set []", "!!str a: 1", "a: ! x"],
)
def test_tags_are_refused(text: str) -> None:
    [problem] = read_document(text).problems
    assert "tag" in problem.message
    assert problem.line == 1


@pytest.mark.parametrize(
    ("source", "part", "line"),
    [
        ("", "is empty", None),
        ("# nothing\n", "is empty", None),
        ("null", "is empty", None),
        (b"", "is empty", None),
        ("- a\n", "not a list", 1),
        ("text", "not a single value", 1),
        ("a: 1\n---\nb: 2\n", "second document", 2),
        ("a: 'x\n", "not valid YAML", None),
        ("a: b: c\n", "not valid YAML", 1),
        ("a: 1\nb:\n\tc: 1\n", "tab", 3),
        ("a: 1\n\x00", "NUL", 2),
        ("a: \x07", "U+0007", 1),
        ("a: \ud800", "U+D800", 1),
        (b"a: 1\nb: \xff\xfe", "not UTF-8", 2),
        ("a: 1".encode("utf-16"), "UTF-16", None),
        ("a: 1".encode("utf-16-le"), "UTF-16", 1),
        ("? [a, b]\n: 1\n", "keys are text", 1),
        ("a: &x [1]\n*x : 1\n", "as a key", 2),
        ("a: *x\n", "before &x is defined", 1),
        ("a: &x [*x]\n", "inside of what it stands for", 1),
        ("[" * 1000, f"more than {MAX_DEPTH} levels", 1),
        ("- " * 1000, f"more than {MAX_DEPTH} levels", 1),
        ("a: [" + "1," * MAX_VALUES + "]", f"more than {MAX_VALUES} values", 1),
        ("x" * (MAX_BYTES + 1), "larger than", None),
        ("é" * (MAX_BYTES // 2 + 1), "larger than", None),
        ("%YAML 3.0\n---\na: 1\n", "not valid YAML", 1),
        (None, "not NoneType", None),
        (7, "not int", None),
        ([("a", 1)], "not list", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_cannot_be_read_is_refused_with_place_and_advice(source: object, part: str, line: int | None) -> None:
    problem = refusal(source)
    assert part in problem.message
    assert problem.path == ""
    if line is not None:
        assert problem.line == line


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))
    assert "aliases expanded" in refusal(f"a0: &a0 [x, x]\n{levels}").message


def test_a_long_text_repeated_by_aliases_is_refused() -> None:
    assert "aliases expanded" in refusal(f"a: &a {'x' * 100_000}\nb: [{'*a, ' * 1000}]\n").message


def test_aliases_cannot_pass_the_depth() -> None:
    levels = "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 100))
    assert "levels deep with aliases" in refusal(f"a0: &a0 []\n{levels}").message


def test_an_overlong_number_is_reported_and_reading_goes_on() -> None:
    document = read_document(f"a: {'9' * 401}\nb: 1\n")
    assert document.data == {"a": None, "b": 1}
    assert "too long" in document.problems[0].message


def test_a_nul_written_as_an_escape_is_reported() -> None:
    document = read_document('a: ["x\\0y"]\n')
    assert (document.problems[0].path, document.problems[0].line) == ("a.0", 1)


def test_a_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    assert read_document(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n").data == {"a": 1, "b": 2}
    assert read_document("\ufeffa: 1").data == {"a": 1}
    assert read_document(bytearray(b"a: \xc3\xa9")).data == {"a": "é"}


class Colour(str, enum.Enum):
    RED = "red"


def test_a_mapping_from_python_becomes_plain_data() -> None:
    source = {
        "a": (1, 2.5, None, True),
        "b": {"y", "x"},
        3: Colour.RED,
        False: np.float64(0.5),
        "i": np.int64(7),
        "r": Fraction(1, 2),
        "p": PurePosixPath("/data"),
    }
    document = read_document(source)
    assert document == Document(
        {
            "a": [1, 2.5, None, True],
            "b": ["x", "y"],
            "3": "red",
            "false": 0.5,
            "i": 7,
            "r": 0.5,
            "p": "/data",
        }
    )
    assert type(document.data["3"]) is str
    assert type(document.data["i"]) is int


def test_what_a_configuration_cannot_hold_is_reported_with_its_place() -> None:
    document = read_document({"a": [object()], "b": {(1, 2): 1}, 1: "x", "1": "y", "s": "\ud800", "n\0": 1})
    assert [p.path for p in document.problems] == ["a.0", "b", "1", "s", "n\\x00"]
    assert document.data["a"] == [None]


def test_a_mapping_that_holds_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["a"] = loop
    assert "levels deep" in refusal(loop).message


def test_a_mapping_of_too_many_values_is_refused() -> None:
    assert "values" in refusal({"a": [0] * (MAX_VALUES + 1)}).message


def test_integers_beyond_any_float_do_not_break_a_mapping_from_python() -> None:
    assert read_document({"a": 10**5000}).data == {"a": 10**5000}
    [problem] = read_document({"a": Fraction(10**400)}).problems
    assert (problem.path, problem.message) == ("a", "is too large for a number")

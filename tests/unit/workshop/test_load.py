from __future__ import annotations

from pathlib import Path

import pytest

from determined.errors import InvalidInput
from determined.workshop.load import load_factory
from tests.unit.workshop.search_methods import Halves, HandsOn

HERE = "tests.unit.workshop.search_methods"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def refused(spec: str, **args: object) -> str:
    with pytest.raises(InvalidInput) as caught:
        load_factory(spec, args)()
    return str(caught.value)


def test_each_call_makes_a_new_method_with_the_arguments() -> None:
    factory = load_factory(f"{HERE}:Halves", {"step": 0.1})
    one, other = factory(), factory()
    assert isinstance(one, Halves)
    assert one is not other
    assert one.step == 0.1


def test_what_is_known_fills_in_what_is_asked_for_and_not_given() -> None:
    known = {"step": 0.2, "config": "C", "colour": "blue"}
    made = load_factory(f"{HERE}:Halves", {}, known)()
    given = load_factory(f"{HERE}:Halves", {"step": 0.1}, known)()
    assert isinstance(made, Halves)
    assert isinstance(given, Halves)
    assert (made.step, given.step) == (0.2, 0.1)
    assert isinstance(load_factory(f"{HERE}:make", {}, known)(), Halves)


def test_a_class_that_hands_arguments_on_gets_those_of_its_base() -> None:
    made = load_factory(f"{HERE}:HandsOn", {"size": 3}, {"step": 0.2, "size": 4, "colour": "blue"})()
    assert isinstance(made, HandsOn)
    assert (made.size, made.step) == (3, 0.2)


def test_a_module_of_the_working_directory_is_found(folder: Path) -> None:
    (folder / "mine_and_only.py").write_text(f"from {HERE} import Halves as Mine\n")
    assert isinstance(load_factory("mine_and_only:Mine")(), Halves)


@pytest.mark.parametrize("spec", ["", "x", ":X", "x:", "x.py"])
def test_a_name_of_another_form_is_told_the_right_one(spec: str) -> None:
    assert "write module:Class or module:function" in refused(spec)


def test_a_missing_module_is_told_where_it_was_looked_for(folder: Path) -> None:
    told = refused("no_such_module:X")
    assert f"there is no module 'no_such_module' in {folder}" in told
    assert "without .py" in told


def test_a_module_that_fails_is_told_with_the_place(folder: Path) -> None:
    (folder / "fails_inside.py").write_text("import math\n\nimport not_there_either\n")
    told = refused("fails_inside:X")
    assert "module fails_inside cannot be imported: ModuleNotFoundError" in told
    assert told.endswith(f"({folder}/fails_inside.py, line 3)")
    (folder / "has_no_syntax.py").write_text("x = 1\nif x\n")
    assert refused("has_no_syntax:X").endswith(f"({folder}/has_no_syntax.py, line 2)")
    (folder / "raises_inside.py").write_text("1 / 0\n")
    assert "ZeroDivisionError: division by zero" in refused("raises_inside:X")


def test_a_missing_name_is_told_what_there_is() -> None:
    assert "has no 'Halvs'; did you mean Halves?" in refused(f"{HERE}:Halvs")
    assert "its search methods are: Halves, Flipped, Hurried" in refused(f"{HERE}:zzz")


def test_what_makes_no_method_is_told_what_it_made() -> None:
    assert "is 7, which makes no search method" in refused(f"{HERE}:NOTHING")
    assert "made 7, which is no SearchMethod" in refused(f"{HERE}:nothing")


def test_arguments_that_do_not_fit_are_told_those_that_do() -> None:
    told = refused(f"{HERE}:Halves", size=3)
    assert "cannot be called with size" in told
    assert "it takes (step: 'float' = 0.25)" in told


def test_a_constructor_that_raises_is_told_with_the_place(folder: Path) -> None:
    (folder / "raises_later.py").write_text("def make():\n    raise KeyError('seed')\n")
    assert refused("raises_later:make").endswith(f"KeyError: 'seed' ({folder}/raises_later.py, line 2)")

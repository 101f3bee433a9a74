"""The package as a whole: its public names, how little it imports, and its small helpers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import determined
from determined import ExperimentConfig, import_from_path, util


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_but_its_version() -> None:
    ours = {name for name in modules_after("import determined") if name.startswith("determined")}
    assert ours == {"determined", "determined._version"}


@pytest.mark.parametrize("statement", ["from determined import core", "import determined.exec.launch"])
def test_a_training_process_starts_without_the_heavy_libraries(statement: str) -> None:
    heavy = {
        "rich",
        "fsspec",
        "urllib3",
        "sqlalchemy",
        "starlette",
        "msgspec",
        "numpy",
        "yaml",
        "asyncio",
        "platformdirs",
    }
    assert modules_after(statement) & heavy == set()


def test_a_checkpoint_in_a_local_folder_needs_no_object_store_library(tmp_path: Path) -> None:
    statement = (
        f"from determined import core\nwith core.init(checkpoint_storage={str(tmp_path)!r}) as c:\n"
        "  with c.checkpoint.store_path() as (path, _): (path / 'x').write_text('x')"
    )
    assert modules_after(statement) & {"fsspec", "urllib3"} == set()


def test_public_names_are_there_and_unknown_ones_are_attribute_errors() -> None:
    for name in ("InvalidHP", "get_cluster_info", "core", "errors", "util", "ExperimentConfig", "LOG_FORMAT"):
        assert getattr(determined, name) is not None
        assert name in dir(determined)
    assert determined.InvalidHP is determined.errors.InvalidHP
    assert determined.LOG_FORMAT == "%(levelname)s: [%(process)s] %(name)s: %(message)s"
    with pytest.raises(AttributeError, match="nonsense"):
        _ = determined.nonsense


def test_json_text_may_come_from_numbers_of_other_libraries() -> None:
    text = util.json_encode({"b": np.float32(0.5), "a": [math.nan, np.int8(1)]}, sort_keys=True)
    assert json.loads(text) == {"a": ["NaN", 1], "b": 0.5}
    with pytest.raises(TypeError):
        util.json_encode(object())


def test_a_configuration_answers_questions() -> None:
    config = ExperimentConfig(entrypoint=["a", "b"], resources={"slots_per_trial": 2}, searcher={"metric": "loss"})
    assert (config.get_entrypoint(), config.slots_per_trial(), config.get_searcher_metric()) == (["a", "b"], 2, "loss")
    assert (config.debug_enabled(), config.experiment_seed(), config.get_checkpoint_storage()) == (False, 0, {})
    for bad in ({}, {"entrypoint": 3, "searcher": None}):
        with pytest.raises(ValueError, match="entrypoint"):
            ExperimentConfig(bad).get_entrypoint()
        with pytest.raises(ValueError, match="metric"):
            ExperimentConfig(bad).get_searcher_metric()


@pytest.mark.parametrize(
    ("text", "expected"), [("model_def:Trial", True), ("python3 x.py", False), ("a:b c", False), ("a.b:C", True)]
)
def test_a_legacy_trial_class_is_told_from_a_command(text: str, expected: bool) -> None:
    assert util.match_legacy_trial_class(text) is expected


def test_two_versions_of_a_module_can_be_imported_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("new", "old"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "versioned_model.py").write_text(f"version = {version!r}\n")
    monkeypatch.chdir(tmp_path / "new")
    monkeypatch.syspath_prepend(str(tmp_path / "new"))
    import versioned_model as new  # type: ignore[import-not-found]

    with import_from_path(tmp_path / "old"):
        import versioned_model as old

        with pytest.raises(RuntimeError, match="in use"), import_from_path(tmp_path):
            pytest.fail("entered")
    assert (new.version, old.version) == ("new", "old")
    assert sys.modules.pop("versioned_model") is new
    assert list((tmp_path / "old").iterdir()) == [tmp_path / "old" / "versioned_model.py"]

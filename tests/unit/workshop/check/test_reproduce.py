"""The file that a check writes shows the fault again, without Hypothesis, as a script and as a test."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from determined.domain.search_method import SearchMethod
from determined.errors import InvalidInput
from determined.testing import CheckFailed, check_cost, check_search_method, replay_story
from determined.workshop.check import Kind
from tests.unit.workshop.check import plants
from tests.unit.workshop.check.small_halving import SmallHalving

ROOT = Path(__file__).parents[4]


def written(factory: Callable[..., SearchMethod] | str, folder: Path, **more: object) -> tuple[Path, CheckFailed]:
    path = folder / "again.py"
    with pytest.raises(CheckFailed) as found:
        check_search_method(factory, write=path, **more)  # type: ignore[arg-type]  # any of its arguments
    assert found.value.file == str(path)
    assert str(found.value).endswith(f"To see it again: python {path}")
    return path, found.value


def ran(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # A module that is None cannot be imported.
    command = f"import sys, runpy; sys.modules['hypothesis'] = None; runpy.run_path({str(path)!r}, run_name='__main__')"
    start = list(words) or ["-c", command]
    return subprocess.run(
        [sys.executable, *start], cwd=ROOT, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)}
    )


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "N", text)


@pytest.mark.parametrize(
    "faulty",
    [plants.ForgetsToClose, plants.CrashesOnNaN, plants.CountsInItsClass, plants.ScansEveryResult],
    ids=lambda cls: cls.__name__,
)
def test_the_file_fails_as_a_script_with_the_same_finding(faulty: type[SmallHalving], tmp_path: Path) -> None:
    path, failed = written(faulty, tmp_path, other_processes=False)
    done = ran(path)
    assert done.returncode == 1
    assert f"CheckFailed: {faulty.__name__}: {failed.finding.kind.value}" in done.stderr
    # Whatever else traces this process takes steps of its own, which the other one does not.
    assert without_numbers(str(failed.finding).splitlines()[0]) in without_numbers(done.stderr)


def test_the_file_fails_as_a_test(tmp_path: Path) -> None:
    path, failed = written(plants.IgnoresEarlyExits, tmp_path, other_processes=False)
    done = ran(path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(path))
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert f"=> {failed.finding.kind.value}" in done.stdout


def test_the_file_passes_when_the_fault_is_mended(tmp_path: Path) -> None:
    path, _ = written(plants.CrashesOnNaN, tmp_path, other_processes=False)
    path.write_text(path.read_text().replace("plants:CrashesOnNaN", "small_halving:SmallHalving"))
    assert ran(path).returncode == 0


def test_an_order_of_sets_is_shown_again(tmp_path: Path) -> None:
    path, _ = written(plants.TakesTheOrderOfASet, tmp_path, cost=False)
    assert "other_processes=True" in path.read_text()
    done = ran(path)
    assert done.returncode == 1
    assert "the same events get different answers" in done.stderr


def test_arguments_and_expectations_are_kept(tmp_path: Path) -> None:
    make = functools.partial(SmallHalving, max_trials=2)
    path, _ = written(make, tmp_path, args={"concurrent": 1}, max_trials=1)
    text = path.read_text()
    assert "args={'max_trials': 2, 'concurrent': 1}," in text
    assert "        max_trials=1,\n" in text
    assert ran(path).returncode == 1


def test_the_form_of_a_metric_is_kept(tmp_path: Path) -> None:
    path, failed = written(SmallHalving, tmp_path, metric='{"loss": "METRIC"}')
    assert failed.finding.kind is Kind.RAISES
    assert """metric='{"loss": "METRIC"}',""" in path.read_text()
    assert "TypeError" in ran(path).stderr


def test_a_built_in_method_is_made_from_its_configuration(tmp_path: Path) -> None:
    config = {
        "searcher": {"name": "random", "metric": "loss", "max_length": 4, "max_trials": 5},
        "hyperparameters": {"x": {"type": "double", "minval": 0, "maxval": 1}},
    }
    path, _ = written(None, tmp_path, config=config, max_trials=4)  # type: ignore[arg-type]  # it is named there
    done = ran(path)
    assert "but max_trials is 4" in done.stderr


def test_what_cannot_be_imported_is_left_to_the_reader(tmp_path: Path) -> None:
    path, _ = written(lambda: plants.ForgetsToClose(), tmp_path)
    assert 'raise NotImplementedError("make the search method here' in path.read_text()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere.*cannot be written: No such file or directory"):
        check_search_method(plants.ForgetsToClose, write=tmp_path / "nowhere" / "again.py")


def test_a_story_can_be_replayed_by_hand() -> None:
    replay_story(SmallHalving, moves=[("answer", "", 1), ("crash", "a", 0), ("no such thing", "a", 0)], workers=1)
    with pytest.raises(CheckFailed, match="cannot convert float NaN to integer"):
        replay_story(plants.CrashesOnNaN, moves=[("answer", "", 0), ("validate", "a", float("nan"))])


def test_costs_can_be_compared_by_hand() -> None:
    small, large = check_cost(SmallHalving)
    assert large < 1.05 * small
    with pytest.raises(CheckFailed, match="the cost of an event grows"):
        check_cost(plants.AsksEveryTrial)
    with pytest.raises(InvalidInput, match="<lambda> has no arguments, so none says how many trials"):
        check_cost(lambda: SmallHalving())

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from determined.errors import CorruptState, FailedPrecondition, RunnerBusy
from determined.searcher.folder import SearcherFolder


def test_the_same_intent_is_found_again(tmp_path: Path) -> None:
    intent = SearcherFolder(tmp_path).decide("cluster", "http://localhost")
    assert SearcherFolder(tmp_path).decide("cluster", "http://elsewhere") == intent
    assert len(intent.client_key) <= 128


def test_the_experiment_is_found_again(tmp_path: Path) -> None:
    folder = SearcherFolder(tmp_path / "a" / "b")
    assert folder.experiment_id() is None
    folder.record_experiment(17)
    assert SearcherFolder(tmp_path / "a" / "b").experiment_id() == 17


def test_an_experiment_id_written_by_hand_may_have_blanks_around_it(tmp_path: Path) -> None:
    (tmp_path / "experiment_id.txt").write_text(" 17\n")
    assert SearcherFolder(tmp_path).experiment_id() == 17


@pytest.mark.parametrize("content", ["", "x", "-3", "1.5", "\u0663", "1 2"])
def test_an_unreadable_experiment_id_without_an_intent_is_explained(tmp_path: Path, content: str) -> None:
    (tmp_path / "experiment_id.txt").write_text(content)
    with pytest.raises(CorruptState, match="det e list"):
        SearcherFolder(tmp_path).experiment_id()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 1, "clientKey": 3}'])
def test_a_damaged_intent_is_explained(tmp_path: Path, content: str) -> None:
    (tmp_path / "intent.json").write_text(content)
    with pytest.raises(CorruptState, match="damaged"):
        SearcherFolder(tmp_path).decide("", "")


def test_an_intent_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "intent.json").write_text('{"format": 2, "clientKey": "k"}')
    with pytest.raises(CorruptState, match="upgrade"):
        SearcherFolder(tmp_path).intent()


def test_another_master_is_refused_but_an_unknown_one_is_not(tmp_path: Path) -> None:
    folder = SearcherFolder(tmp_path)
    folder.check_cluster("any", "http://any")
    folder.decide("first", "http://first")
    folder.check_cluster("first", "http://moved")
    folder.check_cluster("", "http://mute")
    with pytest.raises(FailedPrecondition, match="http://first"):
        folder.check_cluster("second", "http://second")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(FileExistsError, match="no folder"):
        SearcherFolder(tmp_path / "x")


def test_a_folder_is_held_by_one_process_at_a_time_and_free_after_its_death(tmp_path: Path) -> None:
    """A runner that was killed leaves no lock behind that a person would have to remove."""
    code = """
        import sys
        from pathlib import Path
        from determined.searcher.folder import SearcherFolder

        with SearcherFolder(Path(sys.argv[1])).held():
            print("held", flush=True)
            sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    folder = SearcherFolder(tmp_path)
    with pytest.raises(RunnerBusy, match=f"process {holder.pid}"), folder.held():
        pass
    holder.kill()
    holder.communicate()
    with folder.held():
        assert (tmp_path / ".searcher.pid").read_text() == str(os.getpid())
    with folder.held():
        pass

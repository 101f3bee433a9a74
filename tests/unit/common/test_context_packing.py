from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest

from determined.common.context import list_context, read_context
from determined.errors import InvalidContext


@pytest.fixture
def model(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "pkg" / "deep").mkdir(parents=True)
    (root / "train.py").write_bytes(b"print(1)\n")
    (root / "pkg" / "__init__.py").touch()
    (root / "pkg" / "deep" / "data.bin").write_bytes(bytes(range(256)))
    return root


def paths(root: Path, *includes: Path) -> list[str]:
    return [entry.path for entry in list_context(root, includes)]


def test_files_are_packed_with_parents_before_children(model: Path) -> None:
    assert paths(model) == ["pkg", "pkg/__init__.py", "pkg/deep", "pkg/deep/data.bin", "train.py"]


def test_an_entry_has_the_form_of_the_wire(model: Path) -> None:
    os.utime(model / "train.py", (1_700_000_000.9, 1_700_000_000.9))
    (model / "train.py").chmod(0o755)
    packed = {entry["path"]: entry for entry in read_context(model)}
    assert packed["train.py"] == {
        "path": "train.py",
        "type": 48,
        "content": base64.b64encode(b"print(1)\n").decode(),
        "mode": stat.S_IFREG | 0o755,
        "mtime": "1700000000",
        "uid": 0,
        "gid": 0,
    }
    assert packed["pkg"]["type"] == 53
    assert packed["pkg"]["content"] == ""
    assert stat.S_ISDIR(packed["pkg"]["mode"])
    assert base64.b64decode(packed["pkg/deep/data.bin"]["content"]) == bytes(range(256))


def test_what_nobody_wants_is_left_out(model: Path) -> None:
    for name in ("__pycache__", ".git", ".vscode", ".idea", ".mypy_cache", "shared_fs", "terraform.d"):
        (model / name).mkdir()
        (model / name / "x").touch()
    for name in ("a.pyc", "b.pyo", "c$py.class", ".terraform.lock", "pkg/d.pyc"):
        (model / name).touch()
    assert paths(model) == ["pkg", "pkg/__init__.py", "pkg/deep", "pkg/deep/data.bin", "train.py"]


def test_detignore_leaves_out_and_lets_back_in(model: Path) -> None:
    (model / ".detignore").write_text("# comment\n*.bin\n/out/\n!keep.pyc\n")
    (model / "out").mkdir()
    (model / "out" / "x").touch()
    (model / "pkg" / "out").mkdir()
    (model / "keep.pyc").touch()
    assert paths(model) == ["keep.pyc", "pkg", "pkg/__init__.py", "pkg/deep", "pkg/out", "train.py"]


def test_includes_come_under_their_own_names(model: Path, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "util.py").touch()
    (tmp_path / "lib" / "skip.txt").touch()
    (tmp_path / "lib" / ".detignore").write_text("*.txt")
    (tmp_path / "notes.md").touch()
    assert paths(model, tmp_path / "lib", tmp_path / "notes.md")[-3:] == ["lib", "lib/util.py", "notes.md"]


def test_a_single_file_is_a_model_definition_too(model: Path) -> None:
    assert paths(model / "train.py") == ["train.py"]


def test_no_root_and_no_includes_is_empty() -> None:
    assert read_context(None) == []


def test_an_include_that_clashes_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.py").touch()
    with pytest.raises(InvalidContext, match=r"would both become 'train\.py'"):
        paths(model, tmp_path / "other" / "train.py")


def test_an_include_without_a_name_is_refused(model: Path) -> None:
    with pytest.raises(InvalidContext, match="has no name"):
        paths(model, Path("/"))


def test_too_much_is_refused_with_the_largest_files(model: Path) -> None:
    (model / "weights.bin").write_bytes(b"x" * 3000)
    (model / "small.bin").write_bytes(b"x" * 1000)
    with pytest.raises(InvalidContext, match=r"(?s)has 4\.2KB, and 4\.0KB are allowed.*weights\.bin\n.*small\.bin"):
        read_context(model, limit_bytes=4096)
    assert len(read_context(model, limit_bytes=3000 + 1000 + 256 + 9)) == 7


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidContext, match="No such file or directory"):
        read_context(tmp_path / "nowhere")


def test_links_inside_are_packed_as_what_they_lead_to(model: Path) -> None:
    (model / "again.py").symlink_to("train.py")
    (model / "pkg2").symlink_to("pkg")
    packed = {entry["path"]: entry for entry in read_context(model)}
    assert packed["again.py"]["content"] == packed["train.py"]["content"]
    assert packed["pkg2/deep/data.bin"]["content"] == packed["pkg/deep/data.bin"]["content"]


def test_links_to_the_outside_are_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (model / "leak").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidContext, match=r"links to .*secret, outside of"):
        read_context(model)
    (model / ".detignore").write_text("leak\n")
    assert "leak" not in paths(model)


def test_links_to_outside_folders_are_refused(model: Path, tmp_path: Path) -> None:
    (model / "pkg" / "up").symlink_to(tmp_path)
    with pytest.raises(InvalidContext, match="outside of"):
        read_context(model)


def test_link_loops_and_dead_links_are_refused(model: Path) -> None:
    (model / "pkg" / "loop").symlink_to(model)
    with pytest.raises(InvalidContext, match="links back"):
        read_context(model)
    (model / "pkg" / "loop").unlink()
    (model / "dead").symlink_to("nothing")
    with pytest.raises(InvalidContext, match="links to nothing"):
        read_context(model)


def test_pipes_are_refused(model: Path) -> None:
    os.mkfifo(model / "pipe")
    with pytest.raises(InvalidContext, match="neither a file nor a folder"):
        read_context(model)


def test_names_that_are_not_text_are_refused(model: Path) -> None:
    Path(os.fsdecode(os.fsencode(model) + b"/bad\xff")).touch()
    with pytest.raises(InvalidContext, match="not UTF-8"):
        read_context(model)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_unreadable_files_are_refused(model: Path) -> None:
    (model / "train.py").chmod(0)
    with pytest.raises(InvalidContext, match="Permission denied"):
        read_context(model)

"""The lint that wants a step's name for every change of files sees the ways in which files are changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import durable_calls

CHANGES = [
    'os.replace("a", "b")',
    "os.fsync(1)",
    'os.open("a", os.O_WRONLY)',
    'shutil.rmtree("a")',
    'Path("a").write_text("b")',
    'Path("a").replace("b")',
    "path.unlink(missing_ok=True)",
    'open("a", "wb")',
    'path.open("ab")',
]
READS = [
    'open("a")',
    'open("a", "rb")',
    '"a".replace("b", "c")',
    'os.open("a", os.O_RDONLY)',
    "structs.replace(a, b=1)",
]


def found(tmp_path: Path, body: str) -> list[str]:
    module = tmp_path / "module.py"
    module.write_text(body)
    return list(durable_calls.offences(module, "module.py"))


@pytest.mark.parametrize("call", CHANGES)
def test_a_change_without_a_name_is_refused(call: str, tmp_path: Path) -> None:
    assert len(found(tmp_path, f"def change(path):\n    {call}\n")) == 1
    assert len(found(tmp_path, f"{call}\n")) == 1


@pytest.mark.parametrize("call", CHANGES)
def test_a_change_with_a_name_is_fine(call: str, tmp_path: Path) -> None:
    assert found(tmp_path, f'def change(path):\n    with files.action("a.change"):\n        {call}\n') == []


def test_a_name_in_another_function_does_not_count(tmp_path: Path) -> None:
    assert len(found(tmp_path, 'def a():\n    step("a")\n\ndef b():\n    os.rmdir("b")\n')) == 1


@pytest.mark.parametrize("call", READS)
def test_reading_needs_no_name(call: str, tmp_path: Path) -> None:
    assert found(tmp_path, f"def read():\n    {call}\n") == []


def test_every_exemption_is_still_needed() -> None:
    for entry in durable_calls.EXEMPT:
        assert (durable_calls.PACKAGE / entry.partition(":")[0]).exists(), entry

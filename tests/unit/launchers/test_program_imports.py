"""What is loaded before a program starts: what it imports at its top level, but nothing of its own."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from determined.launchers.entrypoint import python_words
from determined.launchers.imports import MAX_FILES, imports_of

PATH = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import json, xml.dom", ("json", "xml.dom")),
        ("from xml import dom as d, sax", ("xml", "xml:dom", "xml:sax")),
        ("from xml.dom import *", ("xml.dom",)),
        ("from __future__ import annotations", ()),
        ("try:\n    import wave\nexcept ImportError:\n    import json", ("wave",)),
        ("def f():\n    import json\nif False:\n    import wave", ()),
        ("from . import near\nfrom .near import x", ()),
        ("import json as a\nimport json as b", ("json",)),
        ("import (", ()),
        ("", ()),
    ],
)
def test_only_imports_that_are_made_at_the_start_count(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    assert imports_of(written(tmp_path, {"train.py": text}), ("train.py",)) == expected


def test_modules_of_the_program_are_read_but_not_named(tmp_path: Path) -> None:
    files = {
        "sub/train.py": "import near, top, pack.inner\nfrom pack import other",
        "sub/near.py": "import wave\nimport train",
        "top.py": "import json",
        "pack/__init__.py": "import csv",
        "pack/inner.py": "import bz2",
    }
    assert imports_of(written(tmp_path, files), ("sub/train.py",)) == ("bz2", "csv", "json", "wave")


def test_a_program_may_be_a_module_or_a_package(tmp_path: Path) -> None:
    files = {"pack/__init__.py": "", "pack/__main__.py": "import wave", "pack/train.py": "import json"}
    folder = written(tmp_path, files)
    assert imports_of(folder, ("-m", "pack.train", "--x")) == ("json",)
    assert imports_of(folder, ("-m", "json.tool")) == ()
    assert imports_of(folder, ("missing.py",)) == ()


def test_a_program_of_very_many_files_is_read_in_part(tmp_path: Path) -> None:
    files = {f"m{n}.py": f"import m{n + 1}" for n in range(2 * MAX_FILES)}
    files[f"m{2 * MAX_FILES}.py"] = "import wave"
    assert imports_of(written(tmp_path, files), ("m0.py",)) == ()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("python3", "train.py", "--lr", "1"), ("train.py", "--lr", "1")),
        (("python", "-u", "train.py"), ("train.py",)),
        ((sys.executable, "-m", "pack.train"), ("-m", "pack.train")),
        (("sh", "-c", "python3 train.py --lr 1"), ("train.py", "--lr", "1")),
        (("sh", "-c", "python3 train.py > out"), None),
        (("sh", "-c", "LR=1 python3 train.py"), None),
        (("sh", "-c", "cd x && python3 train.py"), None),
        (("python3",), None),
        (("python3", "-m"), None),
        (("python3", "-c", "print(1)"), None),
        (("python3", "-O", "train.py"), None),
        (("/usr/bin/env", "python3", "train.py"), None),
        (("torchrun", "train.py"), None),
        (("no-such-command",), None),
        ((), None),
    ],
)
def test_only_plain_calls_of_this_interpreter_can_be_forked(
    argv: tuple[str, ...], expected: tuple[str, ...] | None
) -> None:
    assert python_words(argv, PATH) == expected


def test_an_interpreter_of_another_environment_is_another_interpreter(tmp_path: Path) -> None:
    tmp_path.joinpath("python3").symlink_to(sys.executable)
    assert python_words(("python3", "train.py"), {"PATH": f"{tmp_path}:{PATH['PATH']}"}) is None


def test_programs_are_read_at_the_same_time_while_garbage_is_collected(tmp_path: Path) -> None:
    """Two runs were prepared at once: SystemError, "AST constructor recursion depth mismatch". The second one never
    started, and its trial waited for ever."""
    text = "import json\n" + "def f(a):\n    return [a, {a: (a, 1)}]\n" * 500
    folder = written(tmp_path, {"train.py": text})

    def deeper(calls: int) -> tuple[str, ...]:
        return deeper(calls - 1) if calls else imports_of(folder, ("train.py",))

    def hand_over(*_: Any) -> None:
        folder.stat()

    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.callbacks.append(hand_over)
    gc.set_threshold(50)
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(deeper, [0, 10, 20, 30] * 2)) == [("json",)] * 8
    finally:
        gc.callbacks.remove(hand_over)
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)

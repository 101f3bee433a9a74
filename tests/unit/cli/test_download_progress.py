"""What people see of a download."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from determined.cli.transfer import progress
from determined.common.objects.transfer import Moved

SCRIPT = """
from determined.cli.transfer import progress
from determined.common.objects.transfer import Moved
with progress(False) as tell:
    tell(Moved(2, 3_000_000))
    tell(Moved(2, 3_000_000, 2, 3_000_000))
"""


def test_without_a_terminal_there_are_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(False) as tell:
        assert tell is not None
        for done in range(101):
            tell(Moved(4, 200_000_000, done // 25, done * 2_000_000))
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "Downloaded 0 of 4 files, 20.0 of 200.0 MB"
    assert lines[-1] == "Downloaded 4 of 4 files, 200.0 of 200.0 MB"


def test_who_wants_quiet_has_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with progress(True) as tell:
        assert tell is None
    monkeypatch.setenv("DET_PROGRESS", "0")
    with progress(False) as tell:
        assert tell is None
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar() -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    env.pop("DET_PROGRESS", None)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=theirs, env=env)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1000):
            shown += piece
    except OSError:
        pass  # Linux says it in this way when the other end is closed.
    finally:
        os.close(ours)
    assert process.wait() == 0
    assert "2 of 2 files" in shown.decode()
    assert "3.0/3.0 MB" in shown.decode()

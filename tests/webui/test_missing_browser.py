"""Where there is no browser, developers are told what was skipped, and CI fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALSO_THERE = ("bash", "dirname", "env")


def stub(folder: Path, name: str, does: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{does}\n")
    path.chmod(0o755)


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """The only folder on the path: it has no browser, and a make that tells whether tests must have one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ALSO_THERE:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    stub(folder, "id", "echo 0")
    stub(folder, "make", 'echo "make $*, browser $DET_TEST_BROWSER"')
    return folder


def ci(commands: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(commands)}
    return subprocess.run([str(ROOT / ".ci" / "run")], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("apt", "user", "told"),
    [
        ("echo 'E: no route to the mirror' >&2; exit 100", "0", "no route to the mirror"),
        ('[ "$3" = update ] || { echo "E: no such package"; exit 100; }', "0", "no such package"),
        ("exit 0", "0", "no browser is on the path"),
        ("exit 0", "1000", "this is not root"),
        (None, "0", "only where there is apt-get"),
    ],
    ids=["no network", "no package", "nothing installed", "not root", "no apt-get"],
)
def test_ci_fails_at_once_and_says_why_there_is_no_browser(
    commands: Path, apt: str | None, user: str, told: str
) -> None:
    if apt is not None:
        stub(commands, "apt-get", apt)
    stub(commands, "id", f"echo {user}")
    ran = ci(commands)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "CI needs Chromium" in ran.stderr
    assert told in ran.stderr


def test_ci_installs_a_browser_where_it_may_and_tells_the_tests_that_there_must_be_one(commands: Path) -> None:
    chmod = shutil.which("chmod")
    install = f'for last; do :; done; [ "$last" != chromium ] || {{ echo > {commands}/chromium; {chmod} +x $_; }}'
    stub(commands, "apt-get", install.replace("$_", f"{commands}/chromium"))
    ran = ci(commands)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "make check coverage test COVERED=1, browser required\n"


@pytest.mark.parametrize("needs", ["", "required"])
def test_tests_in_a_browser_are_skipped_or_failed_and_say_what_is_missing(commands: Path, needs: str) -> None:
    env = {**os.environ, "PATH": str(commands), "DET_TEST_BROWSER": needs}
    test = "tests/webui/test_shell.py::test_the_theme_is_switched_by_key_and_kept"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rsE", "-q", test]
    ran = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "none of chromium, chromium-browser, google-chrome, chrome is installed" in ran.stdout
    assert ("1 error" if needs else "1 skipped") in ran.stdout
    assert ran.returncode == (1 if needs else 0), ran.stdout

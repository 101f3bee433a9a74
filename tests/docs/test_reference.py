"""The reference is complete and up to date, and no link leads nowhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links

DOCS = ROOT / "docs"


def test_generated_parts_are_up_to_date() -> None:
    command = [sys.executable, str(DOCS / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}; run python docs/generate.py"


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{link}: {target.name} has no such heading"


def test_every_page_can_be_reached_from_the_index() -> None:
    index = (DOCS / "index.md").read_text()
    missing = [p.name for p in DOCS.glob("*.md") if p.name != "index.md" and f"({p.name})" not in index]
    assert missing == []


def test_every_variable_of_the_environment_is_documented() -> None:
    told = set(re.findall(r"\bDET_[A-Z_]+\b", (DOCS / "master.md").read_text()))
    read = set()
    for path in (ROOT / "determined").rglob("*.py"):
        if "testing" not in path.parts:
            read |= set(re.findall(r"\"(DET_[A-Z_]+[A-Z])\"", path.read_text()))
    assert read - told == set()

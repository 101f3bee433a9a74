"""Every example in the documentation runs, in the order of its page, on a master of the page's own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from determined.domain.config import ConfigDefaults, parse_config
from determined.testing.cluster import LocalMaster
from tests.docs.pages import LANGUAGES, PAGES, ROOT, Block, blocks

RUNS = {path: [b for b in blocks(path.read_text()) if b.language in ("python", "bash", "check")] for path in PAGES}
DEFAULTS = ConfigDefaults(checkpoint_storage={"type": "shared_fs", "host_path": "/checkpoints"}, name="n", seed=0)
FILLER = {"entrypoint": "python3 train.py", "searcher": {"name": "custom", "metric": "loss"}}
CLAIM = re.compile(r"experiments? (?P<ids>[\d, ]+) (?:is|are) (?P<state>[A-Z_]+)(?:, and the last is (?P<last>\d+))?")


class Page:
    """A page being run: its folder, and how programs are started."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self.folder = folder
        self.env = {**env, "PATH": f"{Path(sys.executable).parent}:{env['PATH']}"}

    def play(self, block: Block) -> None:
        if "not run" in block.notes:
            return
        if block.language == "check":
            self.check(block.text)
        elif "file" in block.notes:
            path = self.folder / block.notes["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.filled)
        elif block.language == "python":
            self.run([sys.executable, "-c", block.filled], block)
        elif block.language == "bash":
            self.run(["bash", "-euo", "pipefail", "-c", block.filled], block)

    def run(self, command: list[str], block: Block) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"line {block.line}:\n{block.text}\n{done.stdout}\n{done.stderr}"
        expected = re.findall(r"^# (\S.*)$", block.text, re.MULTILINE) if block.language == "python" else []
        assert not expected or done.stdout.splitlines() == expected, f"line {block.line} prints:\n{done.stdout}"
        return done.stdout

    def check(self, claim: str) -> None:
        found = CLAIM.fullmatch(claim)
        assert found, f"nobody knows how to check {claim!r}"
        told = self.run(["det", "experiment", "list", "--json"], Block(0, "bash", "det experiment list --json"))
        states = {int(e["id"]): e["state"] for e in json.loads(told)}
        named = [int(number) for number in found["ids"].split(", ")]
        assert {number: states[number] for number in named} == dict.fromkeys(named, f"STATE_{found['state']}")
        assert found["last"] is None or max(states) == int(found["last"])


@contextmanager
def running(path: Path, tmp_path: Path) -> Iterator[Page]:
    folder = tmp_path / "page"
    shutil.copytree(ROOT / "examples", folder / "examples")
    # Nobody starts a master for the page: like its reader, it finds none, and one starts by itself.
    page = Page(LocalMaster(tmp_path / "master").env, folder)
    try:
        yield page
    finally:
        page.run(["det", "deploy", "local", "cluster-down", "--kill-trials"], Block(0, "bash"))


def needs_master(path: Path) -> bool:
    return any("not run" not in b.notes for b in RUNS[path])


@pytest.mark.parametrize("path", [p for p in PAGES if needs_master(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_page_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    with running(path, tmp_path) as page:
        for block in blocks(path.read_text()):
            page.play(block)


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_that_are_not_run_are_what_they_say(path: Path) -> None:
    for block in blocks(path.read_text()):
        assert block.language in (*LANGUAGES, "check"), f"line {block.line}: a block of {block.language!r}"
        if block.language == "json":
            json.loads(block.text)
        if block.language == "yaml":
            # A piece of a configuration stands on its own in every respect but these two.
            parse_config({**FILLER, **yaml.safe_load(block.text)}, DEFAULTS)
        if "source" in block.notes:
            source = (ROOT / block.notes["source"]).read_text()
            assert block.text.strip() in source, f"line {block.line} is not in {block.notes['source']}"

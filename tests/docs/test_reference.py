"""The reference is complete and up to date, and no link leads nowhere."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from determined import core, searcher
from determined.domain.config import ConfigDefaults, parse_config
from determined.experimental import client
from tests.docs.pages import PAGES, ROOT, anchors, links

DOCS = ROOT / "docs"
STORAGE = {"type": "shared_fs", "host_path": "/checkpoints"}


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


SEARCHERS: tuple[Mapping[str, Any], ...] = (
    {"name": "custom"},
    {"name": "single", "max_length": 1},
    {"name": "random", "max_length": 1, "max_trials": 1},
    {"name": "grid", "max_length": 1},
)


def test_every_field_of_the_configuration_is_documented() -> None:
    page = (DOCS / "configuration.md").read_text()
    missing = set()
    for method in SEARCHERS:
        source = {"entrypoint": "x", "searcher": {"metric": "m", **method}}
        defaults = ConfigDefaults(checkpoint_storage=STORAGE, name="n", seed=0)
        for path in _paths(parse_config(source, defaults).complete):
            if f"`{path}`" not in page:
                missing.add(path)
    assert missing == set()


def _paths(value: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for key, inner in value.items():
        path = f"{before}{key}"
        if isinstance(inner, Mapping) and inner and path != "min_checkpoint_period":
            yield from _paths(inner, f"{path}.")
        else:
            yield path


@pytest.mark.parametrize(
    ("page", "names"),
    [("searcher.md", searcher.__all__), ("client.md", client.__all__)],
)
def test_every_public_name_is_documented(page: str, names: list[str]) -> None:
    text = (DOCS / page).read_text()
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_every_method_of_the_core_api_is_documented() -> None:
    text = (DOCS / "core-api.md").read_text()
    contexts = (
        core.TrainContext,
        core.SearcherContext,
        core.SearcherOperation,
        core.CheckpointContext,
        core.PreemptContext,
        core.DistributedContext,
    )
    missing = [
        f"{context.__name__}.{name}"
        for context in contexts
        for name, _ in inspect.getmembers(context, inspect.isfunction)
        if not name.startswith("_") and f"`{name}" not in text and f".{name}" not in text
    ]
    assert missing == []


def test_every_variable_of_the_environment_that_users_set_is_documented() -> None:
    text = "".join((DOCS / page).read_text() for page in ("master.md", "cli.md", "core-api.md", "searcher.md"))
    read = set()
    for path in (ROOT / "determined").rglob("*.py"):
        if "testing" not in path.parts:
            read |= set(re.findall(r"environ(?:\.get\(|\[)\"(DET_\w+)\"", path.read_text()))
    assert [name for name in sorted(read) if name not in text] == []

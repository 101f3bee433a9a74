"""`pip install .` where there is no Node: the pages are built, installed, and served by its master."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import httpx
import pytest

from determined.testing.cluster import LocalMaster

ROOT = Path(__file__).parents[2]
BUILT = ("webui_static*", "node_modules", "__pycache__")
SOURCES = ("determined", "webui", "hatch_build.py", "pyproject.toml", "README.md")


def path_without_node(folder: Path) -> str:
    """A path with all commands of this machine but those of Node."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for command in Path(place).glob("*") if place else ():
            if command.name not in ("node", "nodejs", "npm", "npx") and not (folder / command.name).exists():
                (folder / command.name).symlink_to(command.absolute())
    return str(folder)


@pytest.mark.timeout(600)
def test_an_installation_without_node_has_the_pages_and_serves_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, installed = tmp_path / "source", tmp_path / "venv"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns(*BUILT))
        else:
            shutil.copy(ROOT / name, source / name)
    # Whatever runs from here on finds neither a Node nor the sources.
    monkeypatch.setenv("PATH", path_without_node(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    assert shutil.which("node") is None
    assert shutil.which("npm") is None
    venv.create(installed, symlinks=True)
    python = installed / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]

    asked = "import determined; print(determined.__path__[0])"
    package = Path(subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip())
    assert package.is_relative_to(installed)
    index = package / "webui_static" / "index.html"
    assets = sorted((package / "webui_static" / "assets").rglob("*.js"))
    assert assets
    monkeypatch.setattr(sys, "executable", str(python))
    with LocalMaster(tmp_path / "master") as master, httpx.Client(base_url=master.url) as client:
        assert client.get("/experiments").text == index.read_text()
        for asset in assets:
            answer = client.get(f"/{asset.relative_to(index.parent).as_posix()}")
            assert (answer.status_code, answer.content) == (200, asset.read_bytes())

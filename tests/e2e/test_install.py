"""`pip install .` where there is no Node: the pages are built, installed, and served by its master."""

from __future__ import annotations

import os
import re
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
# What pip and npm print when it is the way to an index that fails, and not what is installed.
_NO_WAY = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|[Rr]ead ?[Tt]imed? ?out|ProxyError|Max retries exceeded"
    r"|ConnectionResetError|RemoteDisconnected|ENOTFOUND|EAI_AGAIN|ECONN[A-Z]+|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH"
    r"|is the npm registry reached|HTTP error 5\d\d|\b50[234] (?:Server Error|Bad Gateway|Service Unavailable|Gateway)"
)
EVERYWHERE = "hatchling"
"""A package that every index has, as whatever is installed from its sources needs it."""
SOURCES = ("determined", "webui", "hatch_build.py", "pyproject.toml", "README.md")


def path_without_node(folder: Path) -> str:
    """A path with all commands of this machine but those of Node."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for command in Path(place).glob("*") if place else ():
            if command.name not in ("node", "nodejs", "npm", "npx") and not (folder / command.name).exists():
                (folder / command.name).symlink_to(command.absolute())
    return str(folder)


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)


def no_index(printed: str, folder: Path) -> str | None:
    """Why no index of packages answers, by what an installation printed; None if it failed for another reason."""
    if found := next((line.strip() for line in printed.splitlines() if _NO_WAY.search(line)), None):
        return found[:300]
    # Of one that does not answer pip may say only that it has nothing; nor has it what every index has then.
    if (
        "from versions: none" in printed
        and pip("download", "-q", "--no-deps", "-d", str(folder), EVERYWHERE).returncode
    ):
        return f"pip finds no {EVERYWHERE}, either"
    return None


def pip_install(folder: Path, *arguments: str) -> None:
    """Install with pip; skip the test where no index of packages answers, of Python or of npm."""
    done = pip(*arguments)
    if done.returncode and no_index(done.stderr, folder):
        # Once may be by chance.
        done = pip(*arguments)
    if done.returncode and (why := no_index(done.stderr, folder)):
        pytest.skip(f"the package cannot be installed here, as no index of packages answers: {why}")
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("retries", ["0", "1"])
def test_where_no_index_answers_an_installation_is_skipped_and_says_why(
    retries: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", retries)
    why = "Connection refused" if retries == "1" else "pip finds no hatchling, either"
    with pytest.raises(pytest.skip.Exception, match=f"no index of packages answers: .*{why}"):
        pip_install(tmp_path, "download", "-q", "--no-deps", "-d", str(tmp_path), EVERYWHERE)
    with pytest.raises(AssertionError, match="nothing-is-here"):
        pip_install(tmp_path, "install", "-q", str(tmp_path / "nothing-is-here"))


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
    pip_install(tmp_path, "--python", str(python), "install", "-q", str(source))

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

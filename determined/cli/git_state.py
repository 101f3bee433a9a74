"""Which commit a model definition comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from determined.cli.commands import CliError
from determined.experimental.create import GitState


def read_git_state(model_def: Path) -> GitState:
    """The commit that is checked out.

    Raises:
        CliError: no repository, changes that are not committed, or no branch to find it under later.
    """
    folder = (model_def if model_def.is_dir() else model_def.parent).resolve()
    if not (folder / ".git").exists():
        raise CliError(f"--git needs a git repository at {folder}; run `git init` there, or leave --git out")
    if changes := _git(folder, "status", "--porcelain"):
        raise CliError(f"--git needs a clean repository, and {folder} has changes; commit them first:\n{changes}")
    commit, committer, date = _git(folder, "show", "-s", "--format=%H%n%cn <%ce>%n%cI", "HEAD").split("\n")[:3]
    upstream = _git(folder, "rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{u}")
    url = _git(folder, "config", "--get", f"remote.{upstream.split('/', 1)[0]}.url")
    print(f"Using remote URL '{url}' from upstream branch '{upstream}'")
    return GitState(url, commit, committer, date)


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, errors="replace"
        )
    except FileNotFoundError as error:
        raise CliError("--git needs the program git; install it, or leave --git out") from error
    except subprocess.CalledProcessError as error:
        raise CliError(f"`git {' '.join(arguments)}` failed in {folder}: {error.stderr.strip()}") from error
    return done.stdout.strip()

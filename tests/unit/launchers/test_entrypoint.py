"""Which command an entrypoint becomes, and when no shell is needed for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from determined.errors import InvalidInput
from determined.launchers.entrypoint import command, is_trial_class, without_shell


def test_text_is_for_a_shell_and_a_list_is_as_it_is() -> None:
    assert command("python3 train.py") == ("sh", "-c", "python3 train.py")
    assert command(["python3", "train it.py"]) == ("python3", "train it.py")
    legacy = ("python3", "-m", "determined.launch.horovod", "--autohorovod", "--trial", "model_def:Trial")
    assert command("model_def:Trial") == legacy
    assert command(["model_def:Trial"]) == ("model_def:Trial",)


@pytest.mark.parametrize("entrypoint", ["", "  ", []])
def test_an_empty_entrypoint_is_refused(entrypoint: str | list[str]) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        command(entrypoint)


@pytest.mark.parametrize("text", ["a:b:c", ":b", "a:", "a b:c", "./a:b", "a:b.c"])
def test_other_text_with_a_colon_is_no_trial_class(text: str) -> None:
    assert not is_trial_class(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("python3 train.py --lr=0.1", ("python3", "train.py", "--lr=0.1")),
        ("  ./run.sh   a-b  ", ("./run.sh", "a-b")),
        ("python3 -m pkg.train user@host:/x +y", ("python3", "-m", "pkg.train", "user@host:/x", "+y")),
    ],
)
def test_plain_words_need_no_shell(text: str, words: tuple[str, ...]) -> None:
    assert without_shell(("sh", "-c", text), {}) == words


@pytest.mark.parametrize(
    "text",
    [
        "LR=1 python3 train.py",
        "python3 train.py | tee log",
        "python3 train.py && echo done",
        "python3 $SCRIPT",
        "python3 'a b.py'",
        "python3 *.py",
        "python3 ~/train.py",
        "python3 train.py > out",
        "cd sub",
        "exec python3 x.py",
        "echo hello",
        "python3 {a,b}.py",
        "python3 train.py # comment",
        "python3\ttrain.py",
        "python3 a.py\npython3 b.py",
        "-x",
        "pythön3 x.py",
    ],
)
def test_anything_that_a_shell_might_treat_otherwise_goes_to_the_shell(text: str) -> None:
    assert without_shell(("sh", "-c", text), {}) is None


def test_functions_in_the_environment_or_another_command_go_unchanged() -> None:
    assert without_shell(("sh", "-c", "python3 x.py"), {"BASH_FUNC_python3%%": "() { :; }"}) is None
    assert without_shell(("bash", "-c", "python3 x.py"), {}) is None
    assert without_shell(("sh", "-c", "python3 x.py", "name"), {}) is None


@pytest.mark.parametrize(
    "text", ["no-such-command-anywhere x", "./not-executable", "./no-first-line", "printf-like a=b"]
)
def test_the_exit_code_and_the_words_are_those_of_a_shell(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("work")
    (folder / "not-executable").write_text("#!/bin/sh\nexit 3\n")
    (folder / "no-first-line").write_text('echo "ran in $PWD"\nexit 5\n')
    (folder / "no-first-line").chmod(0o755)
    script = (
        "import os, sys; from determined.launchers.entrypoint import command, execute;"
        "execute(command(sys.argv[1]), os.environ)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PWD": "/stale"}
    ours = subprocess.run([sys.executable, "-c", script, text], check=False, cwd=folder, env=env, capture_output=True)
    shell = subprocess.run(["sh", "-c", text], check=False, cwd=folder, env=env, capture_output=True)
    assert (ours.returncode, ours.stdout, ours.stderr) == (shell.returncode, shell.stdout, shell.stderr)

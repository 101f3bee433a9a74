"""Launchers as processes: what they print, whom they signal, and how they end."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TORCH = pytest.param(
    "torch_distributed",
    marks=pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch: the extra [torch]"),
)
MODULES = ["multi", TORCH]


def start(module: str, script: str, processes: int = 2, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"determined.launch.{module}", "--nproc-per-node", str(processes), "--"]
    full = {k: v for k, v in os.environ.items() if not k.startswith("DET_")} | {"PYTHONUNBUFFERED": "1"} | env
    full["PYTHONPATH"] = os.pathsep.join(sys.path)
    return subprocess.Popen(
        [*command, sys.executable, "-c", script],
        env=full,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def of_rank(text: str, rank: int) -> list[str]:
    start = f"[rank={rank}] "
    return [line.removeprefix(start) for line in text.splitlines() if line.startswith(start)]


@pytest.mark.parametrize("module", MODULES)
def test_each_line_has_the_rank_of_its_process_and_its_stream(module: str) -> None:
    script = """
import os, sys
rank = os.environ["RANK"]
print("hello of", rank, os.environ["WORLD_SIZE"], os.environ["LOCAL_RANK"], "DET_LAUNCH_OUTPUT" in os.environ)
print("trouble of", rank, file=sys.stderr)
print("y" * 3_000_000)
print("last words", end="")
"""
    process = start(module, script)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    for rank in (0, 1):
        first, *long, last = of_rank(out, rank)
        assert first == f"hello of {rank} 2 {rank} False"
        assert last == "last words"
        # A line without an end is cut; nothing of it is lost.
        assert "".join(long) == "y" * 3_000_000
        assert of_rank(errors, rank) == [f"trouble of {rank}"]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(("end", "code"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", 137)])
def test_the_first_failure_ends_the_others_and_gives_the_exit_code(module: str, end: str, code: int) -> None:
    script = f"""
import os, signal, sys
if os.environ["RANK"] == "1":
    {end}
signal.pause()
"""
    process = start(module, script, 3)
    _, errors = process.communicate()
    assert process.returncode == code, errors
    assert f"rank 1 has failed with exit code {code}" in errors


def test_a_rank_that_is_deaf_to_the_request_to_end_is_ended_by_force(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = """
import os, signal, sys
if os.environ["RANK"] == "0":
    signal.signal(signal.SIGTERM, lambda *_: None)
    open(os.environ["PIPE"], "w").close()
    while True:
        signal.pause()
# Not before the other one is deaf.
open(os.environ["PIPE"]).close()
sys.exit(5)
"""
    impatient = (
        "import sys; from determined.launch import _children, multi; _children.GRACE_S = 0.3; sys.exit(multi.cli())"
    )
    command = [sys.executable, "-c", impatient, "--nproc-per-node", "2", "--", sys.executable, "-c", script]
    env = {**os.environ, "PIPE": str(pipe)}
    assert subprocess.run(command, env=env, check=False, capture_output=True).returncode == 5


@pytest.mark.parametrize("module", MODULES)
def test_signals_reach_every_rank(module: str) -> None:
    script = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
print("ready")
print("got", signal.Signals(signal.sigwait([signal.SIGUSR1])).name)
print("got", signal.Signals(signal.sigwait([signal.SIGTERM])).name)
sys.exit(0)
"""
    process = start(module, script)
    assert process.stdout is not None
    told = []
    sent = [signal.SIGUSR1, signal.SIGTERM]
    for line in process.stdout:
        told.append(line.strip())
        if len(told) in (2, 4):
            # Both ranks have said that they wait for the next one.
            process.send_signal(sent[len(told) // 2 - 1])
    _, errors = process.communicate()
    for rank in (0, 1):
        assert of_rank("\n".join(told), rank) == ["ready", "got SIGUSR1", "got SIGTERM"], errors
    assert process.returncode == (0 if module == "multi" else 128 + signal.SIGTERM)


@pytest.mark.parametrize("module", MODULES)
def test_a_command_that_is_not_there_is_said_and_has_the_exit_code_of_a_shell(module: str) -> None:
    command = [sys.executable, "-m", f"determined.launch.{module}", "--nproc-per-node=1", "--", "no-such-command"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 127
    assert "cannot start 'no-such-command'" in done.stderr
    assert "Traceback" not in done.stderr or module != "multi"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["multi", "--", "x"], "off the cluster"),
        (["multi"], "no script was given"),
        (["torch_distributed", "--trial", "model:Trial"], "trial classes"),
        (["horovod", "--autohorovod", "--trial", "model:Trial"], "trial classes"),
        (["horovod", "python3", "train.py"], "from_horovod"),
        (["deepspeed", "python3", "train.py"], "from_deepspeed"),
    ],
)
def test_what_cannot_be_launched_is_refused_with_a_sentence(words: list[str], told: str) -> None:
    command = [sys.executable, "-m", f"determined.launch.{words[0]}", *words[1:]]
    env = {k: v for k, v in os.environ.items() if not k.startswith("DET_")}
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_without_pytorch_its_launcher_names_the_other_one() -> None:
    hidden = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "torch" else found(name, *more)
sys.argv[1:] = ["--", "python3", "train.py"]
from determined.launch import torch_distributed
sys.exit(torch_distributed.cli())
"""
    done = subprocess.run([sys.executable, "-c", hidden], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "determined.launch.multi" in done.stderr

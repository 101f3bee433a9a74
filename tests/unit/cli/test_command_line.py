from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from determined._version import __version__
from determined.cli.main import main
from determined.cli.nouns import NOUNS, find_noun
from determined.testing.http_peer import Answer, HttpPeer, lines

ENVIRONMENT = ("DET_USER", "DET_PASS", "DET_USER_TOKEN", "DET_TASK_ID", "DET_DEBUG", "DET_MASTER_ADDR")


@pytest.fixture(autouse=True)
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpPeer]:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DET_DEBUG_CONFIG_PATH", str(tmp_path / "config"))
    monkeypatch.setenv("DET_DATA_DIR", str(tmp_path / "data"))
    with HttpPeer() as server:
        monkeypatch.setenv("DET_MASTER", server.url)
        server.on("POST", "/api/v1/auth/login", {"token": "T", "user": {}})
        server.on("GET", "/api/v1/me", {"user": {"username": "determined"}})
        yield server


Capture = pytest.CaptureFixture[str]


def test_the_version_is_printed_without_asking_anyone(peer: HttpPeer, capsys: Capture) -> None:
    assert main(["--version"]) == main(["-v"]) == main(["-u", "x", "-v"]) == 0
    assert capsys.readouterr().out == f"det {__version__}\n" * 3
    assert peer.requests == []


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (["--version"], "argparse typing dataclasses json determined.common"),
        (["--help"], "argparse dataclasses json determined.common"),
        (["e", "list", "--csv"], "yaml rich determined.domain"),
        (["e", "list"], "yaml determined.domain"),
    ],
    ids=str,
)
def test_nothing_heavy_is_loaded_that_is_not_needed(words: list[str], unneeded: str, peer: HttpPeer) -> None:
    peer.on("GET", "/api/v1/experiments", {"experiments": [], "pagination": {"total": 0}})
    code = (
        "import sys; before = set(sys.modules); from determined.cli.main import main; assert main(sys.argv[1:]) == 0;"
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "determined.cli.main" in loaded
    assert loaded & set(unneeded.split()) == set()


def test_only_the_noun_that_is_asked_for_is_loaded() -> None:
    code = (
        "import sys; from determined.cli.main import main; main(['agent', '-h']);"
        "print(sorted(m for m in sys.modules if m in {n for n in sys.argv[1:]}))"
    )
    modules = [noun.module for noun in NOUNS]
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['determined.cli.agent']"


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.name)
def test_every_noun_has_help_and_loads(noun: Any, capsys: Capture) -> None:
    assert main([noun.name, "-h"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: det {noun.name}")
    assert noun.load().name == noun.name


def every_command() -> list[list[str]]:
    found: list[list[str]] = []

    def walk(command: Any, path: list[str]) -> None:
        if not command.commands:
            found.append(path)
        for inner in command.commands:
            walk(inner, [*path, inner.name])

    for noun in NOUNS:
        walk(noun.load(), [noun.name])
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_has_help(words: list[str], capsys: Capture) -> None:
    assert main([*words, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: det {' '.join(words)} ")


@pytest.mark.parametrize(
    ("word", "noun"),
    [
        ("e", "experiment"),
        ("exp", "experiment"),
        ("t", "trial"),
        ("c", "checkpoint"),
        ("u", "user"),
        ("a", "agent"),
        ("s", "slot"),
        ("j", "job"),
        ("m", "master"),
        ("d", "deploy"),
        ("ta", "task"),
        ("v", "version"),
    ],
)
def test_nouns_may_be_shortened(word: str, noun: str) -> None:
    assert find_noun(word).name == noun


def test_no_command_is_bad_usage_with_help(capsys: Capture) -> None:
    assert main([]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Error: say what to do:\nusage: det")
    assert "experiment" in err
    assert main(["--help"]) == 0
    assert main(["trial"]) == 2
    assert "describe" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["experimnet"], "did you mean 'det experiment'?"),
        (["e", "descibe"], "did you mean 'det experiment describe'?"),
        (["e", "label", "ad"], "did you mean 'det experiment label add'?"),
        (["zzz"], "known are: experiment"),
        (["e", "zzz"], "known are: create"),
    ],
)
def test_a_mistyped_command_gets_a_suggestion(words: list[str], hint: str, capsys: Capture) -> None:
    assert main(words) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["e", "kill"],
        ["e", "kill", "abc"],
        ["e", "kill", "-1"],
        ["e", "kill", "0"],
        ["e", "kill", "１"],
        ["e", "kill", "99999999999999999999"],
        ["e", "describe", "1,x"],
        ["e", "list", "--pages", "2"],
        ["e", "list", "--limit", "-1"],
        ["e", "list", "--csv", "--json"],
        ["e", "list", "--nonsense"],
        ["t", "logs", "1", "--head", "1", "--tail", "1"],
        ["t", "logs", "1", "--level", "LOUD"],
        ["t", "download", "1"],
        ["-m"],
        ["-m", "not an address", "e", "list"],
        ["-m", "ftp://box", "e", "list"],
    ],
)
def test_bad_usage_is_code_2_and_sends_nothing(words: list[str], peer: HttpPeer, capsys: Capture) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("Error: ")
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert peer.requests == []


def test_master_and_user_may_stand_anywhere(peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DET_MASTER", "127.0.0.1:1")
    peer.on("POST", "/api/v1/experiments/1/pause", {})
    assert main(["-m", peer.url, "e", "pause", "1"]) == 0
    assert main(["e", "pause", "1", "-m", peer.url]) == 0
    assert main(["-m", "127.0.0.1:1", "e", "pause", "-m", peer.url, "1", "-u", "determined"]) == 0
    assert len(peer.seen("POST", "/api/v1/experiments/1/pause")) == 3


def test_a_master_that_is_not_there_is_one_sentence(capsys: Capture) -> None:
    assert main(["-m", "127.0.0.1:1", "e", "list"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Error: no master answers at http://127.0.0.1:1 (")
    assert len(err.splitlines()) == 1


def test_a_refusal_is_one_sentence_without_control_characters(peer: HttpPeer, capsys: Capture) -> None:
    peer.on("POST", "/api/v1/experiments/7/pause", Answer({"message": "no \x1b[31mred\x1b[0m\x07 7"}, 404))
    assert main(["e", "pause", "7"]) == 1
    assert capsys.readouterr().err == "Error: no red\\x07 7\n"


def test_an_unexpected_failure_shows_a_trace_only_on_demand(
    peer: HttpPeer, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.on("GET", "/api/v1/experiments/1", {"surprise": True})
    assert main(["e", "config", "1"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Error: unexpected KeyError: 'experiment'; DET_DEBUG=1")
    monkeypatch.setenv("DET_DEBUG", "1")
    assert main(["e", "config", "1"]) == 1
    assert "Traceback" in capsys.readouterr().err


def det(*words: str, **settings: Any) -> subprocess.Popen[bytes]:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    return subprocess.Popen([sys.executable, "-m", "determined.cli", *words], **pipes, preexec_fn=heed_interrupts)


def heed_interrupts() -> None:
    """A shell that starts tests in the background makes them deaf to SIGINT; a terminal does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupting_is_code_130_without_a_trace(peer: HttpPeer) -> None:
    waiting, release = threading.Event(), threading.Event()

    def hang(request: object) -> object:
        waiting.set()
        release.wait(60)
        return lines()

    peer.on("GET", "/api/v1/trials/1/logs", hang)
    with det("t", "logs", "1", "-f") as process:
        assert waiting.wait(60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        release.set()
    assert process.returncode == 130
    assert b"Interrupted." in err
    assert b"Traceback" not in err


def test_a_reader_that_has_seen_enough_is_no_error(peer: HttpPeer) -> None:
    line = {"result": {"message": "x" * 70 + "\n"}}
    peer.on("GET", "/api/v1/trials/1/logs", lines(*[line] * 5000))
    with det("t", "logs", "1") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"x" * 70 + b"\n"
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
    assert process.returncode == 141
    assert b"Traceback" not in err
    assert b"BrokenPipe" not in err


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_is_shown_without_a_reader_is_no_error_either(option: str) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "determined.cli", option]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_cannot_be_shown_is_told_in_one_line(option: str) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "determined.cli", option]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"Error: No space left on device\n")


def test_names_that_the_terminal_cannot_show_do_not_end_the_command(peer: HttpPeer) -> None:
    peer.on("GET", "/api/v1/me", {"user": {"username": "日本"}})
    with det("u", "whoami", env={**os.environ, "PYTHONIOENCODING": "ascii"}) as process:
        out, _ = process.communicate()
    assert (process.returncode, out) == (0, b"You are logged in as user '\\u65e5\\u672c'\n")


def test_logs_are_raw_in_a_pipe_and_tame_on_a_terminal(peer: HttpPeer) -> None:
    peer.on("GET", "/api/v1/trials/1/logs", lambda r: lines({"result": {"message": "\x1b]0;owned\x07hi\n"}}))
    with det("t", "logs", "1") as process:
        out, _ = process.communicate()
    assert out == b"\x1b]0;owned\x07hi\n"
    main_end, other_end = pty.openpty()
    with det("t", "logs", "1", stdout=other_end) as process:
        process.communicate()
        os.close(other_end)
        shown = os.read(main_end, 4096)
        os.close(main_end)
    assert shown == b"hi\r\n"

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from determined.common.api.session import Session
from determined.experimental.failure import explain_failure
from determined.experimental.progress import ProgressView, describe, follow_experiment
from determined.experimental.watch import Summary, TrialCounts, look, summary_from_json
from determined.testing.http_peer import HttpPeer, lines

E = "/api/v1/experiments/5"


@pytest.fixture
def peer() -> Iterator[HttpPeer]:
    with HttpPeer() as server:
        yield server


@pytest.fixture
def session(peer: HttpPeer) -> Iterator[Session]:
    with Session(peer.url) as opened:
        yield opened


def line(state: str, progress: float | None, running: int = 0, completed: int = 0, **more: Any) -> dict[str, Any]:
    trials = {"total": running + completed, "running": running, "completed": completed}
    return {
        "result": {
            "id": 5,
            "name": "mine",
            "state": f"STATE_{state}",
            "progress": progress,
            "searcherType": "custom",
            "metricName": "loss",
            "trials": trials,
            **more,
        }
    }


def plain() -> Console:
    return Console(file=io.StringIO(), width=200)


def output(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_there_is_one_line_per_change_that_matters(peer: HttpPeer, session: Session) -> None:
    peer.on(
        "GET",
        f"{E}/watch",
        lines(
            line("QUEUED", 0.0, waitingFor="a free slot"),
            line("RUNNING", 0.0, 1),
            line("RUNNING", 0.01, 1),
            line("RUNNING", 0.02, 1),
            line("RUNNING", 0.5, 0, 1, bestTrialId=9, bestMetric=0.123456789),
            line("COMPLETED", 1.0, 0, 1, bestTrialId=9, bestMetric=0.123456789),
        ),
    )
    console = plain()
    assert follow_experiment(session, 5, console=console) == "COMPLETED"
    assert output(console).splitlines() == [
        "experiment 5 QUEUED 0% | trials: 0 | waiting: a free slot",
        "experiment 5 RUNNING 0% | trials: 1 (1 running)",
        "experiment 5 RUNNING 50% | trials: 1 (1 completed) | best: loss 0.123457 (trial 9)",
        "experiment 5 COMPLETED 100% | trials: 1 (1 completed) | best: loss 0.123457 (trial 9)",
    ]


def test_changed_counts_alone_make_a_line_only_now_and_then() -> None:
    console, now = plain(), [0.0]
    with ProgressView(console, clock=lambda: now[0]) as view:
        for at, running, completed in ((0, 1, 0), (1, 2, 0), (9, 2, 1), (10, 2, 2), (11, 2, 3), (12, 2, 4)):
            now[0] = float(at)
            view.update(Summary(5, state="ACTIVE", trials=TrialCounts(running + completed, 0, running, 0, completed)))
        view.update(Summary(5, state="PAUSED", trials=TrialCounts(6, 0, 0, 2, 4)))
    assert output(console).splitlines() == [
        "experiment 5 ACTIVE | trials: 1 (1 running)",
        "experiment 5 ACTIVE | trials: 4 (2 running, 2 completed)",
        "experiment 5 PAUSED | trials: 6 (2 idle, 4 completed)",
    ]


def test_a_failed_search_shows_why(peer: HttpPeer, session: Session) -> None:
    peer.on("GET", f"{E}/watch", lines(line("ERROR", 0.0)))
    failed = {"id": 3, "restarts": 2, "hparams": {"lr": 0.1}, "exitCode": 7, "logPath": "/data/logs/3"}
    peer.on("GET", f"{E}/trials", {"trials": [failed], "pagination": {"endIndex": 1, "total": 4}})
    told = [{"result": {"message": f"{text}\n"}} for text in ("ValueError: \x1b[31mbad\x1b[0m", "Traceback")]
    peer.on("GET", "/api/v1/trials/3/logs", lines(*told))
    console = plain()
    assert follow_experiment(session, 5, console=console) == "ERROR"
    assert output(console).splitlines()[1:] == [
        "Trial 3 failed (and 3 more) after 2 restarts: exit code 7.",
        "Its hyperparameters: {'lr': 0.1}",
        "The end of its log:",
        "  Traceback",
        "  ValueError: bad",
        "All of it: det trial logs 3, or read /data/logs/3",
    ]
    assert peer.seen("GET", "/api/v1/trials/3/logs")[0].params["limit"] == ["40"]


def test_a_search_that_failed_by_itself_has_no_trial_to_blame(peer: HttpPeer, session: Session) -> None:
    peer.on("GET", f"{E}/trials", {"trials": [], "pagination": {}})
    assert explain_failure(session, 5) == ""


def test_a_log_that_is_gone_does_not_hide_the_failure(peer: HttpPeer, session: Session) -> None:
    peer.on("GET", f"{E}/trials", {"trials": [{"id": 3}], "pagination": {"total": 1}})
    told = explain_failure(session, 5)
    assert told.startswith("Trial 3 failed.\nIts log cannot be read:")


def test_on_a_terminal_there_is_a_live_table() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, legacy_windows=False, _environ={})
    counts = TrialCounts(total=3, running=2, completed=1)
    best = {f"p{n}": n / 3 for n in range(8)}
    with ProgressView(console) as view:
        view.update(
            Summary(5, "mine", "RUNNING", 0.25, "custom", "loss", True, counts, 7, 0.5, best, 10.0, "you", "hm")
        )
    shown = output(console)
    for text in (
        "5  mine (custom)",
        "RUNNING",
        " 25%",
        "3 (2 running, 1 completed)",
        "loss 0.5 (trial 7)",
        "you",
        "hm",
    ):
        assert text in shown
    assert "p0=0  p1=0.333333" in shown
    assert "p6" not in shown


def test_names_cannot_steer_the_terminal_or_the_markup() -> None:
    summary = Summary(5, "x", "RUNNING", message="\x1b]0;owned\x07[red]hello[/red]\n\x07")
    assert describe(summary) == "experiment 5 RUNNING | trials: 0 | [red]hello[/red]\\n\\x07"
    console = plain()
    with ProgressView(console) as view:
        view.update(summary)
    assert "[red]hello[/red]" in output(console)


def test_a_summary_is_read_with_defaults_for_what_is_missing() -> None:
    assert summary_from_json({"id": 5}) == Summary(5)
    assert summary_from_json(
        {"id": "5", "state": "STATE_ERROR", "progress": "NaN", "bestMetric": "Infinity"}
    ).is_terminal


def test_one_look_asks_for_one_line(peer: HttpPeer, session: Session) -> None:
    peer.on("GET", f"{E}/watch", lines(line("PAUSED", None)))
    assert look(session, 5).state == "PAUSED"
    assert peer.requests[0].params == {"follow": ["false"]}

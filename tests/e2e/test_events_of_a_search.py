"""What a custom search hears of its trials, event by event, however they end."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from determined.testing import history
from determined.testing.cluster import LocalMaster
from determined.testing.database import opened
from tests.e2e.support import MODEL, command_of, events_of, kinds, started_experiment, trials_of

Command = Callable[..., list[str]]
CREATED, PROGRESS, VALIDATED = "trialCreated", "trialProgress", "validationCompleted"
EXITED, CLOSED = "trialExitedEarly", "trialClosed"


def of_trial(events: list[dict[str, Any]], request_id: uuid.UUID) -> list[tuple[str, int]]:
    """The kinds of a trial's events in order, repetitions counted."""
    found = [
        kind
        for event in events
        for kind, body in event.items()
        if kind != "id" and body.get("requestId") == str(request_id)
    ]
    return [(kind, len(list(group))) for kind, group in groupby(found)]


def test_a_random_search_of_five_trials_hears_41_events(
    master: LocalMaster, model: Path, search_command: Command, tmp_path: Path
) -> None:
    done = master.run(search_command("random", model, tmp_path / "searcher"))
    assert done.returncode == 0, done.stderr
    assert "last_event=41" in done.stdout
    with master.session() as session:
        experiment = max(e["id"] for e in session.get("/api/v1/experiments")["experiments"])
    events = events_of(master, experiment)
    assert [event["id"] for event in events] == list(range(1, 42))
    assert list(events[0]) == ["id", "initialOperations"]
    ids = {uuid.UUID(event[CREATED]["requestId"]) for event in events if CREATED in event}
    assert len(ids) == 5
    for request_id in ids:
        assert of_trial(events, request_id) == [(CREATED, 1), (PROGRESS, 5), (VALIDATED, 1), (CLOSED, 1)]


@pytest.fixture(scope="module")
def faults(master: LocalMaster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A search over trials that end in every way; the one that would train for ever is killed by a user."""
    command = command_of("faults", MODEL, tmp_path_factory.mktemp("faults") / "searcher")
    runner = subprocess.Popen(command, env=master.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        experiment = started_experiment(runner)
        with master.session() as session:
            for line in session.stream(f"/api/v1/experiments/{experiment}/watch", {"follow": True}):
                trials = line["result"]["trials"]
                if trials["total"] == 5 and trials["running"] == 1 and not trials["queued"]:
                    break
            [victim] = [t for t in trials_of(session, experiment) if t["hparams"].get("sleep")]
        assert master.det("t", "kill", str(victim["id"])).returncode == 0
        _, errors = runner.communicate()
        assert runner.returncode == 0, errors
        yield experiment
    finally:
        runner.kill()
        runner.communicate()


@pytest.mark.parametrize(
    ("number", "reason", "state"),
    [
        (2, "EXITED_REASON_UNSPECIFIED", "STATE_ERROR"),
        (3, "EXITED_REASON_INVALID_HP", "STATE_COMPLETED"),
        (4, "EXITED_REASON_USER_REQUESTED_STOP", "STATE_COMPLETED"),
        (5, "EXITED_REASON_USER_REQUESTED_STOP", "STATE_CANCELED"),
    ],
    ids=["fails too often", "invalid hyperparameters", "exits with 0", "killed by a user"],
)
def test_each_early_end_is_one_event_and_the_search_goes_on(
    number: int, reason: str, state: str, faults: int, master: LocalMaster
) -> None:
    events = events_of(master, faults)
    request_id = uuid.UUID(int=number)
    before = [] if number == 5 else [(PROGRESS, 5)]
    assert of_trial(events, request_id) == [(CREATED, 1), *before, (EXITED, 1), (CLOSED, 1)]
    [exited] = [e[EXITED] for e in events if EXITED in e and e[EXITED]["requestId"] == str(request_id)]
    assert exited["exitedReason"] == reason
    with master.session() as session:
        assert trials_of(session, faults)[number - 1]["state"] == state


def test_the_trial_that_did_well_is_not_disturbed_by_the_others(faults: int, master: LocalMaster) -> None:
    events = events_of(master, faults)
    assert of_trial(events, uuid.UUID(int=1)) == [(CREATED, 1), (PROGRESS, 5), (VALIDATED, 1), (CLOSED, 1)]
    assert kinds(events)[CLOSED] == 5
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))


def test_the_journal_of_a_search_tells_the_queue_that_was_sent(faults: int, master: LocalMaster) -> None:
    """The events in the queue's table are those that a replay of the journal gives, byte for byte in meaning."""
    with opened(master.data) as db:
        rows = db.execute("SELECT body FROM events WHERE experiment_id = ? ORDER BY id", (faults,)).fetchall()
    recorded = history.record(master.data, faults)
    assert [json.loads(body) for (body,) in rows] == recorded.outcome["events"]
    assert history.outcome(recorded, reload_every=1) == recorded.outcome

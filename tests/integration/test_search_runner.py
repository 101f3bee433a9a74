"""Search runners against a real HTTP server that keeps the rules of the event queue."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from determined import searcher
from determined.common.api.session import Session
from determined.errors import Conflict, CorruptState, FailedPrecondition, InvalidInput, NotFound, RunnerBusy
from determined.searcher import answers, link
from determined.searcher.event import QueuedEvent

MASTER = Path(__file__).parent / "search_runner_master.py"
CONFIG = {"searcher": {"name": "custom", "metric": "loss"}, "entrypoint": "true"}
Ops = list[searcher.Operation]


class Pairs(searcher.SearchMethod):
    """Trains ``total`` trials, two at a time, each twice; ``trouble`` names the handler that raises."""

    def __init__(self, total: int = 4, trouble: str = "") -> None:
        self.total = total
        self.trouble = trouble
        self.created = 0
        self.calls: list[str] = []
        self.received: list[Any] = []

    def call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.trouble:
            raise ZeroDivisionError(f"trouble in {name}")

    def new_trial(self) -> Ops:
        self.created += 1
        request_id = uuid.UUID(int=self.created)
        return [searcher.Create(request_id, {"x": self.created / 10}), searcher.ValidateAfter(request_id, 1)]

    def initial_operations(self, state: searcher.SearcherState) -> Ops:
        self.call("initial_operations")
        return [*self.new_trial(), *self.new_trial()]

    def on_trial_created(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
        self.call("on_trial_created")
        return []

    def on_validation_completed(
        self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
    ) -> Ops:
        self.call("on_validation_completed")
        self.received.append(metric)
        if train_length == 1:
            return [searcher.ValidateAfter(request_id, 2), searcher.Close(request_id)]
        return []

    def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
        self.call("on_trial_closed")
        if self.created < self.total:
            return self.new_trial()
        return [searcher.Shutdown()] if len(state.trials_closed) == self.total else []

    def on_trial_exited_early(
        self, state: searcher.SearcherState, request_id: uuid.UUID, exited_reason: searcher.ExitedReason
    ) -> Ops:
        self.call("on_trial_exited_early")
        return []

    def progress(self, state: searcher.SearcherState) -> float:
        return len(state.trials_closed) / self.total

    def save_method_state(self, path: Path) -> None:
        self.call("save_method_state")
        (path / "created").write_text(str(self.created))

    def load_method_state(self, path: Path) -> None:
        self.created = int((path / "created").read_text())


class Runner(searcher.LocalSearchRunner):
    """Talks to the test's master directly; everything else is the real thing."""

    def __init__(self, session: Session, method: searcher.SearchMethod, folder: Path) -> None:
        super().__init__(method, folder)
        self.session = session

    def _open_session(self) -> Session:
        return self.session

    def _submit(self, exp_config: Any, model_dir: Any, includes: Any, client_key: str) -> int:
        body = {"config": json.dumps(exp_config), "clientKey": client_key}
        return int(self.session.post("/api/v1/experiments", json=body)["experiment"]["id"])


class Master:
    """The process of the small master, and its controls."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, str(MASTER), str(port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self.session = Session(self.url)

    def set(self, **values: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.session.post("/control", json=values)
        return answer

    def experiment(self) -> dict[str, Any]:
        experiments = self.set()["experiments"]
        assert len(experiments) == 1
        found: dict[str, Any] = experiments["1"]
        return found

    def close(self) -> None:
        self.session.close()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def master() -> Iterator[Master]:
    master = Master()
    try:
        yield master
    finally:
        master.close()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DET_PROGRESS", "0")


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_search_runs_to_its_end(master: Master, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    method = Pairs()
    runner = Runner(master.session, method, tmp_path / "search")
    with caplog.at_level(logging.INFO, "determined.searcher"):
        assert runner.run(CONFIG) == 1
    experiment = master.experiment()
    assert experiment["state"] == "COMPLETED"
    assert [len(t["results"]) for t in experiment["trials"].values()] == [2, 2, 2, 2]
    assert runner.state.experiment_completed
    assert runner.state.last_event_id == experiment["events"]
    assert len(runner.state.trials_created) == len(runner.state.trials_closed) == 4
    assert "Best trial: 7" in caplog.text


def test_a_batch_of_events_is_saved_once_and_answered_once(master: Master, tmp_path: Path) -> None:
    method = Pairs()
    Runner(master.session, method, tmp_path).run(CONFIG)
    posts = master.set()["posts"]
    # The first save precedes all events.
    assert method.calls.count("save_method_state") == len(posts) + 1
    assert len(posts) < master.experiment()["events"] / 2


def test_a_finished_search_can_be_run_again_and_stays_finished(master: Master, tmp_path: Path) -> None:
    Runner(master.session, Pairs(), tmp_path).run(CONFIG)
    posts = master.set()["posts"]
    again = Runner(master.session, Pairs(), tmp_path)
    assert again.run(CONFIG) == 1
    assert again.state.experiment_completed
    assert master.set()["posts"] == posts


@pytest.mark.parametrize(
    "trouble", ["initial_operations", "on_trial_created", "on_validation_completed", "on_trial_closed"]
)
def test_a_handler_that_raises_stops_the_run_and_a_rerun_resumes_before_it(
    master: Master, tmp_path: Path, trouble: str
) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        Runner(master.session, Pairs(trouble=trouble), tmp_path).run(CONFIG)
    notes = "".join(getattr(raised.value, "__notes__", ["event.id= resume"]))
    assert "event.id=" in notes
    assert "resume" in notes
    assert master.experiment()["state"] == "ACTIVE"
    runner = Runner(master.session, Pairs(), tmp_path)
    runner.run(CONFIG)
    assert runner.state.experiment_completed
    assert [len(t["results"]) for t in master.experiment()["trials"].values()] == [2, 2, 2, 2]


class FailsOnce(Runner):
    """Raises at one seam, the way fault-injecting tests of users do."""

    def __init__(self, session: Session, folder: Path, seam: str) -> None:
        super().__init__(session, Pairs(), folder)
        self.seam = seam
        self.rounds = 0

    def fail(self, seam: str) -> None:
        self.rounds += seam == self.seam
        if self.rounds == 3:
            raise ConnectionResetError(f"injected in {seam}")

    def get_events(self, session: Any, experiment_id: int) -> Any:
        self.fail("get_events")
        return super().get_events(session, experiment_id)

    def save_state(self, experiment_id: int, operations: Ops) -> None:
        super().save_state(experiment_id, operations)
        self.fail("after_save")

    def post_operations(self, session: Any, experiment_id: int, event: Any, operations: Ops) -> None:
        self.fail("before_post")
        super().post_operations(session, experiment_id, event, operations)
        self.fail("after_post")


@pytest.mark.parametrize("seam", ["get_events", "after_save", "before_post", "after_post"])
def test_replaced_seams_are_called_and_a_fault_in_any_of_them_can_be_resumed_from(
    master: Master, tmp_path: Path, seam: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConnectionResetError):
        FailsOnce(master.session, tmp_path, seam).run(CONFIG)
    method = Pairs()
    with caplog.at_level(logging.INFO, "determined.searcher"):
        runner = Runner(master.session, method, tmp_path)
        runner.run(CONFIG)
    assert runner.state.experiment_completed
    assert runner.state.last_event_id == master.experiment()["events"]
    assert method.created == 4
    assert ("Resubmitting operations for event.id=" in caplog.text) == (seam in ("after_save", "before_post"))


def test_load_state_is_called_on_resumption_with_the_experiment(master: Master, tmp_path: Path) -> None:
    loaded: list[int] = []

    class Watching(Runner):
        def load_state(self, experiment_id: int) -> tuple[int, Ops]:
            loaded.append(experiment_id)
            return super().load_state(experiment_id)

    with pytest.raises(ConnectionResetError):
        FailsOnce(master.session, tmp_path, "after_save").run(CONFIG)
    Watching(master.session, Pairs(), tmp_path).run(CONFIG)
    assert loaded == [1]


def test_a_runner_without_a_master_works_through_its_replaced_seams(tmp_path: Path) -> None:
    """Tests of search methods replace both calls to the master and drive the loop themselves."""
    answers: list[Ops] = []
    script = [
        [{"id": 1, "initialOperations": {"placeholder": 0}}],
        [{"id": -1, "experimentInactive": {"experimentState": "STATE_COMPLETED"}}],
    ]

    class Scripted(searcher.LocalSearchRunner):
        def get_events(self, session: Any, experiment_id: int) -> Any:
            return script.pop(0)

        def post_operations(self, session: Any, experiment_id: int, event: Any, operations: Ops) -> None:
            assert isinstance(event, QueuedEvent)
            answers.append(operations)

    runner = Scripted(Pairs(), tmp_path)
    runner.state.experiment_id = 4
    runner.state.last_event_id = 0
    runner.save_state(4, [])
    runner.run_experiment(4, None, None)
    assert [len(ops) for ops in answers] == [4]
    assert runner.state.experiment_completed
    assert (tmp_path / "exp_4" / "event_id").read_text() == "0"
    (log,) = (tmp_path / "exp_4").glob("answers_*.jsonl")
    assert json.loads(log.read_text())["body"]["last_event_id"] == 1


def test_a_method_whose_operations_the_master_refuses_can_be_corrected_and_rerun(
    master: Master, tmp_path: Path
) -> None:
    class Twice(Pairs):
        def on_validation_completed(
            self, state: searcher.SearcherState, request_id: uuid.UUID, metric: Any, train_length: int
        ) -> Ops:
            return [searcher.Create(request_id, {"x": 1})]

    with pytest.raises(InvalidInput, match="created twice"):
        Runner(master.session, Twice(), tmp_path).run(CONFIG)
    runner = Runner(master.session, Pairs(), tmp_path)
    runner.run(CONFIG)
    assert runner.state.experiment_completed
    assert runner.state.last_event_id == master.experiment()["events"]


def test_operations_that_cannot_be_sent_are_refused_before_they_are_saved(master: Master, tmp_path: Path) -> None:
    class Huge(Pairs):
        def initial_operations(self, state: searcher.SearcherState) -> Ops:
            return [searcher.Create(uuid.UUID(int=1), {"x": "x" * 100_000})]

    with pytest.raises(InvalidInput, match="at most 65536 bytes"):
        Runner(master.session, Huge(), tmp_path).run(CONFIG)
    assert (tmp_path / "exp_1" / "event_id").read_text() == "0"
    assert master.set()["posts"] == []


@pytest.mark.parametrize("lost", range(1, 12))
def test_lost_answers_change_nothing(
    master: Master, tmp_path: Path, lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Losing(Runner):
        lost = False

        def get_events(self, session: Any, experiment_id: int) -> Any:
            events = super().get_events(session, experiment_id)
            if events and events[0].id > lost and not self.lost:
                self.lost = True
                master.set(lose_answers=2)
            return events

    runner = Losing(master.session, Pairs(), tmp_path)
    runner.run(CONFIG)
    assert runner.lost
    assert runner.state.experiment_completed
    assert runner.state.last_event_id == master.experiment()["events"]
    assert caplog.text.count("does not answer") == 1
    assert caplog.text.count("is back") == 1


def test_a_master_that_stays_away_ends_the_run(master: Master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "GIVE_UP_S", 0.0)

    class Killing(Runner):
        def get_events(self, session: Any, experiment_id: int) -> Any:
            os.kill(master.process.pid, signal.SIGKILL)
            master.process.wait()
            return super().get_events(session, experiment_id)

    with pytest.raises(ConnectionError, match="no master answers"):
        Killing(master.session, Pairs(), tmp_path).run(CONFIG)


def test_a_paused_experiment_is_waited_for_and_said_once(
    master: Master, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    polls: list[int] = []

    class Pausing(Runner):
        def get_events(self, session: Any, experiment_id: int) -> Any:
            polls.append(0)
            if len(polls) in (2, 6):
                master.set(state="PAUSED" if len(polls) == 2 else "ACTIVE")
            return super().get_events(session, experiment_id)

    runner = Pausing(master.session, Pairs(), tmp_path)
    runner.run(CONFIG)
    assert runner.state.experiment_completed
    assert caplog.text.count("is paused") == 1


@pytest.mark.parametrize("end", ["CANCELED", "ERROR"])
def test_a_search_that_is_ended_from_outside_is_not_completed(master: Master, tmp_path: Path, end: str) -> None:
    class Ending(Runner):
        def post_operations(self, session: Any, experiment_id: int, event: Any, operations: Ops) -> None:
            super().post_operations(session, experiment_id, event, operations)
            master.set(state=end)

    runner = Ending(master.session, Pairs(), tmp_path)
    assert runner.run(CONFIG) == 1
    assert not runner.state.experiment_completed


def test_stopping_is_waited_out(master: Master, tmp_path: Path) -> None:
    polls: list[int] = []

    class Stopping(Runner):
        def get_events(self, session: Any, experiment_id: int) -> Any:
            polls.append(0)
            if len(polls) in (2, 4):
                master.set(state="STOPPING_COMPLETED" if len(polls) == 2 else "COMPLETED")
            return super().get_events(session, experiment_id)

    runner = Stopping(master.session, Pairs(), tmp_path)
    runner.run(CONFIG)
    assert len(polls) == 4
    assert runner.state.experiment_completed


def test_a_master_without_epochs_will_do(master: Master, tmp_path: Path) -> None:
    master.set(knows_epochs=False)
    runner = Runner(master.session, Pairs(), tmp_path)
    runner.run(CONFIG)
    assert runner.state.experiment_completed


def test_a_second_runner_in_one_folder_is_refused_and_told_who_is_in(master: Master, tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Waiting(Pairs):
        def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
            entered.set()
            leave.wait(60)
            return super().on_trial_closed(state, request_id)

    first = Runner(master.session, Waiting(), tmp_path)
    thread = in_thread(lambda: first.run(CONFIG))
    assert entered.wait(60)
    with pytest.raises(RunnerBusy, match=f"process {os.getpid()}"):
        Runner(master.session, Pairs(), tmp_path).run(CONFIG)
    leave.set()
    thread.join(60)
    assert first.state.experiment_completed


def test_a_runner_whose_folder_was_copied_is_fenced_off(master: Master, tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    class Waiting(Pairs):
        def on_trial_closed(self, state: searcher.SearcherState, request_id: uuid.UUID) -> Ops:
            entered.set()
            leave.wait(60)
            return super().on_trial_closed(state, request_id)

    def run_first() -> None:
        try:
            Runner(master.session, Waiting(), tmp_path / "a").run(CONFIG)
        except Conflict as e:
            failures.append(e)

    thread = in_thread(run_first)
    assert entered.wait(60)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    second = Runner(master.session, Pairs(), tmp_path / "b")
    second.run(CONFIG)
    leave.set()
    thread.join(60)
    assert second.state.experiment_completed
    assert "Another runner goes on with this search" in str(failures[0])
    assert master.experiment()["state"] == "COMPLETED"


def interrupted(master: Master, folder: Path) -> Path:
    """A search that stopped half way; its folder of states."""
    with pytest.raises(ConnectionResetError):
        FailsOnce(master.session, folder, "after_save").run(CONFIG)
    return folder / "exp_1"


def newest_of(states: Path) -> Path:
    """The newest saved state, which the pointer need not name yet."""
    return max(states.glob("event_[0-9]*"), key=lambda path: int(path.name.removeprefix("event_")))


def damage_newest(states: Path) -> str:
    """Damage the newest saved state; the name under which it will be set aside."""
    for log in states.glob("answers_*.jsonl"):
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b"Id", b"Jd")]))
        return f"damaged_{log.name}"
    newest = newest_of(states)
    (newest / "created").write_text("17")
    return f"damaged_{newest.name}"


in_lines_or_not = pytest.mark.parametrize("most", [0, 100], ids=["in generations", "in lines"])


@in_lines_or_not
def test_a_damaged_newest_state_is_replaced_by_the_one_before_it_with_a_warning(
    master: Master, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(answers, "MOST", most)
    states = interrupted(master, tmp_path)
    aside = damage_newest(states)
    runner = Runner(master.session, Pairs(), tmp_path)
    runner.run(CONFIG)
    assert "cannot be used" in caplog.text or "is damaged" in caplog.text
    assert runner.state.experiment_completed
    assert [len(t["results"]) for t in master.experiment()["trials"].values()] == [2, 2, 2, 2]
    assert (states / aside).exists()


@in_lines_or_not
def test_when_the_state_before_is_too_old_the_search_stops_rather_than_go_wrong(
    master: Master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(answers, "MOST", most)
    with pytest.raises(ConnectionResetError):
        FailsOnce(master.session, tmp_path, "after_post").run(CONFIG)
    damage_newest(tmp_path / "exp_1")
    with pytest.raises(CorruptState, match="should come next"):
        Runner(master.session, Pairs(), tmp_path).run(CONFIG)


def test_a_master_that_knows_less_than_the_runner_is_noticed(master: Master, tmp_path: Path) -> None:
    interrupted(master, tmp_path)

    class Older(Runner):
        def get_events(self, session: Any, experiment_id: int) -> Any:
            return list(super().get_events(session, experiment_id) or ())[:1]

    with pytest.raises(CorruptState, match="restored from a backup"):
        Older(master.session, Pairs(), tmp_path).run(CONFIG)


def test_another_master_is_refused(master: Master, tmp_path: Path) -> None:
    interrupted(master, tmp_path)
    master.set(cluster_id="cluster-2")
    with pytest.raises(FailedPrecondition, match="DET_MASTER"):
        Runner(master.session, Pairs(), tmp_path).run(CONFIG)


def test_a_deleted_experiment_is_explained(master: Master, tmp_path: Path) -> None:
    interrupted(master, tmp_path)
    master.set(experiments={}, knows_epochs=False)
    with pytest.raises(NotFound, match="deleted"):
        Runner(master.session, Pairs(), tmp_path).run(CONFIG)


def test_an_unreadable_experiment_id_is_found_again_through_the_key(master: Master, tmp_path: Path) -> None:
    interrupted(master, tmp_path)
    (tmp_path / "experiment_id.txt").write_text("")
    runner = Runner(master.session, Pairs(), tmp_path)
    assert runner.run(CONFIG) == 1
    assert runner.state.experiment_completed


def test_a_changed_configuration_under_the_same_key_is_explained(master: Master, tmp_path: Path) -> None:
    interrupted(master, tmp_path)
    (tmp_path / "experiment_id.txt").unlink()
    with pytest.raises(Conflict, match="another configuration"):
        Runner(master.session, Pairs(), tmp_path).run({**CONFIG, "name": "other"})


def test_a_configuration_for_another_searcher_creates_no_experiment(master: Master, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("searcher: {name: random}\n")
    with pytest.raises(InvalidInput, match="custom"):
        Runner(master.session, Pairs(), tmp_path / "search").run(str(file))
    with pytest.raises(InvalidInput, match="cannot be read"):
        Runner(master.session, Pairs(), tmp_path / "search").run(tmp_path / "missing.yaml")
    assert master.set()["experiments"] == {}


def test_progress_and_state_survive_an_interrupt_from_the_keyboard(
    master: Master, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Interrupted(Runner):
        def get_events(self, session: Any, experiment_id: int) -> Any:
            if self.state.last_event_id > 3:
                raise KeyboardInterrupt
            return super().get_events(session, experiment_id)

    with pytest.raises(KeyboardInterrupt):
        Interrupted(master.session, Pairs(), tmp_path).run(CONFIG)
    assert "run again to resume" in caplog.text
    runner = Runner(master.session, Pairs(), tmp_path)
    runner.run(CONFIG)
    assert runner.state.experiment_completed

"""Reports that are sent by a thread: in order, none lost, none overtaken."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from determined.core import _background
from determined.core._background import Background


def test_what_is_added_is_sent_in_order_and_nobody_waits_for_it() -> None:
    gate, sent = threading.Event(), list[int]()
    background = Background()

    def send(number: int) -> Callable[[], None]:
        def later() -> None:
            assert gate.wait(60)
            sent.append(number)

        return later

    for number in range(100):
        background.add(send(number))
    assert sent == []
    gate.set()
    background.finish()
    assert sent == list(range(100))


def test_there_is_a_limit_to_what_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_background, "MOST_WAITING", 3)
    background, most, sent = Background(), list[int](), list[int]()

    def send(number: int) -> Callable[[], None]:
        def later() -> None:
            most.append(background._unsent)
            sent.append(number)

        return later

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: background.add(send(number)), range(200)))
    background.finish()
    assert sorted(sent) == list(range(200))
    assert 1 < max(most) <= 3


def test_a_failure_is_raised_once_and_drops_what_was_built_on_it() -> None:
    background, gate, sent = Background(), threading.Event(), list[str]()

    def fail() -> None:
        assert gate.wait(60)
        raise ValueError("refused")

    background.add(lambda: sent.append("before"))
    background.add(fail)
    background.add(lambda: sent.append("behind"))
    gate.set()
    with pytest.raises(ValueError, match="refused"):
        background.finish()
    background.finish()
    background.add(lambda: sent.append("after"))
    background.finish()
    assert sent == ["before", "after"]


def test_who_waits_for_room_hears_of_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_background, "MOST_WAITING", 1)
    background = Background()

    def fail() -> None:
        raise ValueError("refused")

    background.add(fail)
    with pytest.raises(ValueError, match="refused"):
        background.add(fail)


def test_a_forked_child_has_a_thread_of_its_own_and_nothing_of_its_parents() -> None:
    background, gate, sent = Background(), threading.Event(), list[str]()

    def send() -> None:
        assert gate.wait(60)
        sent.append("parent")

    background.add(send)
    pid = os.fork()  # as a script does that loads its data in processes
    if pid == 0:
        code = 1
        try:
            background.finish()
            background.add(lambda: sent.append("child"))
            background.finish()
            code = 0 if sent == ["child"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    gate.set()
    background.finish()
    assert sent == ["parent"]


def test_its_thread_ends_with_it_and_comes_back_when_it_is_needed() -> None:
    background, sent = Background(), list[int]()
    for number in range(20):
        background.add(lambda number=number: sent.append(number))  # type: ignore[misc]
        thread = background._thread
        assert thread is not None
        background.close()
        thread.join(60)
        assert not thread.is_alive()
    assert sent == list(range(20))


def test_an_interrupted_end_does_not_leave_anybody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    background, gate, begun, sent = Background(), threading.Event(), threading.Event(), list[str]()

    def send() -> None:
        begun.set()
        assert gate.wait(60)
        sent.append("under way")

    background.add(send)
    background.add(lambda: sent.append("behind"))
    assert begun.wait(60)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(background, "finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            background.close()
    gate.set()
    background.finish()
    background.add(lambda: sent.append("later"))
    background.finish()
    assert sorted(sent) == ["later", "under way"]


def test_what_is_being_sent_may_itself_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_background, "MOST_WAITING", 1)
    background, sent = Background(), list[str]()

    def send() -> None:
        background.finish()
        background.add(lambda: sent.append("by the thread itself"))

    background.add(send)
    background.finish()
    assert sent == ["by the thread itself"]

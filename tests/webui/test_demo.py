"""`make demo`: the address that it prints leads to live curves of the search that runs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from playwright.sync_api import Browser, expect

from tests.webui.conftest import PATIENCE_MS, ROOM
from tests.webui.watch import watch

ROOT = Path(__file__).parents[2]
LINK = r"Watch it in a browser: (http://\S+)"
STARTED = r"Starting the search of experiment (\d+)"
RESULT = "best: validation_error"
WANTED_S = 2.0
STARTS_WITHIN_S, ENDS_WITHIN_S = 120.0, 30.0


class Said:
    """What a process prints, and when; it is read all the time, so that the process never waits for a reader."""

    def __init__(self, output: IO[str]) -> None:
        self.lines: list[tuple[float, str]] = []
        self._output = output
        self._news = threading.Condition()
        self._is_over = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with self._output:
            for line in self._output:
                with self._news:
                    self.lines.append((time.perf_counter(), line))
                    self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def _find(self, pattern: str) -> tuple[float, str] | None:
        for at, line in self.lines:
            if found := re.search(pattern, line):
                return at, found.group(found.lastindex or 0)
        return None

    def wait_for(self, pattern: str) -> tuple[float, str]:
        """When a line with this was printed, and what the pattern found there."""
        with self._news:
            self._news.wait_for(lambda: self._find(pattern) or self._is_over, STARTS_WITHIN_S)
            found = self._find(pattern)
        assert found is not None, f"{pattern!r} was not printed: {''.join(line for _, line in self.lines)}"
        return found


def end(demo: subprocess.Popen[str], folder: Path) -> None:
    """Leave nothing of it, whatever state it is in."""
    env = {**os.environ, "DET_DATA_DIR": str(folder / "master"), "XDG_CONFIG_HOME": str(folder / "config")}
    down = [sys.executable, "-m", "determined.cli", "deploy", "local", "cluster-down", "--kill-trials"]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(down, env=env, check=False, stdout=subprocess.DEVNULL, timeout=ENDS_WITHIN_S)
    for how in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(demo.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            demo.wait(ENDS_WITHIN_S)


def test_the_address_that_the_demo_prints_shows_live_curves_of_its_search(
    browser: Browser, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    # In the environment of these tests, which is set up, and a folder of its own.
    command = ["make", "demo", f"VENV={sys.prefix}", f"DEMO={tmp_path}"]
    demo = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    assert demo.stdout is not None
    said = Said(demo.stdout)
    try:
        _, link = said.wait_for(LINK)
        _, number = said.wait_for(STARTED)
        # As soon as there is a search: the first trial has nothing to show yet, and then it appears by itself.
        opened = time.perf_counter()
        seen = watch(context.new_page(), link)
        seen.page.get_by_role("grid", name="Experiments").get_by_role("link", name="asha-digits").first.click()
        seen.until("(c) => c.curves?.drawn > 0")
        expect(seen.mark).to_have_text("live")
        live = time.perf_counter()
        late = max(0.0, live - max(opened, said.wait_for(RESULT)[0]))
        expect(seen.page.get_by_role("heading", level=1)).to_contain_text("running")
        # They are live: there will be more, and they change.
        x = "(c.curves.curves + 1000 * c.curves.last)"
        before = seen.until(f"(c) => {x}")
        seen.until(f"(c) => {x} !== {before}")
        # And in the middle of the search.
        began = time.perf_counter()
        again = watch(context.new_page(), f"{seen.page.url.split('/experiments')[0]}/experiments/{number}/overview")
        drawn = again.until("(c) => c.curves?.drawn > 0 && c.curves")["drawn"]
        expect(again.mark).to_have_text("live")
        took = time.perf_counter() - began
        figure(
            f"live curves {live - opened:.2f} s after the address was opened, {late:.2f} s after the later of that and "
            f"the first result; opened in the middle of the search, {drawn} after {took:.2f} s, of {WANTED_S:.0f}"
        )
        assert late < WANTED_S * ROOM
        assert took < WANTED_S * ROOM
        assert not seen.problems
        assert not again.problems
    finally:
        context.close()
        end(demo, tmp_path)
        said.reader.join(ENDS_WITHIN_S)

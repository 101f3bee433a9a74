"""`make demo`: the address that it prints leads to live curves of the search that runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.webui.conftest import PATIENCE_MS, ROOM
from tests.webui.watch import MARK, watch

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"Watch it in a browser: (http://\S+)")
WANTED_S = 2.0


def test_the_address_that_the_demo_prints_shows_live_curves_of_its_search(
    browser: Browser, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    # In the environment of these tests, which is set up, and a folder of its own.
    command = ["make", "demo", f"VENV={sys.prefix}", f"DEMO={tmp_path}"]
    demo = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    try:
        assert demo.stdout is not None
        link, experiment, said = "", "", []
        for line in demo.stdout:
            said.append(line)
            link = (LINK.findall(line) or [link])[0]
            experiment = (re.findall(r"Starting the search of experiment (\d+)", line) or [experiment])[0]
            if link and experiment and "best: validation_error" in line:
                break
        assert link, f"the demo printed no address: {''.join(said)}"
        assert experiment, f"the demo started no search: {''.join(said)}"
        started = time.perf_counter()
        seen = watch(context.new_page(), link)
        seen.page.get_by_role("grid", name="Experiments").get_by_role("link", name="asha-digits").first.click()
        charts = seen.until("(c) => c.curves?.drawn > 0 && c.curves")
        took_s = time.perf_counter() - started
        figure(f"curves {took_s:.2f} s after the address was opened, of {WANTED_S:.0f}: {charts['drawn']} of them")
        assert took_s < WANTED_S * ROOM
        expect(seen.page.get_by_title(MARK)).to_have_text("live")
        expect(seen.page.get_by_role("heading", level=1)).to_contain_text("running")
        # They are live: there will be more, and they change.
        x = "(c.curves.curves + 1000 * c.curves.last)"
        before = seen.until(f"(c) => {x}")
        seen.until(f"(c) => {x} !== {before}")
        assert not seen.problems
    finally:
        context.close()
        env = {**os.environ, "DET_DATA_DIR": str(tmp_path / "master"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
        down = [sys.executable, "-m", "determined.cli", "deploy", "local", "cluster-down", "--kill-trials"]
        subprocess.run(down, env=env, check=False, stdout=subprocess.DEVNULL)
        os.killpg(demo.pid, signal.SIGINT)
        demo.communicate()

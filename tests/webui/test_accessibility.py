"""Questions, messages and states without an address: they fit, axe finds nothing, and the keyboard reaches all of them.

test_pages.py has what has an address.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from determined.testing.cluster import LocalMaster
from tests.webui.access import need_axe, unreached, violations_in_both
from tests.webui.conftest import MODEL, PATIENCE_MS, log_in
from tests.webui.layout import misfits
from tests.webui.watch import MARK, watch

CONFIG = """
name: runs
entrypoint: python3 train.py
searcher: {name: random, metric: loss, max_length: {epochs: 100000}, max_trials: 3, max_concurrent_trials: 3}
hyperparameters: {x: {type: double, minval: 0.0, maxval: 1.0}, pause_s: 0.2}
resources: {slots_per_trial: 1}
max_restarts: 0
"""


def test_every_question_and_message_fits_is_accessible_and_is_used_with_the_keyboard(
    browser: Browser, tmp_path: Path, keep: Callable[[Page, str], Path]
) -> None:
    need_axe()
    (tmp_path / "runs.yaml").write_text(CONFIG)
    with LocalMaster(tmp_path, open_mode=True) as master:
        context = browser.new_context(base_url=master.url, viewport={"width": 1280, "height": 900})
        context.set_default_timeout(PATIENCE_MS)
        told: list[str] = []
        # Before anybody is logged in, and when that did not work.
        seen = watch(context.new_page(), "/login")
        page = seen.page
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        told += misfits(page, keep, "login") + violations_in_both(page, "login") + unreached(page, "login")
        page.get_by_label("Password").fill("not this one")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_be_visible()
        told += violations_in_both(page, "refused login")
        page.get_by_role("button", name="With a token").click()
        told += misfits(page, keep, "login-by-token") + violations_in_both(page, "login by token")
        told += unreached(page, "login by token")
        page.close()
        log_in(context, master).close()
        seen = watch(context.new_page(), "/experiments")
        page = seen.page

        # Nothing is there yet.
        for path in ("/experiments", "/queue", "/cluster", "/compare"):
            page.goto(path)
            seen.settled()
            told += violations_in_both(page, f"empty {path}")

        made = master.det("experiment", "create", str(tmp_path / "runs.yaml"), str(MODEL))
        assert made.returncode == 0, made.stderr
        # Trials run, and one waits for a slot.
        for path in ("/queue", "/cluster", "/experiments/1/overview", "/experiments/1/trials"):
            page.goto(path)
            seen.settled()
            if path == "/cluster":
                expect(page.locator(".slot a").first).to_be_visible()
            told += violations_in_both(page, f"busy {path}")

        def dialog(name: str, path: str, button: str) -> None:
            page.goto(path)
            page.get_by_role("button", name=button, exact=True).first.click()
            expect(page.get_by_role("dialog")).to_be_visible()
            told.extend(misfits(page, keep, f"dialog-{name}"))
            told.extend(violations_in_both(page, f"dialog {name}"))
            told.extend(unreached(page, f"dialog {name}"))
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)

        dialog("stop", "/experiments/1/overview", "Stop…")
        dialog("pause", "/experiments/1/overview", "Pause…")
        dialog("stop-trial", "/experiments/1/trials/1/metrics", "Stop…")
        dialog("keys", "/settings", "Keys")

        # Rows are selected, an action is told, a fork is refused.
        page.goto("/experiments")
        row = page.get_by_role("grid", name="Experiments").get_by_role("row").filter(has_text="runs")
        row.get_by_role("checkbox").check()
        page.get_by_role("toolbar").get_by_role("button", name="Pause").click()
        page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        expect(page.locator(".notice")).to_be_visible()
        told += misfits(page, keep, "selected") + violations_in_both(page, "selected rows and a message")
        told += unreached(page, "selected rows and a message")
        page.goto("/experiments/1/config?fork=yes")
        page.get_by_label("Configuration of the fork").fill("searcher: {name: nosuch}")
        page.get_by_role("button", name="Start the fork").click()
        expect(page.get_by_role("alert")).to_be_visible()
        told += misfits(page, keep, "refused-fork") + violations_in_both(page, "refused fork")
        told += unreached(page, "refused fork")

        # The master goes away.
        page.goto("/experiments/1/overview")
        expect(page.get_by_title(MARK)).to_have_text("live")
        master.kill()
        expect(page.get_by_text("The master does not answer since")).to_be_visible()
        told += violations_in_both(page, "disconnected")
        page.evaluate("""() => new Promise((done) => {
          const look = () => document.querySelector('main.stale') ? done() : requestAnimationFrame(look);
          look();
        })""")
        keep(page, "disconnected-long")
        told += violations_in_both(page, "disconnected for long")
        page.get_by_role("link", name="Cluster").click()
        expect(page.get_by_role("alert").first).to_contain_text(re.compile("not possible"))
        told += violations_in_both(page, "error")
        context.close()
        assert not told, "\n".join(told)

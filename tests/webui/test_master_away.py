"""A master that is killed or stopped while pages are open: they say so, and then show what is, without a reload."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from determined.testing.cluster import LocalMaster
from tests.webui.conftest import MODEL, PATIENCE_MS, log_in
from tests.webui.watch import MARK, watch

CONFIG = """
name: before
entrypoint: python3 train.py
searcher: {name: random, metric: loss, max_length: {epochs: 100000}, max_trials: 2, max_concurrent_trials: 1}
hyperparameters: {x: {type: double, minval: 0.0, maxval: 1.0}, pause_s: 0.1}
resources: {slots_per_trial: 1}
max_restarts: 0
"""
STEP = re.compile(r"step (\d+) of trial")


def last_step(page: Page) -> int:
    """The last line of the log that the page shows."""
    return max(int(n) for n in STEP.findall(page.get_by_role("log").text_content() or "") or [0])


def after(page: Page, step: int) -> None:
    """Wait until the log on the page has gone beyond a step."""
    page.evaluate(
        """(step) => new Promise((done) => {
          const look = () => {
            const found = [...document.querySelectorAll('.log-line')].map((l) => /step (\\d+) of/.exec(l.textContent));
            if (found.some((m) => m && Number(m[1]) > step)) done(); else requestAnimationFrame(look);
          };
          look();
        })""",
        step,
    )


def test_open_pages_say_that_the_master_is_away_and_then_show_what_is(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text(CONFIG)
    with LocalMaster(tmp_path) as master:
        made = master.det("experiment", "create", str(tmp_path / "long.yaml"), str(MODEL))
        assert made.returncode == 0, made.stderr
        context = browser.new_context(base_url=master.url)
        context.set_default_timeout(PATIENCE_MS)
        log_in(context, master).close()
        paths = {
            "list": "/experiments",
            "experiment": "/experiments/1/overview",
            "trial": "/experiments/1/trials/1/metrics",
            "log": "/experiments/1/trials/1/logs",
            "logs": "/experiments/1/logs",
        }
        seen = {name: watch(context.new_page(), path) for name, path in paths.items()}
        pages = {name: each.page for name, each in seen.items()}
        row = pages["list"].get_by_role("grid", name="Experiments").get_by_role("row").filter(has_text="before")
        expect(row).to_contain_text("running")
        seen["experiment"].until("(c) => c.curves?.last > 2")
        seen["trial"].until("(c) => c['metric-loss']?.series[0]?.[1] > 2")
        for page in pages.values():
            page.bring_to_front()
            expect(page.get_by_title(MARK)).to_have_text("live")
            page.evaluate("() => { window.same = 1 }")
        for way, name in ((master.kill, "after a kill"), (master.stop, "after a stop")):
            for log in ("log", "logs"):
                after(pages[log], 3)
            reached = {log: last_step(pages[log]) for log in ("log", "logs")}
            drawn = seen["experiment"].charts()["curves"]["last"]
            points = seen["trial"].charts()["metric-loss"]["series"][0][1]
            way()
            for page in pages.values():
                expect(page.get_by_title(MARK)).to_have_text("reconnecting")
                expect(page.get_by_text("The master does not answer since")).to_be_visible()
            master.start()
            # It changes before the pages are back, so nobody tells them.
            master.session().patch("/api/v1/experiments/1", json={"name": name})
            for page in pages.values():
                expect(page.get_by_title(MARK)).to_have_text("live")
                expect(page.get_by_text("The master does not answer since")).not_to_be_visible()
            shown = pages["list"].get_by_role("grid", name="Experiments").get_by_role("row").nth(1)
            expect(shown).to_contain_text(name)
            expect(pages["experiment"].get_by_role("heading", level=1)).to_contain_text(name)
            expect(pages["trial"].get_by_role("navigation", name="Breadcrumb")).to_contain_text(name)
            # The trial went on meanwhile, and all of it is there.
            seen["experiment"].until(f"(c) => c.curves.last > {drawn}")
            seen["trial"].until(f"(c) => c['metric-loss'].series[0][1] > {points}")
            for log in ("log", "logs"):
                after(pages[log], reached[log])
        master.session().post("/api/v1/experiments/1/kill")
        for name in ("experiment", "trial"):
            expect(pages[name].get_by_role("heading", level=1)).to_contain_text("canceled")
        assert [page.evaluate("() => window.same") for page in pages.values()] == [1] * len(pages)
        context.close()


def test_a_page_whose_session_has_ended_elsewhere_asks_for_a_login(browser: Browser, tmp_path: Path) -> None:
    with LocalMaster(tmp_path) as master:
        context = browser.new_context(base_url=master.url)
        context.set_default_timeout(PATIENCE_MS)
        first = log_in(context, master)
        second = watch(context.new_page(), "/settings").page
        expect(first.get_by_title(MARK)).to_have_text("live")
        second.get_by_role("button", name="Log out").click()
        for page in (first, second):
            expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert first.get_by_text("The master does not answer since").count() == 0
        context.close()

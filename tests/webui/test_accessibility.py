"""axe finds no violation of WCAG 2.1 A and AA in any dialog or state, in either theme; test_shell.py has the pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from determined.testing.cluster import LocalMaster
from tests.webui.conftest import MODEL, PATIENCE_MS, cannot, log_in
from tests.webui.watch import Watched, watch

AXE = Path(__file__).parents[2] / "webui" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
PAGES = {
    "trial-hparams": "/experiments/1/trials/1/hparams",
    "trial-logs": "/experiments/1/trials/1/logs",
    "trial-checkpoints": "/experiments/1/trials/1/checkpoints",
    "trial-history": "/experiments/1/trials/1/history",
    "searcher-event": "/experiments/1/searcher?event=300",
    "fork": "/experiments/1/config?fork=yes",
    "difference": "/experiments/1/config?other=1",
    "wrong-filter": "/experiments/1/trials?q=nosuch<3",
    "no-row": "/experiments/1/trials?q=lr>1e9",
    "no-line": "/experiments/1/logs?find=nosuchline",
    "no-experiment": "/experiments/999/overview",
    "no-trial": "/experiments/1/trials/99999/metrics",
    "compare-nothing": "/experiments/1/compare",
    "list-filtered": "/experiments?q=nothing+like+it",
}
CONFIG = """
name: runs
entrypoint: python3 train.py
searcher: {name: random, metric: loss, max_length: {epochs: 100000}, max_trials: 3, max_concurrent_trials: 3}
hyperparameters: {x: {type: double, minval: 0.0, maxval: 1.0}, pause_s: 0.2}
resources: {slots_per_trial: 1}
max_restarts: 0
"""


@pytest.fixture(autouse=True)
def axe(browser: Browser) -> None:
    if not AXE.exists():
        cannot("accessibility is not tested: axe-core is not there; run `python webui/build.py --tools`")


def settled(seen: Watched) -> None:
    seen.until("(c, d) => d.querySelector('h1') && !d.querySelector('.skeleton, .starting')")


def violations(page: Page, where: str) -> list[str]:
    """What axe finds in both themes; the theme is another one afterwards."""
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(AXE.read_text() + ";void 0")
    told: list[str] = []
    for _ in range(2):
        theme = page.locator("html").get_attribute("data-theme")
        found: Any = page.evaluate("(rules) => axe.run(document, {runOnly: rules})", RULES)
        for violation in found["violations"]:
            for node in violation["nodes"]:
                told.append(f"{where}, {theme}: {violation['id']}: {node['html'][:160]}: {node['failureSummary']}")
        other = "light" if theme == "dark" else "dark"
        page.emulate_media(color_scheme="dark" if other == "dark" else "light")
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", other)
    return told


def none(told: list[str]) -> None:
    assert not told, "\n".join(told)


def test_no_page_and_no_state_of_one_has_a_violation(opened: Callable[..., Watched]) -> None:
    seen = opened("/experiments")
    told: list[str] = []
    for name, path in PAGES.items():
        seen.page.goto(path)
        settled(seen)
        told += violations(seen.page, name)
    none(told)


def test_no_dialog_and_no_message_has_a_violation(
    browser: Browser, tmp_path: Path, keep: Callable[[Page, str], Path]
) -> None:
    (tmp_path / "runs.yaml").write_text(CONFIG)
    with LocalMaster(tmp_path, open_mode=True) as master:
        context = browser.new_context(base_url=master.url, viewport={"width": 1280, "height": 900})
        context.set_default_timeout(PATIENCE_MS)
        told: list[str] = []
        # Before anybody is logged in, and when that did not work.
        seen = watch(context.new_page(), "/login")
        page = seen.page
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        told += violations(page, "login")
        page.get_by_label("Password").fill("not this one")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_be_visible()
        told += violations(page, "refused login")
        page.get_by_role("button", name="With a token").click()
        told += violations(page, "login by token")
        page.close()
        log_in(context, master).close()
        seen = watch(context.new_page(), "/experiments")
        page = seen.page

        # Nothing is there yet.
        for path in ("/experiments", "/queue", "/cluster", "/compare"):
            page.goto(path)
            settled(seen)
            told += violations(page, f"empty {path}")

        made = master.det("experiment", "create", str(tmp_path / "runs.yaml"), str(MODEL))
        assert made.returncode == 0, made.stderr
        # Trials run, and one waits for a slot.
        for path in ("/queue", "/cluster", "/experiments/1/overview", "/experiments/1/trials"):
            page.goto(path)
            settled(seen)
            if path == "/cluster":
                expect(page.locator(".slot a").first).to_be_visible()
            told += violations(page, f"busy {path}")

        def dialog(name: str, path: str, button: str) -> None:
            page.goto(path)
            page.get_by_role("button", name=button, exact=True).first.click()
            expect(page.get_by_role("dialog")).to_be_visible()
            keep(page, f"dialog-{name}")
            told.extend(violations(page, f"dialog {name}"))
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
        told += violations(page, "selected rows and a message")
        page.goto("/experiments/1/config?fork=yes")
        page.get_by_label("Configuration of the fork").fill("searcher: {name: nosuch}")
        page.get_by_role("button", name="Start the fork").click()
        expect(page.get_by_role("alert")).to_be_visible()
        told += violations(page, "refused fork")

        # The master goes away.
        page.goto("/experiments/1/overview")
        expect(page.get_by_title("Whether news arrive")).to_have_text("live")
        master.kill()
        expect(page.get_by_text("The master does not answer since")).to_be_visible()
        told += violations(page, "disconnected")
        page.evaluate("""() => new Promise((done) => {
          const look = () => document.querySelector('main.stale') ? done() : requestAnimationFrame(look);
          look();
        })""")
        keep(page, "disconnected-long")
        told += violations(page, "disconnected for long")
        page.get_by_role("link", name="Cluster").click()
        expect(page.get_by_role("alert").first).to_contain_text(re.compile("not possible"))
        told += violations(page, "error")
        context.close()
        none(told)

"""Everything that can be done on the pages, done to real trials, in both themes, with a picture of each page.

In the dark there is no mouse: all of it is done with the keyboard alone.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from determined.testing.cluster import LocalMaster
from tests.webui.access import tab_to
from tests.webui.conftest import MODEL, PATIENCE_MS
from tests.webui.watch import Watched, watch

Keep = Callable[[Page, str], Path]
CONFIG = """
name: NAME
labels: [THEME]
entrypoint: python3 train.py
searcher: {name: random, metric: loss, max_length: {epochs: 100000}, max_trials: 4, max_concurrent_trials: 2}
hyperparameters:
  x: {type: double, minval: 0.0, maxval: 1.0}
  kind: {type: categorical, vals: [a, b]}
  pause_s: 0.05
resources: {slots_per_trial: 1}
max_restarts: 0
"""


# A click with the keyboard is one of no pointer.
_POINTERS = """() => {
  window.pointers = 0;
  addEventListener('pointerdown', () => { window.pointers++; }, true);
}"""


class Person:
    """Somebody with a browser, who looks at each page."""

    def __init__(self, seen: Watched, keep: Keep, theme: str) -> None:
        self.seen, self.page, self._keep, self._theme = seen, seen.page, keep, theme

    def do(self, what: Locator) -> None:
        """Press a button, follow a link, tick a box."""
        what.click()

    def types(self, what: Locator, text: str) -> None:
        what.fill(text)

    def at(self, row: Locator) -> None:
        """Go to a row of a table."""

    def opens(self, row: Locator) -> None:
        row.get_by_role("link").first.click()

    def marks(self, row: Locator) -> None:
        row.get_by_role("checkbox").check()

    def press(self, name: str, within: Locator | None = None) -> None:
        self.do((within or self.page).get_by_role("button", name=name, exact=True).first)

    def follow(self, name: str) -> None:
        self.do(self.page.get_by_role("navigation", name=re.compile("Views|Main")).get_by_role("link", name=name).last)

    def sees(self, text: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_contain_text(text)

    def keeps(self, name: str) -> None:
        self.seen.settled()
        self._keep(self.page, f"{name}-{self._theme}")

    def told(self, text: str) -> None:
        notice = self.page.locator(".notice").filter(has_text=text)
        expect(notice).to_be_visible()
        self.press("Dismiss", notice)

    def agrees(self, name: str, within: Locator | None = None) -> None:
        """Press what asks first, and say yes by Enter, which is where the focus is."""
        self.press(f"{name}…", within)
        expect(self.page.get_by_role("dialog").get_by_role("button", name=name, exact=True)).to_be_focused()
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("dialog")).to_have_count(0)

    def stops(self, how: str) -> None:
        self.press("Stop…")
        self.press(how, self.page.get_by_role("dialog"))


class WithoutMouse(Person):
    """Somebody who has a keyboard only."""

    def __init__(self, seen: Watched, keep: Keep, theme: str) -> None:
        super().__init__(seen, keep, theme)
        self.page.add_init_script(f"({_POINTERS})()")
        self.page.reload()

    def do(self, what: Locator) -> None:
        expect(what).to_be_visible()
        tab_to(self.page, what)
        self.page.keyboard.press("Space" if what.get_attribute("type") == "checkbox" else "Enter")

    def types(self, what: Locator, text: str) -> None:
        tab_to(self.page, what)
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(text)

    def at(self, row: Locator) -> None:
        expect(row).to_be_visible()
        self.page.keyboard.press("k")
        for _ in range(30):
            if "current" in (row.get_attribute("class") or ""):
                return
            self.page.keyboard.press("j")
        raise AssertionError(f"the keys do not lead to {row}")

    def opens(self, row: Locator) -> None:
        self.at(row)
        # On a link or a button this key is for that.
        tab_to(self.page, self.page.get_by_role("grid").first)
        self.page.keyboard.press("Enter")

    def marks(self, row: Locator) -> None:
        self.at(row)
        self.page.keyboard.press("x")
        expect(row.get_by_role("checkbox")).to_be_checked()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_that_can_be_done_is_done(
    browser: Browser, busy: LocalMaster, keep: Keep, theme: str, tmp_path: Path
) -> None:
    (tmp_path / "long.yaml").write_text(CONFIG.replace("NAME", f"long {theme}").replace("THEME", theme))
    made = busy.det("experiment", "create", str(tmp_path / "long.yaml"), str(MODEL))
    number = int(re.findall(r"Created experiment (\d+)", made.stdout)[0])
    context = browser.new_context(
        base_url=busy.url,
        viewport={"width": 1440, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
        accept_downloads=True,
    )
    context.set_default_timeout(PATIENCE_MS)
    seen = watch(context.new_page(), "/experiments")
    who = {"light": Person, "dark": WithoutMouse}[theme](seen, keep, theme)
    page = seen.page

    # Log in, and look at the list.
    who.keeps("login")
    who.types(page.get_by_label("User"), "determined")
    who.press("Log in")
    who.sees("Experiments")
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    row = page.get_by_role("grid", name="Experiments").get_by_role("row").filter(has_text=f"long {theme}")
    expect(row).to_contain_text("running")
    who.marks(row)
    bulk = page.get_by_role("toolbar", name="Selected experiments")
    who.agrees("Pause", bulk)
    who.told(f"Experiment {number} is paused.")
    expect(row).to_contain_text("paused")
    who.keeps("list")
    who.agrees("Resume", bulk)
    who.told(f"Experiment {number} is resumed.")

    # One experiment: its curves grow, it is paused and goes on.
    who.opens(row)
    before = seen.until("(c) => c.curves?.drawn === 2 && c.curves?.last > 3")["curves"]["last"]
    seen.until(f"(c) => c.curves.last > {before}")
    who.agrees("Pause")
    who.sees("paused")
    who.keeps("overview")
    who.agrees("Resume")
    who.sees("running")
    for tab in ("Searcher", "Hyperparameters", "Config", "Code", "Logs"):
        who.follow(tab)
        who.keeps(tab.lower())
    expect(page.get_by_role("log")).to_contain_text("step ")

    # Its trials: one is killed, one is canceled, all are downloaded.
    who.follow("Trials")
    trials = page.get_by_role("grid", name="Trials")
    with page.expect_download() as table:
        who.press("CSV")
    assert Path(table.value.path()).read_text().startswith("trial,state,")
    who.keeps("trials")
    who.opens(trials.get_by_role("row").filter(has_text="running").first)
    for tab in ("Hyperparameters", "Logs", "Checkpoints", "History", "Metrics"):
        who.follow(tab)
        who.keeps(f"trial-{tab.lower()}")
    who.stops("Kill trial")
    who.sees("canceled")
    page.goto(f"/experiments/{number}/trials?q=state%3Drunning")
    who.opens(trials.get_by_role("row").nth(1))
    seen.until("(c) => c['metric-loss']?.series[0]?.[1] > 2")
    who.stops("Cancel trial")
    who.told("is being canceled.")
    who.sees("canceled")

    # Its checkpoints can be had; those of a trial that is over do not move.
    who.follow("Checkpoints")
    with page.expect_download() as saved:
        # Those of the first row are in the order of Tab.
        who.do(page.get_by_role("grid", name="Checkpoints").get_by_role("link", name="Download").first)
    with zipfile.ZipFile(saved.value.path()) as archive:
        assert any(name.endswith("step") for name in archive.namelist())
    who.keeps("checkpoints")

    # Where it runs, and when.
    who.follow("Queue")
    runs = page.get_by_role("grid", name="Runs")
    run = runs.get_by_role("row").filter(has_text=f"Experiment {number}").first
    who.at(run)
    who.press("Sooner", run)
    who.told(f"Experiment {number} has priority")
    who.keeps("queue")
    who.follow("Cluster")
    expect(page.locator(".slot a").first).to_be_visible()
    who.keeps("cluster")

    # A changed copy, which is killed and put away.
    page.goto(f"/experiments/{number}/overview")
    who.do(page.get_by_role("link", name="Fork", exact=True))
    editor = page.get_by_label("Configuration of the fork")
    expect(editor).to_have_value(re.compile(f"long {theme}"))
    text = editor.input_value().replace(f"long {theme}", f"fork {theme}")
    who.types(editor, text.replace("max_trials: 4", "max_trials: 1"))
    who.keeps("fork")
    who.press("Start the fork")
    who.sees(f"fork {theme}")
    copy = int(page.url.split("/experiments/")[1].split("/")[0])
    config = busy.session().get(f"/api/v1/experiments/{copy}")["experiment"]["config"]
    assert (config["name"], config["searcher"]["max_trials"]) == (f"fork {theme}", 1)
    page.goto(f"/experiments/{copy}/config?other={number}")
    expect(page.locator(".d-added").filter(has_text=f"name: fork {theme}")).to_be_visible()
    who.keeps("difference")
    who.stops("Kill")
    who.sees("canceled")
    who.press("Archive")
    who.sees("archived")
    who.press("Unarchive")
    expect(page.get_by_role("button", name="Archive", exact=True)).to_be_visible()

    # The first one is canceled, compared with its copy, and put away in the list.
    page.goto(f"/experiments/{number}/overview")
    who.stops("Cancel experiment")
    who.sees("canceled")
    page.goto(f"/compare?e={number},{copy}")
    seen.until("(c) => c.compare?.series.length >= 1")
    who.keeps("compare-experiments")
    page.goto(f"/experiments/{number}/trials")
    for place in (1, 2):
        who.marks(trials.get_by_role("row").nth(place))
    page.keyboard.press("c")
    seen.until("(c) => c.compare?.series.length === 2")
    who.keeps("compare-trials")
    page.goto("/experiments")
    who.marks(row)
    who.press("Archive", bulk)
    expect(row).to_have_count(0)
    who.do(page.get_by_label("archived too"))
    expect(row).to_contain_text("archived")

    # Settings, and out.
    who.do(page.get_by_role("link", name="Settings"))
    for name in ("compact", "6", "1234"):
        who.press(name)
    expect(page.get_by_text("1234.57", exact=True)).to_be_visible()
    who.keeps("settings")
    page.reload()
    expect(page.get_by_text("1234.57", exact=True)).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-density", "compact")
    if theme == "dark":
        assert page.evaluate("() => window.pointers") == 0
    who.press("Log out")
    who.sees("Log in")
    assert [p for p in seen.problems if "401" not in p] == []
    context.close()

"""What every control does, when it is used with the keyboard alone.

What is done to experiments and trials is in test_actions.py; that nothing is out of reach, in test_pages.py.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Download, Locator, expect

from determined.testing.cluster import LocalMaster
from tests.webui.access import tab_to
from tests.webui.conftest import PATIENCE_MS
from tests.webui.paths import PAGES, STATES
from tests.webui.watch import Watched, watch


@pytest.fixture(scope="module")
def keys(browser: Browser, master: LocalMaster, session: Path) -> Iterator[Keys]:
    context = browser.new_context(base_url=master.url, storage_state=session, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield Keys(watch(context.new_page(), "/settings"))
    context.close()


class Keys:
    """Somebody who has a keyboard only."""

    def __init__(self, seen: Watched) -> None:
        self.seen, self.page = seen, seen.page

    def open(self, path: str) -> None:
        self.page.goto(path)
        self.seen.settled()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def button(self, name: str, within: Locator | None = None) -> Locator:
        return (within or self.page).get_by_role("button", name=name, exact=True).first

    def use(self, what: str | Locator, *keys: str) -> None:
        """Go to a control, or to the button of a name, and press keys there; Enter if there are none."""
        control = self.button(what) if isinstance(what, str) else what
        expect(control).to_be_visible()
        tab_to(self.page, control)
        self.press(*(keys or ["Enter"]))

    def type(self, into: Locator, text: str) -> None:
        self.use(into, "ControlOrMeta+A")
        self.page.keyboard.insert_text(text)

    def asks(self, text: str) -> None:
        """Wait until something is in the address."""
        self.page.wait_for_url(re.compile(text))

    def gets(self, what: str | Locator) -> Download:
        with self.page.expect_download() as download:
            self.use(what)
        return download.value


def test_the_list_is_sorted_filtered_selected_and_opened(keys: Keys) -> None:
    keys.open(PAGES["list"])
    page, row = keys.page, keys.page.locator(".tr").first
    keys.use("Name")
    keys.asks("sort=name")
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    keys.press("/")
    page.keyboard.insert_text("nothing like it")
    expect(page.get_by_text("No row matches the filter.")).to_be_visible()
    keys.press("Escape", "Escape")
    expect(row).to_be_visible()
    keys.use(page.locator(".chip", has_text="completed"))
    keys.asks("state=completed")
    keys.use(page.get_by_label("archived too"), "Space")
    keys.asks("archived=yes")
    keys.press("j", "x")
    keys.use("Clear")
    expect(page.get_by_label("archived too")).to_be_visible()
    keys.use(row.get_by_role("checkbox"), "Space")
    expect(row).to_have_attribute("aria-selected", "true")
    keys.press("Escape")
    expect(row).to_have_attribute("aria-selected", "false")
    keys.use(row.get_by_role("link"))
    keys.asks("/experiments/1/overview")
    keys.use(page.get_by_role("navigation", name="Breadcrumb").get_by_role("link").first)
    keys.asks("/experiments$")


def test_the_trials_are_sorted_filtered_chosen_saved_and_compared(keys: Keys) -> None:
    keys.open(PAGES["trials"])
    page, rows = keys.page, keys.page.locator(".tr")
    for direction in ("ascending", "descending"):
        keys.use("lr")
        expect(page.get_by_role("columnheader", name="lr")).to_have_attribute("aria-sort", direction)
    keys.use(page.locator(".chooser summary"))
    keys.use(page.get_by_label("restarts"), "Space")
    keys.asks("columns=.*restarts")
    keys.use("The usual ones")
    keys.use(page.locator(".chooser summary"))
    expect(page.get_by_role("columnheader", name="Restarts")).to_have_count(0)
    keys.press("/")
    page.keyboard.insert_text("optimizer=adamw")
    keys.asks("q=optimizer")
    expect(rows.first).to_contain_text("adamw")
    lines = Path(keys.gets("CSV").path()).read_text().splitlines()
    assert len(lines) == int(page.get_by_role("grid").get_attribute("aria-rowcount") or 0)
    # The arrow keys take what has the focus to the next row; the last row is as near as the first.
    keys.use(rows.first.get_by_role("checkbox"), "Space", "ArrowDown", "Space")
    expect(page.locator(".tfoot")).to_contain_text("2 selected")
    # At the edge there is no next row, and what is drawn then must not take the focus from who types.
    keys.press("Home", "ArrowUp", "/", "ControlOrMeta+a")
    page.keyboard.type("optimizer=adamw lr>0")
    expect(page.locator("input:focus")).to_have_value("optimizer=adamw lr>0")
    keys.use(page.get_by_role("grid"), "End", "x", "Home")
    expect(page.locator(".tfoot")).to_contain_text("3 selected")
    keys.use(page.locator(".tfoot").get_by_role("link", name="Compare"))
    keys.seen.until("(c) => c.compare?.series.length === 3")
    for choice in ("x=log", "y=log"):
        group = page.get_by_role("group", name=choice[0], exact=True)
        keys.use(keys.button("log", group))
        keys.asks(choice)
    keys.use(page.locator(".plain-table thead a").first)
    keys.asks(r"/trials/\d+/metrics")


def test_charts_are_walked_and_what_is_found_is_opened(keys: Keys) -> None:
    keys.open(PAGES["overview"])
    page, until = keys.page, keys.seen.until
    for group, name, wanted in (("colour", "trial", "colour=trial"), ("x", "log", "x=log"), ("y", "lin", "y=lin")):
        keys.use(keys.button(name, page.get_by_role("group", name=group, exact=True)))
        keys.asks(wanted)
    keys.press("l")
    keys.asks("y=log")
    keys.use(page.locator("[data-chart=curves]"), "ArrowDown")
    best = until("(c) => c.curves.hovered")
    assert f"#{best}" == page.locator(".best .card-head a").text_content()
    keys.press("ArrowDown")
    trial = until(f"(c) => c.curves.hovered !== {best} && c.curves.hovered")
    keys.press("Enter")
    keys.asks(f"/trials/{trial}/metrics")
    keys.use(keys.button("log"))
    keys.asks("y=log")
    keys.press("l")
    keys.open(PAGES["searcher"])
    keys.use(page.locator("[data-chart=rung-0-0]"), "ArrowRight", "ArrowRight")
    second = until("(c) => c['rung-0-0'].hovered")
    keys.press("ArrowLeft")
    first = until(f"(c) => c['rung-0-0'].hovered !== {second} && c['rung-0-0'].hovered")
    keys.press("Enter")
    keys.asks(f"/trials/{first}/history")
    keys.open(PAGES["hparams"])
    for axis, name in (("Across", "a"), ("Upwards", "b")):
        keys.use(page.get_by_label(axis), "l")
        keys.asks(f"{name}=l")
    keys.use(page.locator("[data-chart=scatter-lr]"), "End")
    trial = until("(c) => c['scatter-lr'].hovered")
    keys.press("Enter")
    keys.asks(f"/trials/{trial}/metrics")


def test_the_searcher_is_scrubbed_and_its_decisions_are_walked(keys: Keys) -> None:
    keys.open(PAGES["searcher"])
    page, slider = keys.page, keys.page.get_by_label("Event", exact=True)
    last = int(slider.get_attribute("max") or 0)
    keys.use(slider, "ArrowLeft", "ArrowLeft")
    keys.asks(f"event={last - 2}$")
    keys.use("Previous event")
    keys.asks(f"event={last - 3}$")
    keys.use("Next event")
    keys.use(slider, "Home")
    keys.asks("event=1$")
    keys.seen.until("(c) => c['rung-0-0']?.event === 1")
    keys.use("back to now")
    keys.seen.until(f"(c) => c['rung-0-0']?.event === {last}")
    items = page.locator(".decisions > li")
    earlier = page.get_by_role("button", name="Earlier decisions")
    # From the newest decision past all that are listed, which may still become more, to what brings more of them.
    keys.use(page.get_by_role("list", name="Decisions"), "ArrowDown")
    for _ in range(500):
        if earlier.evaluate("(button) => button === document.activeElement"):
            break
        keys.press("ArrowDown")
    expect(earlier).to_be_focused()
    before = items.count()
    keys.press("Enter")
    expect(items).not_to_have_count(before)
    keys.press("ArrowUp", "Enter")
    keys.asks(r"event=\d+$")
    keys.open(f"{PAGES['searcher']}?trial=1")
    keys.use(page.locator(".chip", has_text="trial #1"))
    keys.asks("/searcher$")


def test_files_are_chosen_copied_and_downloaded(keys: Keys) -> None:
    page = keys.page
    keys.open(PAGES["config"])
    config = page.locator("pre.code").text_content() or ""
    found = keys.gets("Download")
    assert found.suggested_filename == "experiment-1.yaml"
    text = Path(found.path()).read_text()
    assert yaml.safe_load(text) == yaml.safe_load(config)
    keys.use("Copy")
    assert page.evaluate("() => navigator.clipboard.readText()") == text
    keys.type(page.get_by_label("Compare with experiment"), "1")
    keys.press("Enter")
    keys.asks("other=1")
    keys.use(page.locator(".chip", has_text="experiment 1"))
    keys.use(page.get_by_role("link", name="Fork…"))
    keys.asks("fork=yes")
    keys.use("Back")
    keys.asks("/config$")
    keys.open(PAGES["code"])
    files = page.locator(".tree button")
    keys.use(files.last)
    expect(files.last).to_have_attribute("aria-current", "true")
    found = keys.gets("Download all")
    assert found.suggested_filename == "experiment-1-code.tar.gz"
    with tarfile.open(found.path()) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
    assert {(name or "").strip() for name in files.all_text_contents()} <= names
    for name in ("checkpoints", "trial-checkpoints"):
        keys.open(PAGES[name])
        grid, dialog = page.get_by_role("grid", name="Checkpoints"), page.get_by_role("dialog")
        keys.use(keys.button("Copy command", grid))
        command = page.evaluate("() => navigator.clipboard.readText()")
        assert command.startswith("det checkpoint download ")
        # By its button, and as the row that was gone to.
        for control, pressed in ((grid.locator(".tr button.link").first, ["Enter"]), (grid, ["Home", "Enter"])):
            keys.use(control, *pressed)
            expect(dialog).to_contain_text(f"Files of checkpoint {command.split()[-1]}")
            keys.press("Escape")
            expect(dialog).to_have_count(0)


def test_logs_and_the_story_are_narrowed_down(keys: Keys) -> None:
    keys.open(PAGES["logs"])
    page = keys.page
    keys.use("failed")
    keys.asks("trial=failed")
    keys.type(page.get_by_placeholder("3, 7, 10-12"), "1-3")
    keys.press("Enter")
    keys.asks("trial=1-3")
    keys.use(page.get_by_label("Least level that is shown"), "w")
    keys.asks("level=WARNING")
    keys.use(page.get_by_label("follow"), "Space")
    expect(page.get_by_label("follow")).not_to_be_checked()
    keys.press("/")
    page.keyboard.insert_text("error")
    keys.asks("find=error")
    keys.open(PAGES["trial-history"])
    told = page.locator(".story li").count()
    keys.use(page.get_by_label("reports too"), "Space")
    expect(page.locator(".story li")).not_to_have_count(told)
    keys.use(page.locator(".decisions a.event-no").first)
    keys.asks(r"/searcher\?event=\d+")


def test_numbers_are_tabs_and_letters_are_places(keys: Keys) -> None:
    keys.open(PAGES["overview"])
    page = keys.page
    for number, tab in enumerate(
        ("overview", "trials", "searcher", "hparams", "config", "code", "logs", "checkpoints")
    ):
        keys.press(str(number + 1))
        keys.asks(f"/experiments/1/{tab}$")
    keys.open(PAGES["trial"])
    for number, tab in enumerate(("metrics", "hparams", "logs", "checkpoints", "history")):
        keys.press(str(number + 1))
        keys.asks(f"/trials/1/{tab}$")
    for letters, place in (("gc", "cluster"), ("gq", "queue"), ("ge", "experiments")):
        keys.press(*letters)
        keys.asks(f"/{place}$")
    keys.use(page.get_by_role("link", name="Skip to content"))
    keys.press("Tab")
    assert page.evaluate("() => Boolean(document.activeElement.closest('main'))")
    keys.open(PAGES["experiments"])
    for choice in ("time", "work", "trials", "log"):
        keys.use(choice)
        expect(keys.button(choice)).to_have_attribute("aria-pressed", "true")
    keys.use(page.locator(".plain-table a"))
    keys.asks("/experiments/1/overview")


def test_settings_are_changed_and_a_token_is_typed(keys: Keys, browser: Browser, master: LocalMaster) -> None:
    keys.open(PAGES["settings"])
    page, html = keys.page, keys.page.locator("html")
    for theme in ("dark", "light"):
        keys.use(theme)
        expect(html).to_have_attribute("data-theme", theme)
    keys.use("Switch between light and dark")
    expect(html).to_have_attribute("data-theme", "dark")
    for choice in ("as the system", "compact", "comfortable", "3", "6", "all", "4", "1234", "1,234"):
        keys.use(choice)
        expect(keys.button(choice)).to_have_attribute("aria-pressed", "true")
    keys.use("Keys")
    expect(page.get_by_role("dialog")).to_contain_text("type into the filter")
    keys.press("Escape")
    context = browser.new_context(base_url=master.url)
    stranger = Keys(watch(context.new_page(), "/experiments"))
    stranger.use("With a token")
    stranger.type(stranger.page.get_by_label("Token"), master.token())
    stranger.press("Enter")
    expect(stranger.page.get_by_role("heading", name="Experiments", exact=True)).to_be_visible()
    stranger.open(STATES["searcher-event"])
    context.close()

"""Questions before something is done, answered with the keyboard alone, and tables that are downloaded."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from determined.testing.cluster import LocalMaster
from tests.webui.access import tab_to
from tests.webui.conftest import MODEL, PATIENCE_MS
from tests.webui.watch import watch

FORMULAS = ["=1+1", "@SUM(A1)", "+1+1", "-1+1", "\t=1", 'say "x", y', "-0.5"]
CONFIG = """
name: asked
entrypoint: python3 train.py
searcher: {name: grid, metric: "-loss", max_length: {epochs: 1}, max_concurrent_trials: 10}
hyperparameters:
  =lr: -0.5
  text: {type: categorical, vals: ["=1+1", "@SUM(A1)", "+1+1", "-1+1", "\\t=1", 'say "x", y', "-0.5"]}
"""


def logged_in(browser: Browser, busy: LocalMaster, path: str) -> Page:
    context = browser.new_context(base_url=busy.url, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    page = watch(context.new_page(), "/login").page
    page.get_by_label("User").fill("determined")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Experiments", exact=True)).to_be_visible()
    page.goto(path)
    return page


def paused(busy: LocalMaster, tmp_path: Path) -> int:
    """An experiment all of whose trials wait for the end of its pause."""
    (tmp_path / "asked.yaml").write_text(CONFIG)
    made = busy.det("experiment", "create", "--paused", str(tmp_path / "asked.yaml"), str(MODEL))
    return int(re.findall(r"Created experiment (\d+)", made.stdout)[0])


def test_questions_keep_the_focus_give_it_back_and_are_answered_by_enter(
    browser: Browser, busy: LocalMaster, tmp_path: Path
) -> None:
    number = paused(busy, tmp_path)
    page = logged_in(browser, busy, f"/experiments/{number}/overview")
    dialog, title = page.get_by_role("dialog"), page.get_by_role("heading", level=1)
    expect(title).to_contain_text("paused")
    steer = page.locator(".page-head").get_by_role("button", name=re.compile("Pause…|Resume…"))
    tab_to(page, steer)
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Resume", exact=True)).to_be_focused()
    # Nothing behind the question can be reached.
    for _ in range(6):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "() => !!document.activeElement.closest('dialog') || document.activeElement === document.body"
        )
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(steer).to_be_focused()
    expect(title).to_contain_text("paused")
    # The answer is given once, and the button that asked is still there, now for the other way.
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Resume", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(steer).to_have_text("Pause…")
    expect(steer).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Pause", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(title).to_contain_text("paused")
    # What cannot be taken back is no answer of Enter.
    tab_to(page, page.get_by_role("button", name="Stop…"))
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Back")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Stop…")).to_be_focused()
    page.keyboard.press("?")
    expect(dialog).to_contain_text("type into the filter")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Stop…")).to_be_focused()
    # In the list, too.
    page.keyboard.press("g")
    page.keyboard.press("e")
    grid = page.get_by_role("grid", name="Experiments")
    expect(grid.get_by_role("row").nth(1)).to_contain_text("asked")
    page.keyboard.press("j")
    page.keyboard.press("x")
    bulk = page.get_by_role("toolbar", name="Selected experiments")
    tab_to(page, bulk.get_by_role("button", name="Resume…"), "Shift+Tab")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("Resume asked?")
    page.keyboard.press("Escape")
    expect(bulk.get_by_role("button", name="Resume…")).to_be_focused()
    busy.session().post(f"/api/v1/experiments/{number}/kill")
    page.context.close()


def test_a_trial_without_a_process_is_canceled_with_the_keyboard(
    browser: Browser, busy: LocalMaster, tmp_path: Path
) -> None:
    number = paused(busy, tmp_path)
    trial = busy.session().get(f"/api/v1/experiments/{number}/trials")["trials"][0]["id"]
    page = logged_in(browser, busy, f"/experiments/{number}/trials/{trial}/metrics")
    stop = page.get_by_role("button", name="Stop…")
    tab_to(page, stop)
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("lets it save a checkpoint first")
    tab_to(page, dialog.get_by_role("button", name="Cancel trial"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("canceled")
    expect(stop).to_have_count(0)
    busy.session().post(f"/api/v1/experiments/{number}/kill")
    page.context.close()


def test_a_downloaded_table_holds_no_formulas(browser: Browser, busy: LocalMaster, tmp_path: Path) -> None:
    number = paused(busy, tmp_path)
    page = logged_in(browser, busy, f"/experiments/{number}/trials")
    rows = page.get_by_role("grid", name="Trials").get_by_role("row")
    expect(rows).to_have_count(len(FORMULAS) + 1)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    with Path(download.value.path()).open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(FORMULAS)
    expected = ["'=1+1", "'@SUM(A1)", "'+1+1", "'-1+1", "'\t=1", 'say "x", y', "-0.5"]
    assert sorted(row["text"] for row in table) == sorted(expected)
    cells = [cell for row in table for cell in (*row, *row.values())]
    assert [c for c in cells if re.match(r"[=+@\t\r-]", c) and c != "-0.5"] == []
    busy.session().post(f"/api/v1/experiments/{number}/kill")
    page.context.close()

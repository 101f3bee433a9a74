"""What all pages share: login, news, questions, the theme, and what cannot be loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect

from determined.testing.cluster import LocalMaster
from tests.webui.conftest import log_in
from tests.webui.watch import MARK, Watched, watch

Open = Callable[..., Watched]
CONFIG = """
name: plain
entrypoint: "true"
searcher: {name: single, metric: loss, max_length: {batches: 1}}
"""


def test_somebody_who_is_not_logged_in_is_asked_and_returns_to_where_they_wanted(
    browser: Browser, tmp_path: Path
) -> None:
    with LocalMaster(tmp_path, open_mode=True) as master:
        context = browser.new_context(base_url=master.url)
        page = watch(context.new_page(), "/cluster").page
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.get_by_label("Password").fill("not this one")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_be_visible()
        page.get_by_label("Password").fill("")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Cluster")).to_be_visible()
        page.goto("/settings")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.goto("/experiments")
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        context.close()


def test_news_come_without_a_reload_and_a_question_can_be_left_unanswered(browser: Browser, tmp_path: Path) -> None:
    with LocalMaster(tmp_path) as master:
        context = browser.new_context(base_url=master.url)
        page = log_in(context, master)
        expect(page.get_by_text("No experiment yet")).to_be_visible()
        expect(page.get_by_title(MARK)).to_have_text("live")
        body = {"config": CONFIG, "activate": False, "modelDefinition": [{"path": "a.py", "type": 48}]}
        master.session().post("/api/v1/experiments", json=body)
        row = page.get_by_role("grid", name="Experiments").get_by_role("row").nth(1)
        expect(row).to_contain_text("paused")
        page.get_by_role("link", name="plain").click()
        page.get_by_role("button", name="Stop…").click()
        page.get_by_role("dialog").get_by_role("button", name="Back").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("paused")
        context.close()


def test_the_theme_is_switched_by_key_and_kept(opened: Open) -> None:
    page = opened("/experiments").page
    expect(page.get_by_role("grid", name="Experiments")).to_be_visible()
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_what_cannot_be_loaded_says_so_and_can_be_tried_again(opened: Open) -> None:
    page = opened("/experiments/999/overview").page
    expect(page.get_by_role("alert")).to_contain_text("It was not possible to read experiment 999")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_contain_text("It was not possible to read experiment 999")
    page.route(re.compile("/ui/experiments/1/trials"), lambda route: route.abort())
    page.goto("/experiments/1/overview")
    expect(page.get_by_role("alert").first).to_contain_text("did not answer")
    expect(page.get_by_role("heading", level=1)).to_contain_text("asha")
    page.unroute(re.compile("/ui/experiments/1/trials"))
    # It is tried again without a click as well.
    expect(page.get_by_role("grid", name="Trials").get_by_role("row").nth(1)).to_be_visible()

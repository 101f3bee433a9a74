"""Pages take nothing for what it is not: old data for that of another question, a failure for an answer, a held key for
another one, and no other site for their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from determined.testing.cluster import LocalMaster
from tests.webui.access import tab_to
from tests.webui.conftest import PATIENCE_MS
from tests.webui.test_questions import logged_in, paused


@pytest.fixture
def page(browser: Browser, master: LocalMaster, session: Path) -> Page:
    """A page that nobody watches: the tests let requests fail."""
    context = browser.new_context(storage_state=session, base_url=master.url, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    return context.new_page()


def holds(page: Page, address: re.Pattern[str]) -> Callable[[], None]:
    """Keep answers back; returns what lets them through."""
    held: list[Route] = []
    page.route(address, lambda route: held.append(route))

    def let_through() -> None:
        for route in held:
            route.continue_()
        page.unroute(address)

    return let_through


def test_a_difference_is_shown_under_its_own_heading_only(page: Page, master: LocalMaster) -> None:
    row = master.session().get("/api/v1/ui/experiments/1")
    held: list[Route] = []

    def other(route: Route) -> None:
        number = int(route.request.url.rpartition("/")[2])
        row["config"]["name"] = f"of {number}"
        route.fulfill(body=json.dumps(row))

    page.route(re.compile(r"/api/v1/ui/experiments/77$"), other)
    page.route(re.compile(r"/api/v1/ui/experiments/78$"), lambda route: held.append(route))
    page.goto("/experiments/1/config?other=77")
    body = page.locator(".body")
    expect(body).to_contain_text("of 77")
    page.get_by_label("Compare with experiment").fill("78")
    page.get_by_label("Compare with experiment").press("Enter")
    expect(body).to_contain_text("against experiment 78")
    expect(body).not_to_contain_text("of 77")
    while not held:
        page.wait_for_event("request")
    for route in held:
        other(route)
    expect(body).to_contain_text("of 78")
    page.context.close()


def test_decisions_and_rungs_are_shown_under_their_own_headings_only(page: Page) -> None:
    page.goto("/experiments/1/searcher?trial=5&event=40")
    list_of = page.get_by_role("list", name="Decisions", exact=True)
    rungs = page.locator(".card").filter(has=page.get_by_role("heading", name="Rungs"))
    decisions = page.locator(".card").filter(has=page.get_by_role("heading", name="Decisions"))
    expect(list_of.get_by_role("listitem").first).to_contain_text("#5")
    expect(rungs).to_contain_text("as they were at event 40")
    let_through = holds(page, re.compile("/(decisions|rungs)[?]"))
    page.get_by_role("button", name="Previous event").click()
    expect(page.locator(".scrubber")).to_contain_text("39 of")
    # These are the old ones, and say so.
    expect(decisions).to_contain_text("up to event 40")
    expect(rungs).to_contain_text("as they were at event 40")
    let_through()
    expect(list_of.get_by_role("listitem").first).to_contain_text("#5")
    expect(decisions).to_contain_text("up to event 39")
    expect(rungs).to_contain_text("as they were at event 39")
    let_through = holds(page, re.compile("/decisions[?]"))
    page.get_by_role("button", name="trial #5 ×").click()
    expect(page.get_by_role("button", name="trial #5 ×")).to_have_count(0)
    expect(list_of).to_have_count(0)
    let_through()
    expect(list_of.get_by_role("listitem").first).to_be_visible()
    page.context.close()


def test_the_slider_of_events_stays_while_decisions_are_read_and_no_news_comes(page: Page) -> None:
    # Nothing is ever told over the stream.
    page.route_web_socket(re.compile("/api/v1/stream"), lambda socket: None)
    page.goto("/experiments/1/searcher")
    slider = page.get_by_label("Event", exact=True)
    last = int(slider.get_attribute("max") or 0)
    let_through = holds(page, re.compile("/(decisions|rungs)[?]"))
    slider.press("ArrowLeft")
    page.wait_for_url(re.compile(f"event={last - 1}$"))
    expect(slider).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile(f"event={last - 2}$"))
    expect(slider).to_have_attribute("max", str(last))
    let_through()
    expect(page.locator(".body")).to_contain_text(f"up to event {last - 2:,}")
    expect(slider).to_be_focused()
    page.context.close()


def test_earlier_decisions_that_cannot_be_read_are_asked_for_again(page: Page) -> None:
    page.goto("/experiments/1/searcher")
    marks = page.locator(".decisions .event-no")
    expect(marks).to_have_count(200)
    earlier = re.compile(r"/decisions[?].*before=")
    page.route(earlier, lambda route: route.fulfill(status=503, body='{"message": "too much to do"}'))
    page.get_by_role("button", name="Earlier decisions").click()
    expect(page.locator(".decisions").get_by_role("alert")).to_contain_text("too much to do")
    expect(marks).to_have_count(200)
    page.unroute(earlier)
    page.locator(".decisions").get_by_role("button", name="Try again").click()
    expect(page.locator(".decisions").get_by_role("alert")).to_have_count(0)
    expect(marks).not_to_have_count(200)
    page.context.close()


def test_a_master_that_is_not_ready_is_no_logout(page: Page) -> None:
    page.route("**/ui/session", lambda route: route.fulfill(status=503, body='{"message": "it is taking up its runs"}'))
    page.goto("/experiments")
    expect(page.get_by_role("heading", name="The master is not ready")).to_be_visible()
    expect(page.get_by_text("it is taking up its runs")).to_be_visible()
    expect(page.get_by_role("heading", name="Log in")).to_have_count(0)
    page.unroute("**/ui/session")
    expect(page.get_by_role("heading", name="Experiments", exact=True)).to_be_visible()
    page.route("**/ui/session", lambda route: route.fulfill(status=401, body="{}"))
    page.reload()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.context.close()


def test_a_login_leads_to_no_other_site(browser: Browser, busy: LocalMaster) -> None:
    for to, path in (
        ("https://elsewhere.invalid/x", "/experiments"),
        ("//elsewhere.invalid", "/experiments"),
        ("/queue", "/queue"),
    ):
        context = browser.new_context(base_url=busy.url)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(f"/login?to={to}")
        page.get_by_label("User").fill("determined")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Log in")).to_have_count(0)
        expect(page).to_have_url(f"{busy.url}{path}")
        context.close()


def test_a_key_that_is_held_answers_nothing(browser: Browser, busy: LocalMaster, tmp_path: Path) -> None:
    number = paused(busy, tmp_path)
    page = logged_in(browser, busy, f"/experiments/{number}/overview")
    dialog, title = page.get_by_role("dialog"), page.get_by_role("heading", level=1)
    expect(title).to_contain_text("paused")
    tab_to(page, page.locator(".page-head").get_by_role("button", name="Resume…"))
    page.keyboard.down("Enter")
    answer = dialog.get_by_role("button", name="Resume", exact=True)
    expect(answer).to_be_focused()
    for key in ("Enter", "Enter", "Enter"):
        page.keyboard.down(key)
    page.keyboard.up("Enter")
    expect(answer).to_be_focused()
    assert busy.session().get(f"/api/v1/ui/experiments/{number}")["state"] == "PAUSED"
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(title).not_to_contain_text("paused")
    busy.session().post(f"/api/v1/experiments/{number}/kill")
    page.context.close()

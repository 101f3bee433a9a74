"""What a page shows while it waits for an answer, when the answer is an error, when there is nothing, and when nobody
answers any more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, WebSocketRoute, expect

from determined.testing.cluster import LocalMaster
from tests.webui.conftest import PATIENCE_MS, log_in
from tests.webui.paths import PAGES, STATES
from tests.webui.watch import Watched, watch

# What is tried again by itself, is tried between half a second and 16 s later: not on these pages, so that it is the
# button that does it.
_NO_RETRIES = """(() => {
  const later = window.setTimeout.bind(window);
  window.setTimeout = (act, ms, ...more) => (ms > 600 && ms < 16000 ? 0 : later(act, ms, ...more));
})();"""


@dataclass(frozen=True)
class View:
    """Something on a page that is fetched.

    Attributes:
        asks: what the address ends with, as a pattern.
        tried: what the card says was not possible.
        shows: what is there once it has come, as a selector.
        is_announced: whether the page knows that there will be something before it has come.
        first: how many such requests are answered before.
        is_live: whether the page changes by itself.
    """

    path: str
    asks: str
    tried: str
    shows: str
    is_announced: bool = True
    first: int = 0
    is_live: bool = True


_TRIALS = r"/ui/experiments/1/trials\?.*"
_OF_ONE = "experiment 1"
VIEWS = {
    "list": View(PAGES["list"], r"/ui/experiments\?.*", "to list experiments", "[aria-label=Experiments] .tr"),
    "experiment": View(PAGES["overview"], r"/ui/experiments/1", f"to read {_OF_ONE}", ".kpis"),
    "curves": View(PAGES["overview"], r"/curves\?.*", f"to read the curves of {_OF_ONE}", "[data-chart=curves] canvas"),
    "overview": View(PAGES["overview"], _TRIALS, f"to read the trials of {_OF_ONE}", "[aria-label=Trials] .tr"),
    "small rungs": View(PAGES["overview"], r"/rungs\?.*", f"to read the rungs of {_OF_ONE}", ".mini-rungs", False),
    "trials": View(PAGES["trials"], _TRIALS, f"to read the trials of {_OF_ONE}", "[aria-label=Trials] .tr"),
    "decisions": View(PAGES["searcher"], r"/decisions\?.*", f"to read the decisions of {_OF_ONE}", ".decisions li"),
    "rungs": View(PAGES["searcher"], r"/rungs\?.*", f"to read the rungs of {_OF_ONE}", ".rung .strip", False),
    "rungs at an event": View(
        STATES["searcher-event"], r"/rungs\?.*event=300", f"to read the rungs of {_OF_ONE}", ".rung .strip"
    ),
    "summary": View(
        PAGES["searcher"], "/summary", f"to read what the method of {_OF_ONE}", "[aria-label=Summary], .note"
    ),
    "hparams": View(PAGES["hparams"], _TRIALS, f"to read the trials of {_OF_ONE}", ".bars li"),
    "config": View(PAGES["config"], r"/ui/experiments/1", f"to read {_OF_ONE}", "pre.code"),
    "fork": View(STATES["fork"], r"/ui/experiments/1/config", "to read the configuration of", "textarea"),
    "difference": View(STATES["difference"], r"/ui/experiments/1", f"to read {_OF_ONE}", "pre.code", first=1),
    "code": View(PAGES["code"], "/model_def", f"to read the files of {_OF_ONE}", ".file .code"),
    "logs": View(PAGES["logs"], r"/logs\?.*", f"to read the logs of {_OF_ONE}", "main .empty, .log-line"),
    "checkpoints": View(PAGES["checkpoints"], r"/checkpoints\?.*", "to list the checkpoints of", ".table .tr"),
    "trial": View(PAGES["trial"], "/ui/trials/1/metrics", "to read the metrics of trial 1", "figure canvas"),
    "trial's experiment": View(PAGES["trial"], r"/ui/experiments/1", f"to read {_OF_ONE}", ".kpis"),
    "trial-hparams": View(PAGES["trial-hparams"], _TRIALS, f"to read the trials of {_OF_ONE}", "figure canvas"),
    "trial-logs": View(PAGES["trial-logs"], r"/logs\?.*", f"to read the logs of {_OF_ONE}", "main .empty, .log-line"),
    "trial-checkpoints": View(
        PAGES["trial-checkpoints"], r"/trials/1/checkpoints\?.*", "to list the checkpoints of trial 1", ".table .tr"
    ),
    "trial-history": View(PAGES["trial-history"], "/trials/1/story", "to read the story of trial 1", ".story li"),
    "trial-decisions": View(
        PAGES["trial-history"], r"/decisions\?.*", f"to read the decisions of {_OF_ONE}", ".decisions li"
    ),
    "compare": View(PAGES["compare"], _TRIALS, f"to read the trials of {_OF_ONE}", ".plain-table"),
    "compared curves": View(
        PAGES["compare"], r"/curves\?.*", f"to read the curves of {_OF_ONE}", "[data-chart=compare] canvas"
    ),
    "experiments": View(PAGES["experiments"], _TRIALS, f"to read the trials of {_OF_ONE}", ".plain-table"),
    "cluster": View(PAGES["cluster"], "/api/v1/agents", "to list the machines", ".slots li"),
    "queue": View(PAGES["queue"], "/api/v1/tasks", "to list what runs and waits", "main .empty"),
    "settings": View(PAGES["settings"], "/api/v1/master", "to read about the master", ".pairs dd", is_live=False),
}


@dataclass
class Hands:
    """A page between which and its master somebody stands.

    Attributes:
        answer: what is done with requests of the kind that is looked at: "hold", "fail" or "pass".
        is_away: whether the master is out of reach of sockets.
    """

    seen: Watched
    answer: str = "pass"
    is_away: bool = False
    first: int = 0
    held: list[Route] = field(default_factory=list)
    sockets: list[WebSocketRoute] = field(default_factory=list)

    def take(self, route: Route) -> None:
        if self.first or self.answer == "pass":
            self.first = max(0, self.first - 1)
            route.continue_()
        elif self.answer == "hold":
            self.held.append(route)
        else:
            self.refuse(route)

    def refuse(self, route: Route) -> None:
        route.fulfill(status=500, json={"message": "the disk is full"})

    def fail(self) -> None:
        """Answer what was held, and all else from now on, with an error."""
        self.answer = "fail"
        for route in self.held:
            self.refuse(route)
        self.held.clear()

    def connect(self, socket: WebSocketRoute) -> None:
        if self.is_away:
            socket.close()
        else:
            socket.connect_to_server()
            self.sockets.append(socket)

    def go_away(self, is_away: bool) -> None:
        """Close all sockets, and let none through; or let them through again."""
        self.is_away = is_away
        for socket in self.sockets if is_away else ():
            socket.close()
        self.sockets.clear()


@pytest.fixture(scope="module")
def hands(browser: Browser, master: LocalMaster, session: Path) -> Iterator[Hands]:
    context = browser.new_context(base_url=master.url, storage_state=session, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.clock.install()
    page.add_init_script(_NO_RETRIES)
    made = Hands(watch(page, "/settings"))
    page.route_web_socket(re.compile("/api/v1/stream"), made.connect)
    yield made
    context.close()


@pytest.mark.parametrize("name", VIEWS)
def test_what_waits_has_bones_what_fails_says_so_and_is_tried_again_and_what_is_old_is_grey(
    hands: Hands, name: str
) -> None:
    view, page = VIEWS[name], hands.seen.page
    pattern = re.compile(f"{view.asks}$")
    hands.answer, hands.first = "hold", view.first
    hands.go_away(False)
    page.route(pattern, hands.take)
    with page.expect_request(pattern):
        page.goto(view.path)
    shown = page.locator(view.shows)
    if view.is_announced:
        expect(page.get_by_role("status", name="Loading").first).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    hands.seen.until("() => true")
    assert page.get_by_role("alert").count() == 0

    hands.fail()
    card = page.get_by_role("alert").filter(has_text=f"It was not possible {view.tried}").first
    expect(card).to_contain_text("the disk is full")
    # Nothing seems to be on its way that is not.
    expect(page.locator(".skeleton")).to_have_count(0)

    hands.answer = "pass"
    again = page.get_by_role("button", name="Try again")
    again.first.press("Enter")
    expect(card).to_have_count(0)
    # The same may be wanted by several cards.
    while again.count():
        again.first.press("Enter")
    expect(shown.first).to_be_visible()
    page.unroute(pattern)

    main = page.locator("main")
    if not view.is_live:
        assert hands.seen.mark.count() == 0
        return
    expect(hands.seen.mark).to_have_text("live")
    expect(main).not_to_have_class("stale")
    hands.go_away(True)
    expect(hands.seen.mark).to_have_text("reconnecting")
    page.clock.fast_forward(12_000)
    expect(page.get_by_text("The master does not answer since")).to_be_visible()
    expect(main).to_have_class("stale")
    # Colours are taken away and not contrast: text must stay readable.
    assert main.locator("> .page-head").evaluate("(e) => getComputedStyle(e).filter") == "grayscale(1)"
    expect(shown.first).to_be_visible()


def test_what_comes_back_is_live_again(browser: Browser, master: LocalMaster, session: Path) -> None:
    context = browser.new_context(base_url=master.url, storage_state=session)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.clock.install()
    hands = Hands(watch(page, "/settings"))
    page.route_web_socket(re.compile("/api/v1/stream"), hands.connect)
    page.goto(PAGES["overview"])
    expect(hands.seen.mark).to_have_text("live")
    hands.go_away(True)
    expect(hands.seen.mark).to_have_text("reconnecting")
    page.clock.fast_forward(12_000)
    expect(page.locator("main")).to_have_class("stale")
    hands.go_away(False)
    page.clock.fast_forward(20_000)
    expect(hands.seen.mark).to_have_text("live")
    expect(page.locator("main")).not_to_have_class("stale")
    context.close()


@pytest.fixture
def context(browser: Browser, busy: LocalMaster) -> Iterator[BrowserContext]:
    made = browser.new_context(base_url=busy.url)
    made.set_default_timeout(PATIENCE_MS)
    log_in(made, busy).close()
    yield made
    made.close()


BARE = """
name: nothing yet
searcher: {name: custom, metric: loss, unit: epochs}
entrypoint: "true"
"""
CREATED = """
name: nothing reported
searcher: {name: random, metric: loss, max_length: {epochs: 1}, max_trials: 2}
hyperparameters: {x: {type: double, minval: 0.0, maxval: 1.0}}
entrypoint: "true"
"""
EMPTY = {
    "overview": ["No validation yet", "Nothing has been validated yet", "No rows"],
    "trials": ["No rows"],
    "searcher": ["No decision yet", "says nothing of its own state"],
    "hparams": ["Nothing to compare yet"],
    "code": ["This experiment has no files"],
    "logs": ["No trial yet"],
    "checkpoints": ["No checkpoint yet"],
    "compare": ["No trial chosen"],
}
EMPTY_OF_A_TRIAL = {
    "metrics": ["No metrics yet"],
    "logs": ["Nothing was logged yet"],
    "checkpoints": ["No checkpoint yet"],
    "hparams": ["x"],
}


def create(master: LocalMaster, config: str) -> int:
    """An experiment that waits to be started."""
    body: dict[str, Any] = {"config": config, "activate": False, "modelDefinition": [{"path": "a.py", "type": 48}]}
    return int(master.session().post("/api/v1/experiments", json=body)["experiment"]["id"])


def says(page: Page, path: str, texts: list[str]) -> None:
    page.goto(path)
    for text in texts:
        expect(page.locator("main")).to_contain_text(text)
    expect(page.locator(".skeleton")).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_where_there_is_nothing_a_page_says_what_there_will_be(context: BrowserContext, busy: LocalMaster) -> None:
    page = watch(context.new_page(), "/settings").page
    says(page, "/queue", ["Nothing runs, and nothing waits", "det experiment create config.yaml"])
    says(page, "/compare", ["No experiment chosen"])
    page.route("**/model_def", lambda route: route.fulfill(json={"b64Tgz": ""}))
    bare, created = create(busy, BARE), create(busy, CREATED)
    for tab, texts in EMPTY.items():
        says(page, f"/experiments/{bare}/{tab}", texts)
    trial = busy.session().get(f"/api/v1/experiments/{created}/trials")["trials"][0]["id"]
    for tab, texts in EMPTY_OF_A_TRIAL.items():
        says(page, f"/experiments/{created}/trials/{trial}/{tab}", texts)
    page.route("**/api/v1/agents", lambda route: route.fulfill(json={"agents": []}))
    says(page, "/cluster", ["No machine"])
    for number in (bare, created):
        busy.session().post(f"/api/v1/experiments/{number}/kill")


def test_rungs_at_an_event_do_not_depend_on_those_that_there_are_now(
    browser: Browser, master: LocalMaster, session: Path
) -> None:
    context = browser.new_context(base_url=master.url, storage_state=session)
    page = context.new_page()
    page.route(
        re.compile(r"/rungs\?"),
        lambda route: route.continue_() if "event=" in route.request.url else route.fulfill(status=500, json={}),
    )
    page.goto(STATES["searcher-event"])
    rungs = page.locator(".card").filter(has=page.get_by_role("heading", name="Rungs"))
    expect(rungs).to_contain_text("as they were at event 300", timeout=PATIENCE_MS)
    expect(rungs.locator(".strip").first).to_be_visible()
    context.close()

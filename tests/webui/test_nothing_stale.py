"""What pages show that were open all the time is what a page shows that was opened now, whatever happened meanwhile.

Everything is compared when nothing runs any more: then no later message can mend what a page has missed.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, WebSocketRoute, expect

from determined.testing.cluster import LocalMaster
from tests.webui.conftest import MODEL, PATIENCE_MS, log_in
from tests.webui.watch import MARK, watch

CONFIG = """
name: NAME
entrypoint: python3 train.py
searcher:
  {name: async_halving, metric: loss, max_length: {epochs: 90}, max_trials: 60, num_rungs: 3, divisor: 3,
   max_concurrent_trials: 2}
hyperparameters:
  x: {type: double, minval: 0.0, maxval: 1.0}
  kind: {type: categorical, vals: [a, b]}
  pause_s: 0.02
resources: {slots_per_trial: 1}
max_restarts: 0
"""
PATHS = {
    "list": "/experiments",
    "overview": "/experiments/1/overview",
    "hparams": "/experiments/1/hparams",
    "trials": "/experiments/1/trials",
    "searcher": "/experiments/1/searcher",
    "config": "/experiments/1/config",
    "code": "/experiments/1/code",
    "logs": "/experiments/1/logs",
    "checkpoints": "/experiments/1/checkpoints",
    "compared trials": "/experiments/1/compare?t=1,2",
    "metrics": "/experiments/1/trials/1/metrics",
    "trial's log": "/experiments/1/trials/2/logs",
    "trial's checkpoints": "/experiments/1/trials/1/checkpoints",
    "history": "/experiments/1/trials/2/history",
    "compare": "/compare?e=1,2",
    "cluster": "/cluster",
    "queue": "/queue",
}
_SHOWN = """() => {
  const charts = {};
  for (const [name, c] of Object.entries(window.describeCharts())) {
    // How far axes reach depends on what they had to show before, and the event of a ladder on when it was fetched:
    // events that change nothing in it are no reason to fetch it again. Where the event is told, the text tells it.
    const { curves, points, series, results, promoted, cut, shown, trials, values } = c;
    charts[name] = { curves, points, series, results, promoted, cut, shown, trials, values };
  }
  const main = document.querySelector("#main");
  const labels = [...main.querySelectorAll("[aria-label], [aria-valuetext]")].map(
    (e) => `${e.getAttribute("aria-label")} ${e.getAttribute("aria-valuetext")}`,
  );
  // Times that run are told apart, and put back before the page is drawn again.
  const times = [...main.querySelectorAll(".running-time")].map((e) => e.firstChild);
  const running = times.map((t) => t.nodeValue);
  for (const t of times) t.nodeValue = "RUNNING";
  const text = main.innerText;
  times.forEach((t, i) => { t.nodeValue = running[i]; });
  return { text, running, labels, charts };
}"""
_UNITS_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def seconds(duration: str) -> int:
    """Of a text such as 1m 05s."""
    return sum(int(part[:-1]) * _UNITS_S[part[-1]] for part in duration.split())


def shown(page: Page) -> dict[str, Any]:
    """All that a page shows."""
    found: dict[str, Any] = page.evaluate(_SHOWN)
    return found


def is_same(mine: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether two pages show the same. The clocks of two pages tick at different moments, but none may stand still."""
    [mine_s, new_s] = [[seconds(text) for text in found["running"]] for found in (mine, new)]
    return {**mine, "running": len(mine_s)} == {**new, "running": len(new_s)} and all(
        abs(a - b) <= 1 for a, b in zip(mine_s, new_s, strict=True)
    )


def differences(mine: dict[str, Any], new: dict[str, Any]) -> str:
    lines = difflib.unified_diff(mine["text"].splitlines(), new["text"].splitlines(), "open", "new", lineterm="", n=1)
    charts = {name: (mine["charts"].get(name), c) for name, c in new["charts"].items() if mine["charts"].get(name) != c}
    labels = [pair for pair in zip(mine["labels"], new["labels"], strict=False) if pair[0] != pair[1]]
    times = f"{mine['running']} {new['running']}"
    return "\n".join([*lines, str(charts)[:2000], str(labels)[:2000], times])


def is_like_new(context: BrowserContext, page: Page, path: str) -> None:
    """Compare a page with the same page opened now; both may be drawing yet, but nothing is told any more."""
    fresh = watch(context.new_page(), path).page
    expect(fresh.get_by_title(MARK)).to_have_text("live")
    end = time.monotonic() + PATIENCE_MS / 1000
    while not is_same(mine := shown(page), new := shown(fresh)):
        assert time.monotonic() < end, f"{path}: {differences(mine, new)}"
    assert "skeleton" not in fresh.content()
    fresh.close()


def are_live(pages: dict[str, Page]) -> None:
    for page in pages.values():
        expect(page.get_by_title(MARK)).to_have_text("live")


class Search:
    """Experiments on a master, and waiting for what becomes of them."""

    def __init__(self, master: LocalMaster) -> None:
        self.master = master

    def create(self, name: str, *more: str, text: str = CONFIG) -> None:
        file = self.master.folder / f"{name}.yaml"
        file.write_text(text.replace("NAME", name))
        made = self.master.det("experiment", "create", str(file), str(MODEL), *more)
        assert made.returncode == 0, made.stderr

    def get(self, path: str) -> Any:
        return self.master.session().get(f"/api/v1/{path}")

    def post(self, path: str) -> None:
        self.master.session().post(f"/api/v1/{path}")

    def rename(self, name: str) -> None:
        self.master.session().patch("/api/v1/experiments/1", json={"name": name})

    def until(self, path: str, test: Callable[[Any], bool]) -> Any:
        """Ask until an answer passes."""
        end = time.monotonic() + PATIENCE_MS / 1000
        while not test(answer := self.get(path)):
            assert time.monotonic() < end, f"{path} did not get there: {answer}"
        return answer

    def until_quiet(self, experiment: int, state: str) -> None:
        """Wait until an experiment is in a state, and nothing holds a slot."""
        self.until(f"ui/experiments/{experiment}", lambda e: e["state"] == state)
        self.until("tasks", lambda found: not found["allocationIdToSummary"])


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1440, "height": 900})
    made.set_default_timeout(PATIENCE_MS)
    yield made
    made.close()


def open_all(context: BrowserContext, master: LocalMaster, paths: dict[str, str]) -> dict[str, Page]:
    log_in(context, master).close()
    pages = {name: watch(context.new_page(), f"{master.url}{path}").page for name, path in paths.items()}
    for page in pages.values():
        page.evaluate("() => { window.same = 1 }")
    return pages


def test_pages_that_stay_open_show_what_a_new_page_shows(context: BrowserContext, tmp_path: Path) -> None:
    with LocalMaster(tmp_path) as master:
        search = Search(master)
        search.create("first")
        search.create("second", "--paused")
        pages = open_all(context, master, PATHS)
        are_live(pages)
        # While they listen: results, promotions, checkpoints, and then a pause.
        reached = search.until("ui/experiments/1", lambda e: e["trials"]["total"] > 4)
        search.post("experiments/1/pause")
        search.until_quiet(1, "PAUSED")
        are_live(pages)
        for name, page in pages.items():
            is_like_new(context, page, f"{master.url}{PATHS[name]}")
        # While they cannot: another run of the master, and everything changes.
        context.set_offline(True)
        master.stop()
        for page in pages.values():
            expect(page.get_by_title(MARK)).to_have_text("reconnecting")
        master.start()
        search.post("experiments/1/activate")
        more = reached["trials"]["total"] + 3
        search.until("ui/experiments/1", lambda e: e["trials"]["total"] > more)
        master.session().patch("/api/v1/experiments/1", json={"name": "renamed", "resources": {"priority": 7}})
        search.post("experiments/1/cancel")
        search.until_quiet(1, "CANCELED")
        checkpoints = search.get("trials/1/checkpoints")["checkpoints"]
        master.session().delete("/api/v1/checkpoints", json={"checkpointUuids": [checkpoints[0]["uuid"]]})
        search.create("third", "--paused")
        for page in pages.values():
            expect(page.get_by_title(MARK)).to_have_text("reconnecting")
        context.set_offline(False)
        are_live(pages)
        for name, page in pages.items():
            is_like_new(context, page, f"{master.url}{PATHS[name]}")
        # A new page could be wrong as well.
        row = search.get("ui/experiments/1")
        grid = pages["list"].get_by_role("grid", name="Experiments")
        for name in ("renamed", "second", "third"):
            expect(grid.get_by_role("row").filter(has_text=name)).to_be_visible()
        expect(grid.get_by_role("row").filter(has_text="renamed")).to_contain_text("canceled")
        for name in ("overview", "trials", "searcher", "logs", "checkpoints"):
            expect(pages[name].get_by_role("heading", level=1)).to_contain_text("renamed")
        rows = pages["trials"].get_by_role("grid", name="Trials")
        expect(rows).to_have_attribute("aria-rowcount", str(row["trials"]["total"] + 1))
        decisions = search.get("ui/experiments/1/decisions?limit=1")
        newest = pages["searcher"].locator(".decisions .event-no").first
        assert newest.inner_text().replace(",", "") == str(decisions["decisions"][0]["event"])
        expect(pages["trial's checkpoints"].get_by_text("deleted").first).to_be_visible()
        expect(pages["queue"].get_by_text("Nothing runs, and nothing waits")).to_be_visible()
        expect(pages["cluster"].get_by_text("0 of 2 slots busy").first).to_be_visible()
        assert [page.evaluate("() => window.same") for page in pages.values()] == [1] * len(pages)


def test_what_cannot_be_fetched_is_not_live_and_is_fetched_later(context: BrowserContext, tmp_path: Path) -> None:
    with LocalMaster(tmp_path) as master:
        search = Search(master)
        search.create("before", "--paused")
        pages = open_all(context, master, {"list": "/experiments", "overview": "/experiments/1/overview"})
        are_live(pages)
        fails: list[str] = []

        def fail(route: Route) -> None:
            fails.append(route.request.url)
            route.fulfill(status=503, body="{}")

        context.route("**/api/v1/ui/experiments**", fail)
        context.set_offline(True)
        master.kill()
        for page in pages.values():
            expect(page.get_by_title(MARK)).to_have_text("reconnecting")
        master.start()
        search.rename("after")
        context.set_offline(False)
        for page in pages.values():
            # The socket is there, and what was shown before still is.
            expect(page.get_by_title(MARK)).to_have_text("catching up")
            expect(page.locator("#main")).to_contain_text("before")
        context.unroute("**/api/v1/ui/experiments**", fail)
        are_live(pages)
        for page in pages.values():
            expect(page.locator("#main")).to_contain_text("after")
            expect(page.locator("#main")).not_to_contain_text("before")
        assert fails


def test_numbers_of_two_runs_of_the_master_are_not_compared(context: BrowserContext, tmp_path: Path) -> None:
    """The page reads from one run, and its socket is opened by the next; there no greater number means another name."""
    with LocalMaster(tmp_path) as master:
        search = Search(master)
        search.create("before", "--paused")
        for _ in range(8):
            # Such changes are counted in memory only.
            search.rename("one")
        before = search.get("ui/experiments/1")["seq"]
        log_in(context, master).close()
        held: list[WebSocketRoute] = []
        page = context.new_page()
        lets_through = False

        def take(socket: WebSocketRoute) -> None:
            # A page that hears nothing for a while opens another.
            if lets_through:
                socket.connect_to_server()
            else:
                held.append(socket)

        page.route_web_socket("**/api/v1/stream*", take)
        page.goto(f"{master.url}/experiments/1/overview")
        expect(page.get_by_role("heading", level=1)).to_contain_text("one")
        master.stop()
        master.start()
        search.rename("two")
        assert search.get("ui/experiments/1")["seq"] <= before
        lets_through = True
        for socket in held:
            socket.connect_to_server()
        expect(page.get_by_title(MARK)).to_have_text("live")
        expect(page.get_by_role("heading", level=1)).to_contain_text("two")


def test_no_decision_is_left_out_when_many_come_at_once(context: BrowserContext, tmp_path: Path) -> None:
    many = 60
    text = f"""
name: NAME
entrypoint: python3 train.py
searcher: {{name: random, metric: loss, max_length: {{epochs: 100000}}, max_trials: {many},
           max_concurrent_trials: {many}}}
hyperparameters: {{x: {{type: double, minval: 0.0, maxval: 1.0}}, pause_s: 60}}
resources: {{slots_per_trial: 1}}
max_restarts: 0
"""
    with LocalMaster(tmp_path) as master:
        search = Search(master)
        search.create("many", text=text)
        pages = open_all(
            context, master, {"all": "/experiments/1/searcher", "one": f"/experiments/1/searcher?trial={many // 2}"}
        )
        are_live(pages)
        expect(pages["all"].locator(".decisions .event-no").first).to_be_visible()
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda n: search.post(f"trials/{n}/kill"), range(1, many + 1)))
        search.post("experiments/1/kill")
        search.until_quiet(1, "CANCELED")
        wanted = search.get("ui/experiments/1/decisions?limit=1000")["decisions"]
        of_one = search.get(f"ui/experiments/1/decisions?limit=1000&trial={many // 2}")["decisions"]
        assert len(wanted) > many
        for name, decisions in (("all", wanted), ("one", of_one)):
            marks = pages[name].locator(".decisions .event-no")
            expect(marks).to_have_text([f"{d['event']:,}" for d in decisions])
            expect(pages[name].get_by_title(MARK)).to_have_text("live")


def test_a_connection_that_is_dead_is_noticed(context: BrowserContext, tmp_path: Path) -> None:
    """Nothing closes it: the network lets nothing through any more, or the master hangs."""
    with LocalMaster(tmp_path) as master:
        log_in(context, master).close()
        page = context.new_page()
        page.clock.install()
        silent: list[bool] = []

        def pass_on(socket: WebSocketRoute) -> None:
            server = socket.connect_to_server()
            server.on_message(lambda text: None if silent else socket.send(text))

        page.route_web_socket("**/api/v1/stream*", pass_on)
        page.goto(f"{master.url}/experiments")
        expect(page.get_by_title(MARK)).to_have_text("live")
        silent.append(True)
        page.clock.run_for(30_000)
        expect(page.get_by_title(MARK)).to_have_text("reconnecting")
        silent.clear()
        page.clock.run_for(30_000)
        expect(page.get_by_title(MARK)).to_have_text("live")


def test_times_and_paces_go_on_although_nothing_is_told(context: BrowserContext, tmp_path: Path) -> None:
    """A trial runs, and the master has nothing to say of it: what depends on the clock moves all the same."""
    with LocalMaster(tmp_path) as master:
        search = Search(master)
        search.create("running", text=CONFIG.replace("epochs: 90", "epochs: 100000").replace("0.02", "0.1"))
        log_in(context, master).close()
        silent: list[bool] = []
        sockets: list[WebSocketRoute] = []

        def pass_on(socket: WebSocketRoute) -> None:
            sockets.append(socket)
            server = socket.connect_to_server()
            server.on_message(lambda text: None if silent else socket.send(text))

        paths = {
            "list": "/experiments",
            "trials": "/experiments/1/trials?columns=time&sort=time&q=time>60",
            "trial": "/experiments/1/trials/1/metrics",
            "overview": "/experiments/1/overview",
        }
        pages: dict[str, Page] = {}
        for name, path in paths.items():
            page = pages[name] = context.new_page()
            page.clock.install()
            page.route_web_socket("**/api/v1/stream*", pass_on)
            page.goto(f"{master.url}{path}")
        are_live(pages)
        pace = pages["overview"].locator(".kpis > div").filter(has_text="epochs / min").locator("b")
        rows = pages["trials"].get_by_role("grid", name="Trials").get_by_role("row")
        # It is known once some seconds have been watched.
        pages["overview"].clock.run_for(5_000)
        expect(pace).to_have_text(re.compile(r"[1-9]"))
        silent.append(True)
        before = {name: shown(page)["running"] for name, page in pages.items()}
        assert [len(times) for times in before.values()] == [1] * len(pages)
        expect(rows.filter(has_text="#1")).to_have_count(0)
        for page in pages.values():
            for _ in range(9):
                page.clock.run_for(10_000)
                # The master says so too, in a time that goes on for it as well.
                for socket in sockets:
                    socket.send('{"topic": "beat"}')
        for name, page in pages.items():
            [was, now] = [seconds(times[0]) for times in (before[name], shown(page)["running"])]
            assert now - was >= 90, name
        expect(pace).to_have_text("0")
        # Where rows are chosen by such a time, they come.
        expect(rows.filter(has_text="#1")).to_have_count(1)
        for page in pages.values():
            expect(page.get_by_title(MARK)).to_have_text("live")

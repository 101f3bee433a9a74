"""One page of the web UI in a real browser, measured from inside: when things were on the screen, and at what price."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from determined.testing.cluster import LocalMaster

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE = {"width": 1440, "height": 900}
PATIENCE_MS = 120_000

# The page's own policy forbids scripts from strings, so waiting is done inside of one evaluation. What was drawn is
# seen in the frame after it.
_UNTIL = """(give) => new Promise((done) => {
  const look = () => {
    const value = (TEST)(window.describeCharts?.() ?? {}, document);
    if (value) requestAnimationFrame(() => done({ at: performance.now(), value }));
    else requestAnimationFrame(look);
  };
  look();
})"""
PAINTED = """(c, d) => c.curves?.drawn > 0 && c.parallel?.shown > 0
  && d.querySelectorAll('[role=grid] .tbody [role=row]').length > 5"""
_ROWS = "Number(d.querySelector('[role=grid][aria-label=Trials]').getAttribute('aria-rowcount')) - 1"
_NOTE = """([name, kind]) => {
  addEventListener(kind, () => { window[name] = performance.now(); }, { capture: true, once: true });
}"""
# The moment at which each text of the first key figure, the best metric, was on the screen; since the epoch, in ms.
_WATCH_BEST = """() => {
  const seen = (window.seenBest = {});
  const cell = document.querySelector('.kpis b');
  const note = () => {
    const text = cell.textContent;
    requestAnimationFrame(() => { seen[text] ??= performance.timeOrigin + performance.now(); });
  };
  new MutationObserver(note).observe(cell, { characterData: true, childList: true, subtree: true });
  note();
}"""


def find_browser() -> str | None:
    """Where Chromium is; None if it is not installed."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window; there must be one."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=find_browser(), args=list(FLAGS))
        try:
            yield started
        finally:
            started.close()


def log_in(of: Browser, master: LocalMaster) -> Path:
    """What a browser keeps of a login by the link that `det ui` prints."""
    kept = master.folder / "session.json"
    context = of.new_context()
    page = context.new_page()
    page.goto(master.det("ui", "--no-browser").stdout.strip())
    page.get_by_role("heading", name="Experiments", exact=True).wait_for()
    context.storage_state(path=kept)
    context.close()
    return kept


def new_context(of: Browser, master: LocalMaster, session: Path) -> BrowserContext:
    """A browser that has only the login: nothing in its cache."""
    context = of.new_context(storage_state=session, viewport=SIZE, base_url=master.url)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    return context


class Probe:
    """A page, and what it is asked.

    Attributes:
        sizes: bytes that came over the wire by path, heads of answers included.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.cdp: CDPSession = context.new_cdp_session(self.page)
        self.sizes: dict[str, int] = {}
        self._paths: dict[str, str] = {}
        self.cdp.on("Network.requestWillBeSent", self._asked)
        self.cdp.on("Network.loadingFinished", self._came)
        self.cdp.send("Network.enable")
        self.cdp.send("Performance.enable", {"timeDomain": "threadTicks"})

    def _asked(self, event: Any) -> None:
        self._paths[event["requestId"]] = event["request"]["url"].split("/", 3)[-1]

    def _came(self, event: Any) -> None:
        path = self._paths.get(event["requestId"], "?")
        self.sizes[path] = self.sizes.get(path, 0) + int(event["encodedDataLength"])

    @property
    def transferred(self) -> int:
        """Bytes over the wire so far."""
        return sum(self.sizes.values())

    def until(self, test: str) -> tuple[float, Any]:
        """When a function of (charts, document) was truthy and in a frame, in ms since the navigation; what it gave."""
        found = self.page.evaluate(_UNTIL.replace("TEST", test))
        return found["at"], found["value"]

    def open(self, path: str) -> float:
        """Open the overview of an experiment; after how many ms curves, parallel axes and table were painted."""
        self.page.goto(path)
        return self.until(PAINTED)[0]

    def rungs(self) -> float:
        """When the rungs were painted, in ms after the navigation."""
        return self.until("(c) => c['rung-0-0']?.drawn > 0")[0]

    def cpu_ms(self) -> float:
        """What the page's main thread has worked, which does not depend on what else the machine does."""
        metrics = self.cdp.send("Performance.getMetrics")["metrics"]
        return 1000 * float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    def heap_mb(self) -> float:
        """Used memory of the page's JavaScript after its rubbish was collected."""
        self.cdp.send("HeapProfiler.enable")
        self.cdp.send("HeapProfiler.collectGarbage")
        return float(self.cdp.send("Runtime.getHeapUsage")["usedSize"]) / 2**20

    def sort(self, column: str) -> float:
        """Click on the head of a column; after how many ms the rows are in another order."""
        first = self.page.locator("[role=grid][aria-label=Trials] .tbody [role=row]").first.text_content()
        head = self.page.get_by_role("columnheader", name=column, exact=True).get_by_role("button")
        head.scroll_into_view_if_needed()
        self.page.evaluate(_NOTE, ["clicked", "click"])
        head.click()
        text = json.dumps(first)
        at, _ = self.until(f"(c, d) => d.querySelector('[role=grid] .tbody [role=row]').textContent !== {text}")
        return at - float(self.page.evaluate("() => window.clicked"))

    def brush(self) -> tuple[float, dict[str, int]]:
        """Drag over the better third of the metric; after how many ms every view shows fewer, and what each shows."""
        _, before = self.until(f"(c, d) => c.parallel?.shown > 0 && {{ c, rows: {_ROWS} }}")
        charts, box = before["c"], self.page.locator("[data-chart=parallel]")
        box.scroll_into_view_if_needed()
        place = box.bounding_box()
        assert place is not None
        x = place["x"] + charts["parallel"]["positions"][-1]
        top, bottom = charts["parallel"]["span"]
        self.page.evaluate(_NOTE, ["released", "pointerup"])
        self.page.mouse.move(x, place["y"] + bottom)
        self.page.mouse.down()
        self.page.mouse.move(x, place["y"] + bottom - (bottom - top) * 0.3, steps=4)
        self.page.mouse.up()
        fewer = f"c.curves.drawn < {charts['curves']['drawn']} && c.parallel.shown < {charts['parallel']['shown']}"
        shown = f"{{ curves: c.curves.drawn, parallel: c.parallel.shown, rows: {_ROWS} }}"
        at, found = self.until(f"(c, d) => {fewer} && {_ROWS} < {before['rows']} && {shown}")
        return at - float(self.page.evaluate("() => window.released")), found

    def clear(self) -> None:
        """Clear the filter, and wait until every view shows all again."""
        self.page.get_by_role("searchbox", name="Filter trials").fill("")
        self.until("(c) => c.parallel?.shown > 0 && c.parallel.shown === c.parallel.trials")

    def watch_best(self) -> None:
        """From now on note when each value of the best metric was on the screen."""
        self.page.evaluate(_WATCH_BEST)

    def seen_best(self) -> dict[str, float]:
        """Those moments by the text, in seconds since the epoch."""
        found: dict[str, float] = self.page.evaluate("() => window.seenBest")
        return {text: at / 1000 for text, at in found.items()}

"""A page that notes what goes wrong on it, and tells what its charts show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Locator, Page

MARK = "Whether news arrive"
"""The title of what says whether a page is live."""

# The page's own policy forbids scripts from strings, so waiting is done inside of one evaluation.
_UNTIL = """(test) => new Promise((done, fail) => {
  const end = performance.now() + 30000;
  const look = () => {
    const charts = window.describeCharts?.() ?? {};
    const value = FUNCTION(charts, document);
    if (value) done(value === true ? charts : value);
    else if (performance.now() > end) fail(new Error(`not in 30 s; the charts: ${JSON.stringify(charts)}`));
    else requestAnimationFrame(look);
  };
  look();
})"""


@dataclass
class Watched:
    """An open page of the web UI.

    Attributes:
        problems: errors of scripts, refused resources, violations of the content policy.
        requests: every address that was asked for.
    """

    page: Page
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def until(self, function: str) -> Any:
        """Wait until a function in JavaScript of (charts, document) is truthy; what it gave, or all charts for true."""
        return self.page.evaluate(_UNTIL.replace("FUNCTION", f"({function})"))

    def settled(self) -> None:
        """Wait until nothing on the page says that it is loading."""
        self.until("(c, d) => d.querySelector('h1') && !d.querySelector('.skeleton, .starting')")

    def charts(self) -> dict[str, dict[str, Any]]:
        """What each chart on the page says of itself."""
        found: dict[str, dict[str, Any]] = self.page.evaluate("() => window.describeCharts()")
        return found

    @property
    def mark(self) -> Locator:
        """What says whether the page is live."""
        return self.page.get_by_title(MARK)


def watch(page: Page, path: str) -> Watched:
    """Open a path, and note what happens from the start."""
    watched = Watched(page)
    page.on("pageerror", lambda e: watched.problems.append(f"error: {e}"))
    page.on("console", lambda m: watched.problems.append(f"{m.type}: {m.text}") if m.type == "error" else None)
    page.on("request", lambda r: watched.requests.append(r.url))
    page.goto(path)
    return watched

"""A browser on the web UI of a real master that holds a recorded search.

Where there is no browser these tests are skipped; with ``DET_TEST_BROWSER=required`` they fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from determined.testing.cluster import LocalMaster
from tests.webui.watch import Watched, watch

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
STATIC = Path(__file__).parents[2] / "determined" / "webui_static" / "index.html"
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MODEL = Path(__file__).parent / "model"
TRIALS = 300
PATIENCE_MS = 30_000
ROOM = 5
"""Times may be so many times what is promised, since other tests run beside these."""

expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A walk through all pages takes its time on a machine that has much else to do."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Notes something measured, which is printed at the end of all tests."""
    return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured, wherever it was."""
    reports = [r for rs in terminalreporter.stats.values() for r in rs if getattr(r, "when", "") == "call"]
    lines = [
        f"{r.nodeid.rpartition('/')[2]}: {text}"
        for r in reports
        for name, text in r.user_properties
        if name == "figure"
    ]
    if lines:
        terminalreporter.section("measured")
        terminalreporter.write("".join(f"{line}\n" for line in lines))


def cannot(why: str) -> NoReturn:
    """Skip a test that cannot run here; where it has to run, as in CI, fail."""
    if os.environ.get("DET_TEST_BROWSER") == "required":
        pytest.fail(f"{why} (it must be, by DET_TEST_BROWSER=required)", pytrace=False)
    pytest.skip(why)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        cannot(f"the web UI is not tested in a browser: none of {', '.join(BROWSERS)} is installed")
    if not STATIC.exists():
        cannot("the web UI is not tested in a browser: it is not built; run `make webui`")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def master(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMaster]:
    """A master whose experiment 1 is a recorded search of 300 trials. Tests leave it as it is."""
    local = LocalMaster(tmp_path_factory.mktemp("master"))
    # In a process of its own: the browser's client has taken this one's event loop.
    filling = [sys.executable, "-m", "determined.testing.ui_fixture", "--trials", str(TRIALS), str(local.data)]
    subprocess.run(filling, check=True, stdout=subprocess.DEVNULL)
    with local:
        yield local


@pytest.fixture(scope="session")
def busy(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMaster]:
    """A master on which tests run experiments of their own; whoever says who they are may log in."""
    with LocalMaster(tmp_path_factory.mktemp("busy"), open_mode=True, slots=3) as local:
        yield local


@pytest.fixture(scope="session")
def session(browser: Browser, master: LocalMaster) -> Path:
    """What a browser keeps of a login by a link."""
    context = browser.new_context()
    log_in(context, master)
    kept = master.folder / "session.json"
    context.storage_state(path=kept)
    context.close()
    return kept


def log_in(context: BrowserContext, master: LocalMaster) -> Page:
    """Open the link that `det ui` prints."""
    page = context.new_page()
    page.goto(master.det("ui", "--no-browser").stdout.strip())
    expect(page.get_by_role("heading", name="Experiments", exact=True)).to_be_visible()
    return page


@pytest.fixture
def opened(browser: Browser, master: LocalMaster, session: Path) -> Iterator[Callable[..., Watched]]:
    """Opens a page of the web UI, logged in; nothing may go wrong on it that the test does not expect."""
    contexts: list[BrowserContext] = []

    def open_page(path: str, theme: str = "light", size: tuple[int, int] = (1440, 900)) -> Watched:
        context = browser.new_context(
            storage_state=session,
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": size[0], "height": size[1]},
            base_url=master.url,
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        return watch(context.new_page(), path)

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[Page, str], Path]:
    """Keeps a picture for people to look at, when DET_TEST_SCREENSHOTS is 1: it costs as much as the test."""

    def keep_picture(page: Page, name: str) -> Path:
        path = SCREENSHOTS / f"{name}.png"
        if os.environ.get("DET_TEST_SCREENSHOTS") == "1":
            page.screenshot(path=path, timeout=120_000)
        return path

    return keep_picture

"""Pages when the master does not answer any more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, WebSocketRoute, expect

from determined.testing.cluster import LocalMaster
from tests.webui.conftest import PATIENCE_MS
from tests.webui.test_shell import PAGES, settled
from tests.webui.watch import watch


@pytest.mark.parametrize("name", ["list", "overview", "trial", "cluster"])
def test_what_is_old_because_the_master_is_away_is_grey_and_a_banner_says_so(
    browser: Browser, master: LocalMaster, session: Path, name: str
) -> None:
    context = browser.new_context(base_url=master.url, storage_state=session)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    sockets: list[WebSocketRoute] = []
    away: list[bool] = []

    def take(socket: WebSocketRoute) -> None:
        if away:
            socket.close()
        else:
            socket.connect_to_server()
            sockets.append(socket)

    page.route_web_socket(re.compile("/api/v1/stream"), take)
    page.clock.install()
    seen = watch(page, PAGES[name])
    settled(seen)
    main = page.locator("main")
    expect(page.get_by_title("Whether news arrive")).to_have_text("live")
    expect(main).not_to_have_class("stale")
    away.append(True)
    for socket in sockets:
        socket.close()
    expect(page.get_by_title("Whether news arrive")).to_have_text("reconnecting")
    page.clock.fast_forward(12_000)
    expect(page.get_by_text("The master does not answer since")).to_be_visible()
    expect(main).to_have_class("stale")
    # Colours are taken away and not contrast: text must stay readable.
    assert main.locator("> .page-head").evaluate("(e) => getComputedStyle(e).filter") == "grayscale(1)"
    away.clear()
    page.clock.fast_forward(20_000)
    expect(page.get_by_title("Whether news arrive")).to_have_text("live")
    expect(main).not_to_have_class("stale")
    context.close()

"""Every page, and every state of one that has an address: it fits, everybody can use it, and it asks nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from determined.testing.cluster import LocalMaster
from tests.webui.access import need_axe, unreached, violations
from tests.webui.conftest import PATIENCE_MS
from tests.webui.layout import Keep, misfits, use, wrong
from tests.webui.paths import PAGES, STATES
from tests.webui.watch import Watched, watch


@pytest.fixture(scope="module")
def seen(browser: Browser, master: LocalMaster, session: Path) -> Iterator[Watched]:
    """One page for all of them."""
    context = browser.new_context(base_url=master.url, storage_state=session)
    context.set_default_timeout(PATIENCE_MS)
    yield watch(context.new_page(), "/settings")
    context.close()


@pytest.mark.parametrize("name", [*PAGES, *STATES])
def test_every_page_fits_every_width_is_accessible_and_is_used_with_the_keyboard(
    seen: Watched, master: LocalMaster, keep: Keep, name: str
) -> None:
    need_axe()
    page = seen.page
    seen.requests.clear()
    seen.problems.clear()
    page.goto({**PAGES, **STATES}[name])
    seen.settled()
    told = misfits(page, keep, name)
    page.set_viewport_size({"width": 1100, "height": 800})
    for theme in ("light", "dark"):
        use(page, theme)
        told += violations(page, name)
    told += unreached(page, name)
    assert not told, "\n".join(told)
    assert all(url.startswith((master.url, "data:")) for url in seen.requests), seen.requests
    # Of what is not there the master says so, and the browser notes that.
    is_missing = name in ("no-experiment", "no-trial", "no-such-hparams")
    assert not [p for p in seen.problems if not (is_missing and "404" in p)]


_STYLE = """(text) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  document.adoptedStyleSheets = [sheet];
}"""
BROKEN = {
    "too wide": (".page-head { width: 3000px; }", "px too wide"),
    "outside": (".tabs a:last-child { position: fixed; left: -60px; }", "outside: a"),
    "cut": (".kpis b { width: 9px; overflow: hidden; display: block; }", "cut: b"),
    "overlap": (".tools > :last-child { margin-left: -70px; }", "overlap: "),
}


def test_a_layout_that_is_broken_on_purpose_is_found(seen: Watched) -> None:
    page = seen.page
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(PAGES["overview"])
    seen.settled()
    for name, (style, told) in BROKEN.items():
        assert not wrong(page), name
        # The page's own policy forbids styles in its text, not sheets made by its scripts.
        page.evaluate(_STYLE, style)
        found = wrong(page)
        assert any(told in text for text in found), (name, found)
        page.evaluate(_STYLE, "")
    assert not wrong(page)


SPOILED = {
    "(d) => { d.querySelector('.tabs a:nth-child(3)').tabIndex = -1; }": "not reached: a",
    "(d) => { d.querySelector('.tabs a:nth-child(4)').style.outline = 'none'; }": "no ring: a",
    "(d) => { d.querySelector('.kpis b').style.cursor = 'pointer'; }": "can be clicked only: b",
}


def test_what_the_keyboard_cannot_reach_is_found(seen: Watched) -> None:
    seen.page.goto(PAGES["config"])
    seen.settled()
    assert not unreached(seen.page, "as it is")
    for spoil in SPOILED:
        seen.page.evaluate(f"() => ({spoil})(document)")
    found = unreached(seen.page, "spoiled")
    for told in SPOILED.values():
        assert sum(told in text for text in found) == 1, (told, found)

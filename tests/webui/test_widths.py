"""Every page and every question, from small windows to wide ones, in both themes: nothing is cut off or overlaps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from determined.testing.cluster import LocalMaster
from tests.webui.conftest import PATIENCE_MS
from tests.webui.test_shell import PAGES, settled
from tests.webui.watch import Watched, watch

Open = Callable[..., Watched]
Keep = Callable[[Page, str], Path]
WIDTHS = {1100: 800, 1440: 900, 2560: 1300}
TRIAL_TABS = ("hparams", "logs", "checkpoints", "history")
MORE = {
    **{f"trial-{tab}": f"/experiments/1/trials/1/{tab}" for tab in TRIAL_TABS},
    "fork": "/experiments/1/config?fork=yes",
    "importance": "/experiments/1/hparams?view=heat",
    "missing": "/experiments/999/overview",
}

# What is wrong with the layout, in words. Left alone: what scrolls by itself, and texts that end in dots on purpose and
# tell the rest in a title.
_WRONG = """() => {
  const wrong = [], W = innerWidth,
    name = (e) => `${e.tagName.toLowerCase()}.${e.className} "${(e.textContent || '').slice(0, 40)}"`;
  const over = document.documentElement.scrollWidth - W;
  if (over > 0) wrong.push(`the page is ${over} px too wide`);
  const seen = (e) => e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().width > 1;
  const scrolls = (e) => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (/auto|scroll/.test(getComputedStyle(p).overflowX) && p.scrollWidth > p.clientWidth) return true;
    return false;
  };
  const controls = 'button, a.btn, input, select, textarea, .tabs a, .rail a, h1, h2, h3, .card, .kpis > *, .notice, '
    + 'dialog';
  for (const e of document.querySelectorAll(controls)) {
    if (!seen(e) || e.closest('.hidden-label, .skip')) continue;
    const r = e.getBoundingClientRect();
    if ((r.left < -1 || r.right > W + 1) && !scrolls(e)) wrong.push(`outside: ${name(e)}`);
  }
  const texts = 'button, a.btn, .tabs a, .rail a, h1, h2, h3, .chip, .kpis em, .kpis b, .card-head .note, '
    + '.crumbs a, .tag, .status, label, .sub, th';
  for (const e of document.querySelectorAll(texts)) {
    if (!seen(e) || e.closest('.hidden-label, .skip, .tbody')) continue;
    const style = getComputedStyle(e), told = e.title || e.closest('[title]');
    if (style.display === 'inline' || (style.textOverflow === 'ellipsis' && told)) continue;
    if (e.scrollWidth > e.clientWidth + 1 && style.overflowX !== 'auto') wrong.push(`cut: ${name(e)}`);
  }
  for (const row of document.querySelectorAll('.page-head, .tools, .card-head, .kpis, .tabs, .chips, '
    + '.under-head, .dialog-answers, .segments')) {
    const boxes = [...row.children].filter((e) => seen(e) && !e.matches('.grow, kbd'));
    for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
      const a = boxes[i].getBoundingClientRect(), b = boxes[j].getBoundingClientRect();
      const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (x > 1 && y > 1) wrong.push(`overlap: ${name(boxes[i])} and ${name(boxes[j])}`);
    }
  }
  return wrong;
}"""
_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"


def fits(page: Page, keep: Keep, name: str) -> list[str]:
    """What is wrong with a page at any width in any theme."""
    found = []
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
            page.evaluate(_DRAWN)
            found += [f"{name} at {width} px, {theme}: {text}" for text in page.evaluate(_WRONG)]
            keep(page, f"{name}-{theme}-{width}")
    return found


@pytest.mark.parametrize("name", [*PAGES, *MORE])
def test_every_page_fits_every_width(opened: Open, keep: Keep, name: str) -> None:
    seen = opened({**PAGES, **MORE}[name])
    settled(seen)
    wrong = fits(seen.page, keep, name)
    assert not wrong, "\n".join(wrong)


def test_questions_and_the_login_fit_every_width(
    browser: Browser, opened: Open, master: LocalMaster, keep: Keep
) -> None:
    seen = opened("/experiments/1/overview")
    settled(seen)
    seen.page.keyboard.press("?")
    expect(seen.page.get_by_role("dialog")).to_be_visible()
    wrong = fits(seen.page, keep, "keys")
    context = browser.new_context(base_url=master.url)
    context.set_default_timeout(PATIENCE_MS)
    page = watch(context.new_page(), "/login").page
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    wrong += fits(page, keep, "login")
    context.close()
    assert not wrong, "\n".join(wrong)

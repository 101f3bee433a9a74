"""Whether a page fits windows from small to wide: nothing is cut off, outside, or on top of something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from playwright.sync_api import Page

Keep = Callable[[Page, str], Path]
WIDTHS: Mapping[int, int] = {1100: 800, 1440: 900, 2560: 1300}
"""Heights by widths."""
THEME_AT: Mapping[int, str] = {1100: "light", 1440: "dark", 2560: "light"}
"""Themes have the same layout, so each width is looked at in one."""

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


def use(page: Page, theme: str) -> None:
    """Have the system, which the page follows, want a theme."""
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")


def wrong(page: Page) -> list[str]:
    """What is wrong with a page as it is."""
    page.evaluate(_DRAWN)
    found: list[str] = page.evaluate(_WRONG)
    return found


def misfits(page: Page, keep: Keep, name: str) -> list[str]:
    """What is wrong with a page at any width."""
    told = []
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        use(page, THEME_AT[width])
        told += [f"{name} at {width} px: {text}" for text in wrong(page)]
        keep(page, f"{name}-{THEME_AT[width]}-{width}")
    return told

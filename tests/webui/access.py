"""Whether everybody can use a page: what axe finds, and what the keyboard reaches."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.webui.conftest import cannot
from tests.webui.layout import use

_AXE = Path(__file__).parents[2] / "webui" / "node_modules" / "axe-core" / "axe.min.js"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
# Rows are alike, and axe takes its time for each: it looks at the first ones, and at each that has other colours.
_LOOK = """(runOnly) => {
  const seen = new Set(), exclude = [];
  for (const rows of ['.tbody > .tr', '.decisions > li', '.log-line']) {
    [...document.querySelectorAll(rows)].forEach((row, n) => {
      const kind = rows + [row, ...row.querySelectorAll('*')].map((e) => `${e.tagName}.${e.getAttribute('class')}`);
      if (n >= 8 && seen.has(kind)) exclude.push(row);
      seen.add(kind);
    });
  }
  return axe.run(exclude.length ? { exclude } : document, { runOnly });
}"""

# What there is to reach: controls, whatever takes the focus, and whatever shows by its pointer that it can be clicked.
# Of rows of tables and of items of lists whose controls are reached one after another, only the first ones count here.
_ENUMERATE = """() => {
  const CONTROLS = 'a[href], button, input, select, textarea, summary, [tabindex="0"], [role=button]';
  const root = document.querySelector('dialog[open]') ?? document;
  const is = (e) => e.checkVisibility() && !e.disabled && e.getBoundingClientRect().width > 0;
  const name = (e) => `${e.tagName.toLowerCase()}.${e.className} "${(e.getAttribute('aria-label')
    || e.textContent || e.name || '').trim().slice(0, 40)}"`;
  const below = (e) => {
    const item = e.closest('[role=row].tr, .decisions:not(.plain) > li');
    return item && item.parentElement.querySelector(':scope > *') !== item;
  };
  const wanted = new Set([...root.querySelectorAll(CONTROLS)].filter((e) => is(e) && !below(e)));
  const lost = [];
  for (const e of root.querySelectorAll('*')) {
    if (getComputedStyle(e).cursor !== 'pointer' || !is(e) || e.closest(CONTROLS)) continue;
    if (e.closest('label')?.querySelector('input')) continue;
    // The grid opens the row that was chosen with the arrow keys.
    if (!e.closest('[role=grid] [role=row]')) lost.push(`can be clicked only: ${name(e)}`);
  }
  const reached = new Set(), bare = new Set();
  document.addEventListener('focusin', ({ target: e }) => {
    reached.add(e);
    const s = getComputedStyle(e), r = e.getBoundingClientRect();
    if (!(s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1) || r.right <= 0) bare.add(name(e));
  });
  document.activeElement.blur();
  window.reach = {
    left: () => [...wanted].filter((e) => e.isConnected && is(e) && !reached.has(e)),
    told: () => [...lost, ...window.reach.left().map((e) => `not reached: ${name(e)}`),
      ...[...bare].map((e) => `no ring: ${e}`)],
  };
  return wanted.size;
}"""
# From the last control of the first item to the same one of the next.
_NEXT = """(item) => {
  const controls = (e) => [...e.querySelectorAll('a, button, input')];
  const next = item.nextElementSibling, wanted = next && controls(next).at(-1);
  controls(item).at(-1).focus();
  window.isNext = () => !wanted || (document.activeElement === wanted && wanted.tabIndex === 0);
}"""
_BATCH = 12


def need_axe() -> None:
    """Without it a test is skipped, or fails where it must run."""
    if not _AXE.exists():
        cannot("accessibility is not tested: axe-core is not there; run `python webui/build.py --tools`")


def violations(page: Page, where: str) -> list[str]:
    """What axe finds in the theme that is on."""
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(_AXE.read_text() + ";void 0")
    theme = page.locator("html").get_attribute("data-theme")
    found: Any = page.evaluate(_LOOK, _RULES)
    nodes = [(v["id"], node) for v in found["violations"] for node in v["nodes"]]
    return [f"{where}, {theme}: {rule}: {n['html'][:160]}: {n['failureSummary']}" for rule, n in nodes]


def violations_in_both(page: Page, where: str) -> list[str]:
    """What axe finds in either theme."""
    told = []
    for theme in ("dark", "light"):
        use(page, theme)
        told += violations(page, where)
    return told


def unreached(page: Page, where: str) -> list[str]:
    """What there is to click or to type into on a page, or in its question, that Tab and the arrow keys do not reach.

    Also what has no ring around it when it has the focus.
    """
    presses = 2 * page.evaluate(_ENUMERATE) + 2 * _BATCH
    for _ in range(0, presses, _BATCH):
        for _ in range(_BATCH):
            page.keyboard.press("Tab")
        if not page.evaluate("() => window.reach.left().length"):
            break
    told = [f"{where}: {text}" for text in page.evaluate("() => window.reach.told()")]
    if page.locator("dialog[open]").count():
        return told
    for items in ("[role=grid] .tbody > .tr", ".decisions:not(.plain) > li"):
        first = page.locator(items).first
        if first.count() and first.locator("a, button, input").count():
            first.evaluate(_NEXT)
            page.keyboard.press("ArrowDown")
            if not page.evaluate("() => window.isNext()"):
                told.append(f"{where}: the arrow keys do not go from row to row in {items}")
    return told


# How many times Tab has to be pressed, backwards if it is less than 0, when the order is that of the document.
_STEPS = """(e) => {
  const root = document.querySelector('dialog[open]') ?? document;
  const all = [...root.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
    .filter((c) => c.tabIndex >= 0 && !c.disabled && c.checkVisibility());
  const steps = all.includes(e) ? all.indexOf(e) - all.indexOf(document.activeElement) : 0;
  return 2 * Math.abs(steps) > all.length ? steps - Math.sign(steps) * all.length : steps;
}"""


def tab_to(page: Page, wanted: Locator, key: str | None = None) -> None:
    """Go on by the keyboard until something has the focus, and see that this can be seen."""
    steps = 0 if key else wanted.evaluate(_STEPS)
    key = key or ("Tab" if steps >= 0 else "Shift+Tab")
    for _ in range(abs(steps)):
        page.keyboard.press(key)
    for _ in range(120):
        if wanted.evaluate("(e) => e === document.activeElement"):
            break
        page.keyboard.press(key)
    expect(wanted).to_be_focused()
    ring = wanted.evaluate("(e) => getComputedStyle(e).outlineStyle + ' ' + getComputedStyle(e).outlineWidth")
    assert re.match(r"(solid|auto) [1-9]", ring), ring

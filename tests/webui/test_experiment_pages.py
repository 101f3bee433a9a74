"""The pages of an experiment: what its charts and tables show, and how one filter governs them all."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.webui.watch import Watched

Open = Callable[..., Watched]
Keep = Callable[[Page, str], Path]
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
FOOT = re.compile(r"^(\d+) of (\d+) trials")


def shown_rows(page: Page) -> int:
    """How many trials the table lets through."""
    return int(page.get_by_role("grid", name="Trials").get_attribute("aria-rowcount") or 0) - 1


@THEMES
def test_the_overview_paints_every_curve_in_both_themes(opened: Open, keep: Keep, theme: str) -> None:
    seen = opened("/experiments/1/overview", theme)
    charts = seen.until("(c) => c.curves?.drawn > 0 && c.parallel?.shown > 0 && c['rung-0-0']?.results > 0")
    assert charts["curves"]["drawn"] == charts["curves"]["curves"] >= 300
    assert charts["parallel"]["axes"][-1] == "val_loss"
    expect(seen.page.get_by_role("grid", name="Trials")).to_be_visible()
    expect(seen.page.get_by_role("heading", level=1)).to_contain_text("asha with 300 trials")
    inked = seen.page.evaluate(
        """() => {
          const canvas = document.querySelector('[data-chart=curves] canvas');
          const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          let painted = 0;
          for (let i = 3; i < pixels.length; i += 4) if (pixels[i]) painted++;
          return painted / (pixels.length / 4);
        }"""
    )
    assert inked > 0.02
    keep(seen.page, f"overview-{theme}")
    assert not seen.problems


def test_a_brush_is_text_in_the_address_and_filters_curves_and_table(opened: Open) -> None:
    seen = opened("/experiments/1/overview")
    page = seen.page
    before = seen.until("(c) => c.parallel?.shown > 0 && c.curves?.drawn > 0 && c['rung-0-0']?.results > 0")
    box = page.locator("[data-chart=parallel]")
    box.scroll_into_view_if_needed()
    place = box.bounding_box()
    assert place is not None
    x = place["x"] + before["parallel"]["positions"][-1]
    top, bottom = before["parallel"]["span"]
    page.mouse.move(x, place["y"] + bottom)
    page.mouse.down()
    page.mouse.move(x, place["y"] + bottom - (bottom - top) * 0.3, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile(r"q=val_loss=\.\.[\d.]+"))
    after = seen.until(f"(c) => c.parallel?.shown < {before['parallel']['shown']} && c.curves?.drawn < 300")
    kept = shown_rows(page)
    assert 0 < kept < 300
    assert after["curves"]["drawn"] == kept
    best = page.get_by_role("grid", name="Trials").get_by_role("row").nth(1)
    expect(best.get_by_role("gridcell").nth(1)).to_have_text(
        page.locator(".best .card-head a").text_content() or "no best trial"
    )
    page.get_by_role("button", name="clear filter").click()
    seen.until(f"(c) => c.curves?.drawn === {before['curves']['drawn']}")
    assert not seen.problems


def test_a_filter_in_the_address_is_there_after_a_reload_and_a_wrong_one_is_told(opened: Open) -> None:
    seen = opened("/experiments/1/trials?q=optimizer=adamw+lr<1e-2&sort=-lr")
    page = seen.page
    expect(page.locator(".tfoot")).to_contain_text(FOOT)
    values = page.get_by_role("grid", name="Trials").get_by_role("row").nth(1)
    expect(values).to_contain_text("adamw")
    expect(page.get_by_role("columnheader", name="lr", exact=True)).to_have_attribute("aria-sort", "descending")
    page.reload()
    expect(page.locator(".tfoot")).to_contain_text(FOOT)
    page.get_by_label("Filter trials").fill("nosuch<3")
    expect(page.get_by_role("status").filter(has_text="no column")).to_be_visible()
    assert not seen.problems


@THEMES
def test_the_searcher_tells_its_decisions_and_its_rungs_at_any_event(opened: Open, keep: Keep, theme: str) -> None:
    seen = opened("/experiments/1/searcher", theme)
    page = seen.page
    decisions = page.get_by_role("list", name="Decisions")
    expect(decisions.get_by_role("listitem").first).to_contain_text("the search ends")
    expect(decisions).to_contain_text(re.compile(r"#\d+ reached \d+ epochs? with [\d.]+"))
    now = seen.until("(c) => c['rung-0-0']?.results > 0")
    chosen = decisions.get_by_role("listitem").filter(has_text="inside the top").first
    event = int((chosen.locator(".event-no").text_content() or "").replace(",", ""))
    chosen.locator(".event-no").click()
    page.wait_for_url(re.compile(f"event={event}"))
    expect(page.locator(".decisions .chosen")).to_contain_text("inside the top")
    trial = int(re.findall(r"#(\d+)", page.locator(".decisions .chosen").text_content() or "")[0])
    seen.until(f"(c) => c['rung-0-0']?.marked === {trial}")
    page.get_by_label("Event", exact=True).fill("300")
    early = seen.until(f"(c) => c['rung-0-0']?.results < {now['rung-0-0']['results']}")
    assert early["rung-0-0"]["results"] > 0
    page.get_by_role("button", name="back to now").click()
    seen.until(f"(c) => c['rung-0-0']?.results === {now['rung-0-0']['results']}")
    keep(page, f"searcher-{theme}")


def test_keys_reach_the_filter_the_rows_and_the_comparison(opened: Open) -> None:
    seen = opened("/experiments/1/trials")
    page = seen.page
    expect(page.get_by_role("grid", name="Trials").get_by_role("row").nth(3)).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Filter trials")).to_be_focused()
    page.keyboard.press("Escape")
    for key in ["j", "x", "j", "x", "c"]:
        page.keyboard.press(key)
    page.wait_for_url(re.compile(r"/compare\?t=\d+,\d+"))
    charts = seen.until("(c) => c.compare?.series.length === 2")
    assert all(points > 0 for _, points in charts["compare"]["series"])
    page.keyboard.press("3")
    page.wait_for_url(re.compile("/searcher"))
    page.keyboard.press("g")
    page.keyboard.press("e")
    page.wait_for_url(re.compile("/experiments$"))
    # The list has a meaning of its own for the second of these keys.
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_url(re.compile("/cluster$"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("move through the rows")


def test_a_trial_has_metrics_hyperparameters_history_and_checkpoints(opened: Open, keep: Keep) -> None:
    seen = opened("/experiments/1/overview")
    page = seen.page
    page.locator(".best .card-head a").click()
    page.wait_for_url(re.compile(r"/experiments/1/trials/\d+/metrics"))
    charts = seen.until("(c) => c['metric-val_loss']?.series[0]?.[1] > 0")
    assert charts["metric-val_loss"]["series"][0][0] == "validation"
    keep(page, "trial-light")
    page.get_by_role("link", name="Hyperparameters").click()
    seen.until("(c) => c['scatter-lr']?.points > 100")
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("list", name="Decisions about this trial")).to_contain_text(
        re.compile(r"trains to \d+ epochs?: .*inside the top")
    )
    page.get_by_role("link", name="Checkpoints").click()
    expect(page.get_by_role("grid", name="Checkpoints").get_by_role("row").nth(1)).to_be_visible()
    assert not seen.problems


def test_what_is_typed_at_once_into_a_fork_stays(opened: Open) -> None:
    seen = opened("/experiments/1/overview")
    # As soon as the text box is there, before anything is painted.
    seen.page.add_init_script(
        """new MutationObserver((_, observer) => {
          const editor = document.querySelector('textarea.editor');
          if (!editor) return;
          observer.disconnect();
          editor.value = 'name: typed at once';
          editor.dispatchEvent(new InputEvent('input', { bubbles: true }));
        }).observe(document, { childList: true, subtree: true });"""
    )
    seen.page.goto("/experiments/1/config?fork=yes")
    editor = seen.page.get_by_label("Configuration of the fork")
    expect(editor).to_be_visible()
    # What was to be done after the painting was done by then.
    frames = "(done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))"
    seen.page.evaluate(f"() => new Promise({frames})")
    expect(editor).to_have_value("name: typed at once")
    assert not seen.problems

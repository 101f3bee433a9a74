"""A search with a method of its own shows all that others show, and its rungs at any event are those of the engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from determined.methods.halving import Phase
from determined.methods.hosted import Hosted
from determined.testing.cluster import LocalMaster
from determined.testing.database import opened
from determined.wire.searcher import Inactive, event_from_json
from tests.webui.conftest import MODEL, PATIENCE_MS, log_in
from tests.webui.custom_search import asha
from tests.webui.watch import Watched, watch

CONFIG = """
name: a method of my own
entrypoint: python3 train.py
searcher: {name: custom, metric: loss, unit: epochs}
"""


def events_of(master: LocalMaster, experiment: int) -> list[Any]:
    with opened(master.data) as db:
        query = "SELECT body FROM events WHERE experiment_id = ? ORDER BY id"
        rows = db.execute(query, (experiment,)).fetchall()
    return [event_from_json(json.loads(body)) for (body,) in rows]


def replayed(events: list[Any], first_trial: int) -> dict[int, list[Any]]:
    """Each rung after each event: results as (trial, metric, whether it went on, whether it waits), and who trains."""
    method = asha()
    hosted, [bracket] = Hosted(method), method.brackets
    states: dict[int, list[Any]] = {}
    for event_id, event in events:
        assert not isinstance(event, Inactive)
        hosted.handle(event_id, event)
        rungs = []
        for place, rung in enumerate(bracket.rungs):
            results = {
                (number + first_trial, loss, bracket.members[number].rung > place, number in rung.waiting)
                for number, loss in rung.results()
            }
            training = {
                m.number + first_trial for m in bracket.members if m.rung == place and m.phase is Phase.TRAINING
            }
            rungs.append((rung.length, results, training))
        states[event_id] = rungs
    return states


def drawn(charts: dict[str, Any]) -> list[Any]:
    """The same of what the charts show."""
    rungs = sorted((c for name, c in charts.items() if name.startswith("rung-")), key=lambda c: c["length"])
    return [
        (
            c["length"],
            {(trial, y, how == "promoted", how == "waiting") for trial, y, how in c["shown"] if how != "running"},
            {trial for trial, _, how in c["shown"] if how == "running"},
        )
        for c in rungs
        if c["shown"]
    ]


def test_a_custom_search_shows_everything_and_its_rungs_are_those_of_the_replay(
    browser: Browser, busy: LocalMaster, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text((MODEL / "train.py").read_text())
    (tmp_path / "config.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "tests.webui.custom_search", "asha", str(tmp_path), str(tmp_path / "search")]
    ran = busy.run(command, PYTHONPATH=str(Path(__file__).parents[2]))
    assert ran.returncode == 0, ran.stderr
    number = int(ran.stdout)
    trials = busy.session().get(f"/api/v1/experiments/{number}/trials?limit=-1")["trials"]
    states = replayed(events_of(busy, number), min(t["id"] for t in trials))
    last = max(states)

    context = browser.new_context(base_url=busy.url, viewport={"width": 1500, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    log_in(context, busy).close()
    seen: Watched = watch(context.new_page(), f"/experiments/{number}/overview")
    page = seen.page
    charts = seen.until("(c) => c.curves?.drawn === 9 && c.parallel?.shown === 9 && c['rung-0-0']?.results > 0")
    assert set(charts["parallel"]["axes"]) == {"x", "kind", "loss"}
    page.goto(f"/experiments/{number}/hparams")
    seen.until("(c) => c['scatter-x']?.points > 0 && c['scatter-kind']?.points > 0 && c.heat")
    page.goto(f"/experiments/{number}/searcher")
    decisions = page.get_by_role("list", name="Decisions")
    expect(decisions).to_contain_text("inside the top 1/3")
    expect(decisions).to_contain_text("the search ends")
    summary = page.locator("dl[aria-label=Summary]")
    expect(summary).to_contain_text("brackets")
    expect(page.get_by_text(f"after event {last}", exact=True)).to_be_visible()
    told = seen.until("(c) => c['rung-0-2']?.results > 0")
    assert drawn(told) == [r for r in states[last] if r[1] or r[2]]
    slider = page.get_by_label("Event", exact=True)
    for event in sorted({1, 2, 5, *range(8, last, 4)}):
        slider.fill(str(event))
        wanted = [r for r in states[event] if r[1] or r[2]]
        told = seen.until(f"(c) => c['rung-0-0']?.event === {event}")
        assert drawn(told) == wanted, event
    assert not seen.problems
    context.close()

"""A search with a method of its own shows all that others show, and its rungs at any event are those of the engine."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from determined.domain.operations import Progress
from determined.methods.halving import Phase
from determined.methods.hosted import Hosted
from determined.testing.cluster import LocalMaster
from determined.testing.database import opened
from determined.wire.searcher import Inactive, event_from_json
from tests.webui.conftest import MODEL, PATIENCE_MS, log_in
from tests.webui.custom_search import MyBrackets, brackets
from tests.webui.watch import Watched, watch

CONFIG = """
name: a method of my own
entrypoint: python3 train.py
searcher: {name: custom, metric: loss, unit: epochs}
resources: {slots_per_trial: 0}
"""


def events_of(master: LocalMaster, experiment: int) -> list[Any]:
    with opened(master.data) as db:
        query = "SELECT body FROM events WHERE experiment_id = ? ORDER BY id"
        rows = db.execute(query, (experiment,)).fetchall()
    return [event_from_json(json.loads(body)) for (body,) in rows]


Rungs = dict[tuple[int, int], tuple[set[tuple[int, Any, str]], set[int]]]
"""By bracket and length: each result as (trial, metric, outcome), and which trials are on their way."""


@dataclass
class Search:
    """One that has run, and what its replay says.

    Attributes:
        states: the rungs after each event.
        answers: what the method said to each event, as (request id, reason); progress is left out.
        trials: ids by request id.
    """

    number: int
    states: dict[int, Rungs]
    answers: dict[int, list[tuple[uuid.UUID | None, str]]]
    trials: Mapping[uuid.UUID, int]


def rungs_of(method: MyBrackets, trials: Mapping[uuid.UUID, int], ids: dict[tuple[int, int], uuid.UUID]) -> Rungs:
    found: Rungs = {}
    for number, bracket in enumerate(method.brackets):
        # A method forgets the request ids of trials that are over.
        ids.update({(number, m.number): m.request_id for m in bracket.members if m.request_id.int})
        for place, rung in enumerate(bracket.rungs):
            results: set[tuple[int, Any, str]] = set()
            training: set[int] = set()
            for member, loss in rung.results():
                promoted = bracket.members[member].rung > place
                outcome = "promoted" if promoted else "waiting" if member in rung.waiting else "ended"
                results.add((trials[ids[number, member]], loss, outcome))
            for m in bracket.members:
                if m.rung == place and m.phase is Phase.TRAINING:
                    training.add(trials[ids[number, m.number]])
            if results or training:
                found[number, rung.length] = (results, training)
    return found


def replay(master: LocalMaster, number: int) -> Search:
    """Hear all events again with the method that the search had, and note what it says and what its rungs are."""
    listed = master.session().get(f"/api/v1/experiments/{number}/trials?limit=-1")["trials"]
    trials = {uuid.UUID(t["taskId"].partition(".")[2]): int(t["id"]) for t in listed}
    method = brackets()
    hosted = Hosted(method)
    search = Search(number, {}, {}, trials)
    ids: dict[tuple[int, int], uuid.UUID] = {}
    for event_id, event in events_of(master, number):
        assert not isinstance(event, Inactive)
        operations = [op for op in hosted.handle(event_id, event) if not isinstance(op, Progress)]
        search.answers[event_id] = [(getattr(op, "request_id", None), str(op.reason or "")) for op in operations]
        search.states[event_id] = rungs_of(method, trials, ids)
    return search


def as_rungs(rungs: Iterator[tuple[int, int, list[Any]]]) -> Rungs:
    """The same of (bracket, length, results as the master tells them and charts show them)."""
    return {
        (bracket, length): (
            {(trial, metric, how) for trial, metric, how in results if how != "running"},
            {trial for trial, _, how in results if how == "running"},
        )
        for bracket, length, results in rungs
        if results
    }


def told(master: LocalMaster, number: int, event: int) -> Rungs:
    answer = master.session().get(f"/api/v1/ui/experiments/{number}/rungs?event={event}")
    assert answer["event"] == event
    return as_rungs((b["bracket"], r["length"], r["results"]) for b in answer["brackets"] for r in b["rungs"])


def drawn(charts: dict[str, Any]) -> Rungs:
    rungs = [(int(name.split("-")[1]), chart) for name, chart in charts.items() if name.startswith("rung-")]
    return as_rungs((bracket, c["length"], c["shown"]) for bracket, c in rungs)


@pytest.fixture(scope="module")
def search(browser: Browser, busy: LocalMaster, tmp_path_factory: pytest.TempPathFactory) -> Search:
    folder = tmp_path_factory.mktemp("brackets")
    (folder / "train.py").write_text((MODEL / "train.py").read_text())
    (folder / "config.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "tests.webui.custom_search", "brackets", str(folder), str(folder / "search")]
    ran = busy.run(command, PYTHONPATH=str(Path(__file__).parents[2]))
    assert ran.returncode == 0, ran.stderr
    return replay(busy, int(ran.stdout))


@pytest.fixture
def seen(browser: Browser, busy: LocalMaster, search: Search) -> Iterator[Watched]:
    """A page on its overview."""
    context = browser.new_context(base_url=busy.url, viewport={"width": 1500, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    log_in(context, busy).close()
    yield watch(context.new_page(), f"/experiments/{search.number}/overview")
    context.close()


def test_the_rungs_and_answers_at_every_event_are_those_of_the_replay(busy: LocalMaster, search: Search) -> None:
    last = max(search.states)
    assert {bracket for bracket, _ in search.states[last]} == {0, 1, 2}
    assert any(how == "promoted" for results, _ in search.states[last].values() for _, _, how in results)
    for event, wanted in search.states.items():
        assert told(busy, search.number, event) == wanted, event
    found = busy.session().get(f"/api/v1/ui/experiments/{search.number}/decisions?limit=1000")
    assert found["last"] == last
    answers = {
        d["event"]: [(o["trial"], o["reason"]) for o in d["operations"] if o["kind"] != "Progress"]
        for d in found["decisions"]
    }
    for event, said in search.answers.items():
        wanted_answers = [(None if of is None else search.trials[of], why) for of, why in said]
        assert answers.get(event, []) == wanted_answers, event


def test_the_scrubber_shows_the_rungs_of_the_replay(seen: Watched, search: Search) -> None:
    page, last = seen.page, max(search.states)
    promoted = {e: sum(how == "promoted" for r, _ in s.values() for _, _, how in r) for e, s in search.states.items()}
    at = [e for e in search.states if promoted[e] > promoted.get(e - 1, 0)]
    chosen = sorted({1, 2, 3, last - 1, *at, *(e - 1 for e in at), *(e + 1 for e in at)} - {last})
    assert at
    page.goto(f"/experiments/{search.number}/searcher")
    expect(page.get_by_text(f"{last} of {last}")).to_be_visible()
    assert drawn(seen.until("(c) => c['rung-0-2']?.results > 0")) == search.states[last]
    slider = page.get_by_label("Event", exact=True)
    for event in chosen:
        slider.fill(str(event))
        assert drawn(seen.until(f"(c) => c['rung-0-0']?.event === {event}")) == search.states[event], event
    page.get_by_role("button", name="back to now").click()
    assert drawn(seen.until(f"(c) => c['rung-0-0']?.event === {last}")) == search.states[last]
    assert not seen.problems


def test_a_custom_search_shows_every_plot_and_every_reason(seen: Watched, search: Search) -> None:
    page, number = seen.page, len(search.trials)
    at, trial = f"/experiments/{search.number}", min(search.trials.values())
    charts = seen.until(
        f"(c) => c.curves?.drawn === {number} && c.parallel?.shown === {number} && c['rung-0-0']?.results > 0"
    )
    assert set(charts["parallel"]["axes"]) == {"x", "kind", "loss"}
    page.goto(f"{at}/hparams")
    scatters = f"c['scatter-x']?.points === {number} && c['scatter-kind']?.points === {number}"
    charts = seen.until(f"(c) => {scatters} && c.heat?.filled > 1")
    assert {charts["heat"]["x"], charts["heat"]["y"]} == {"x", "kind"}
    bars = page.locator(".bars li")
    assert sorted(bars.locator("span[title]").all_text_contents()) == ["kind", "x"]
    # The loss is x and a little that falls with the length, so x matters more.
    expect(bars.first).to_contain_text("x")
    shares = [int(text.partition(" ")[0]) for text in bars.locator("em").all_text_contents()]
    assert 99 <= sum(shares) <= 101
    assert shares[0] > shares[1]
    page.goto(f"{at}/searcher")
    decisions = page.get_by_role("list", name="Decisions")
    expect(decisions).to_contain_text("the search ends")
    text = decisions.text_content() or ""
    # Of many answers to one event the first ones are listed.
    reasons = [why for said in search.answers.values() if len(said) <= 6 for _, why in said if why]
    assert len(reasons) > 10
    missing = [why for why in reasons if why not in text]
    assert not missing
    expect(page.locator("dl[aria-label=Summary]")).to_contain_text("brackets")
    for tab, shows in {
        "metrics": "c['metric-loss']?.series[0]?.[1] > 0",
        "hparams": scatters,
        "history": "d.querySelector('.decisions li')",
    }.items():
        page.goto(f"{at}/trials/{trial}/{tab}")
        seen.until(f"(c, d) => {shows}")
    history = page.get_by_role("list", name="Decisions about this trial")
    for said in search.answers.values():
        for of, why in said:
            if of is not None and search.trials[of] == trial:
                expect(history).to_contain_text(why)
    page.goto(f"{at}/compare?t={trial},{trial + 1}")
    assert all(points > 0 for _, points in seen.until("(c) => c.compare?.series.length === 2")["compare"]["series"])
    page.goto("/experiments")
    seen.until("(c) => Object.keys(c).some((name) => name.startsWith('spark') && c[name].values > 0)")
    assert not seen.problems

"""Whatever users, scripts and methods write is text on every page: nothing of it runs, nothing leaves the master."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from playwright.sync_api import Browser, BrowserContext, Page, expect

from determined.common.api.session import Session
from determined.testing.cluster import LocalMaster
from tests.webui.conftest import MODEL, PATIENCE_MS, log_in
from tests.webui.corpus import AWAY, CORPUS, LINES
from tests.webui.watch import Watched, watch

NAME, METRIC, USER = CORPUS[0], CORPUS[1], CORPUS[7].replace("/", "|").lower()
WORKSPACE, PROJECT = f"workspace {CORPUS[1]}", f"project {CORPUS[5]}"
FILES = {f"{text.replace('/', '|')}.py": text for text in CORPUS}
LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => window.violations.push(e.violatedDirective));
"""


@pytest.fixture(scope="module")
def written(busy: LocalMaster, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """Experiments full of them: a search that has run, and one of a user whose name is one of them."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "train.py").write_text((MODEL / "train.py").read_text())
    (folder / "names.json").write_text(json.dumps({"lines": LINES, "metrics": CORPUS, "files": list(FILES)}))
    for name, content in FILES.items():
        (folder / name).write_text(content)
    config: dict[str, Any] = {
        "name": NAME,
        "workspace": WORKSPACE,
        "project": PROJECT,
        "description": CORPUS[2],
        "labels": list(CORPUS),
        "entrypoint": "python3 train.py",
        "searcher": {"name": "custom", "metric": METRIC, "unit": "epochs"},
        "data": {key: list(CORPUS) for key in CORPUS},
        "max_restarts": 0,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=False))
    command = [sys.executable, "-m", "tests.webui.custom_search", "texts", str(folder), str(folder / "search")]
    ran = busy.run(command, PYTHONPATH=str(Path(__file__).parents[2]))
    assert ran.returncode == 0, ran.stderr
    admin = Session(busy.url, token=Session(busy.url).post("/api/v1/auth/login", json=login("admin"))["token"])
    admin.post("/api/v1/users", json={"user": {"username": USER, "displayName": CORPUS[3], "active": True}})
    theirs = Session(busy.url, token=Session(busy.url).post("/api/v1/auth/login", json=login(USER))["token"])
    files = [{"path": "a.py", "type": 48, "content": base64.b64encode(b"pass").decode()}]
    body = {"config": yaml.safe_dump(config), "activate": False, "modelDefinition": files}
    return [int(ran.stdout), int(theirs.post("/api/v1/experiments", json=body)["experiment"]["id"])]


def login(user: str) -> dict[str, Any]:
    return {"username": user, "password": "", "isHashed": True}


@pytest.fixture
def context(browser: Browser, busy: LocalMaster) -> Any:
    context = browser.new_context(base_url=busy.url, viewport={"width": 1700, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(LISTEN)
    yield context
    context.close()


def assert_harmless(seen: Watched, master: LocalMaster) -> None:
    assert seen.page.evaluate("() => [window.broken, window.violations]") == [None, []]
    assert not seen.problems
    assert all(url.startswith((master.url, "data:")) for url in seen.requests), seen.requests
    assert seen.page.url.startswith(master.url)


def shown(seen: Watched, where: str = "main") -> str:
    seen.until("(c, d) => d.querySelector('h1') && !d.querySelector('.skeleton, .starting')")
    text: str = seen.page.locator(where).first.evaluate("(e) => e.textContent")
    return text


def test_every_page_shows_them_literally_and_runs_nothing(
    context: BrowserContext, busy: LocalMaster, written: list[int]
) -> None:
    first, second = written
    trial = int(busy.session().get(f"/api/v1/experiments/{first}/trials")["trials"][0]["id"])
    saved = busy.session().get(f"/api/v1/experiments/{first}/checkpoints")["checkpoints"]
    assert saved
    assert all(set(FILES) <= set(checkpoint["resources"]) for checkpoint in saved)
    log_in(context, busy).close()
    page = context.new_page()
    seen = watch(page, "/experiments")
    for number in written:
        expect(page.locator(f"a[href='/experiments/{number}/overview']").filter(has_text=NAME)).to_be_visible()
    text = shown(seen)
    assert all(t in text for t in CORPUS)
    assert USER in text
    at, trials = f"/experiments/{first}", f"/experiments/{first}/trials"
    pages: dict[str, list[str]] = {
        f"{at}/overview": [NAME, METRIC, *CORPUS[:4]],
        f"{at}/trials": [METRIC, *CORPUS[:3]],
        f"{at}/searcher": list(CORPUS),
        f"{at}/hparams": list(CORPUS[:8]),
        f"{at}/config": [WORKSPACE, PROJECT, CORPUS[5], CORPUS[8], CORPUS[10]],
        f"{at}/config?fork=yes": [NAME],
        f"{at}/config?other={second}": [CORPUS[5]],
        f"{at}/code": list(FILES),
        f"{at}/logs": [*LINES[-6:-3], LINES[-2], LINES[-1][:2_000]],
        f"{at}/checkpoints": [METRIC],
        f"{trials}/{trial}/metrics": [NAME, *CORPUS],
        f"{trials}/{trial}/hparams": list(CORPUS),
        f"{trials}/{trial}/logs": [*LINES[-6:-3], LINES[-2], LINES[-1][:2_000]],
        f"{trials}/{trial}/checkpoints": [],
        f"{trials}/{trial}/history": [" ".join(CORPUS)],
        f"{at}/compare?t={trial},{trial + 1}": list(CORPUS),
        f"/compare?e={first},{second}": [NAME, METRIC],
        "/cluster": [],
        "/queue": [],
        "/settings": [],
    }
    for path, texts in pages.items():
        page.goto(path)
        page.wait_for_load_state()
        text = shown(seen)
        missing = [t for t in texts if t not in text]
        assert not missing, (path, missing)
        # What opens and listens to the mouse, does so here.
        page.mouse.move(600, 400)
        page.mouse.move(620, 520)
        assert_harmless(seen, busy)
    for name, content in FILES.items():
        page.goto(f"{at}/code?file={quote(name)}")
        expect(page.locator(".file h2")).to_have_text(name)
        expect(page.locator(".file .code")).to_contain_text(content)
    assert_harmless(seen, busy)
    for path in (f"{at}/checkpoints", f"{trials}/{trial}/checkpoints"):
        page.goto(path)
        page.get_by_role("grid").get_by_role("button", name=re.compile(r"\d+ files?")).first.click()
        listed = page.get_by_role("dialog").get_by_role("rowheader").all_text_contents()
        assert set(FILES) <= set(listed)
        assert_harmless(seen, busy)
    page.goto(f"/experiments/{second}/overview")
    page.get_by_role("button", name="Stop…").click()
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text(f"Stop {NAME}?")
    page.get_by_role("dialog").get_by_role("button", name="Back").click()
    assert_harmless(seen, busy)


def test_addresses_and_answers_of_the_master_are_text_as_well(
    context: BrowserContext, busy: LocalMaster, written: list[int]
) -> None:
    at = f"/experiments/{written[0]}"
    log_in(context, busy).close()
    seen = watch(context.new_page(), "/settings")
    for text in (CORPUS[0], CORPUS[4], AWAY):
        given = quote(text)
        for path in (
            f"/experiments?q={given}&sort={given}",
            f"{at}/trials?q={given}&columns={given}",
            f"{at}/searcher?event={given}&trial={given}",
            f"{at}/code?file={given}",
            f"{at}/logs?find={given}&level={given}",
            f"{at}/{given}",
            f"{at}/compare?t={given}",
            f"/compare?e={given}",
            f"/login?to={given}",
        ):
            seen.page.goto(path)
            # Levels that there are none of, and the like, are refused by the master.
            seen.page.locator("h1").first.wait_for()
    seen.problems[:] = [p for p in seen.problems if "status of 400" not in p]
    assert_harmless(seen, busy)
    seen.page.goto(f"{at}/config?fork=yes")
    editor = seen.page.get_by_label("Configuration of the fork")
    expect(editor).to_have_value(re.compile(re.escape(NAME.partition('"')[0])))
    editor.fill(yaml.safe_dump({"searcher": {"name": NAME, "metric": METRIC}, CORPUS[4]: 1}))
    seen.page.get_by_role("button", name="Start the fork").click()
    expect(seen.page.get_by_role("alert")).to_contain_text("img src=x")
    seen.problems[:] = [p for p in seen.problems if "status of 400" not in p]
    assert_harmless(seen, busy)


def test_a_user_with_such_a_name_logs_in(context: BrowserContext, busy: LocalMaster, written: list[int]) -> None:
    seen = watch(context.new_page(), "/settings")
    seen.page.get_by_label("User").fill(USER)
    seen.page.get_by_role("button", name="Log in").click()
    expect(seen.page.get_by_role("heading", name="Settings")).to_be_visible()
    expect(seen.page.locator("main")).to_contain_text(CORPUS[3])
    seen.problems[:] = [p for p in seen.problems if "status of 401" not in p]
    assert_harmless(seen, busy)


def test_a_page_of_another_origin_changes_nothing_and_hears_nothing(
    context: BrowserContext, busy: LocalMaster, written: list[int]
) -> None:
    """It is of the same site, as ports do not count there, so the browser sends the cookie along."""
    log_in(context, busy).close()
    policy = context.request.get("/experiments").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    elsewhere = f"http://127.0.0.1:{busy.port - 1}"
    page: Page = context.new_page()
    page.route(f"{elsewhere}/**", lambda route: route.fulfill(body="<h1>elsewhere</h1>", content_type="text/html"))
    page.goto(f"{elsewhere}/")
    found = page.evaluate(
        """async ([url, id]) => {
          const ask = (path, options) =>
            fetch(url + path, {credentials: 'include', ...options}).then(() => 'answered', () => 'refused');
          const post = await ask(`/api/v1/experiments/${id}/activate`, {method: 'POST', mode: 'no-cors'});
          const read = await ask('/api/v1/experiments');
          const socket = new WebSocket(url.replace('http', 'ws') + '/api/v1/stream?topics=experiments');
          const heard = await new Promise((done) => {
            socket.onmessage = () => done('heard');
            socket.onclose = () => done('refused');
          });
          return [post, read, heard];
        }""",
        [busy.url, written[1]],
    )
    assert found == ["refused", "refused", "refused"]
    state = busy.session().get(f"/api/v1/experiments/{written[1]}")["experiment"]["state"]
    assert state == "STATE_PAUSED"

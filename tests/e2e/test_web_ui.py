"""The web UI of a real master: how one gets in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from determined.testing.cluster import LocalMaster

LINK = re.compile(r"http://127\.0\.0\.1:\d+/open\?key=[\w-]+")


def logged_in(link: str) -> httpx.Client:
    """A browser after it has opened a link."""
    browser = httpx.Client(base_url=link.partition("/open")[0])
    answer = browser.get(link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/experiments")
    return browser


def test_det_ui_prints_a_link_that_works_once_and_opens_it_where_there_is_a_browser(tmp_path: Path) -> None:
    with LocalMaster(tmp_path) as master:
        printed = master.det("ui", "--no-browser")
        assert printed.returncode == 0, printed.stderr
        link = printed.stdout.strip()
        assert LINK.fullmatch(link)
        with closing(logged_in(link)) as browser:
            assert browser.get("/ui/session").json()["user"]["username"] == "determined"
            assert browser.get("/api/v1/experiments").status_code == 200
            refused = browser.post("/api/v1/experiments/1/pause")
            assert (refused.status_code, "own pages" in refused.json()["message"]) == (403, True)
            assert browser.post("/api/v1/experiments/1/pause", headers={"Origin": master.url}).status_code == 404
            assert browser.get(link).status_code == 401
        opened = tmp_path / "opened"
        script = tmp_path / "browser"
        script.write_text(f'#!/bin/sh\nprintf "%s" "$1" > "{opened}.tmp"\nmv "{opened}.tmp" "{opened}"\n')
        script.chmod(0o755)
        shown = master.run([sys.executable, "-m", "determined.cli", "ui"], BROWSER=f"{script} %s")
        assert "opened in your browser" in shown.stderr
        assert opened.read_text() == shown.stdout.strip()


def test_a_session_lives_through_a_restart_of_the_master_and_a_link_does_not(tmp_path: Path) -> None:
    with LocalMaster(tmp_path) as master:
        first, second = (master.det("ui", "--no-browser").stdout.strip() for _ in range(2))
        with closing(logged_in(first)) as browser:
            master.kill()
            master.start()
            assert browser.get("/ui/session").status_code == 200
            assert browser.get(second).status_code == 401


def test_whoever_starts_a_master_is_told_where_its_web_ui_is(tmp_path: Path) -> None:
    master = LocalMaster(tmp_path)
    try:
        up = master.det("deploy", "local", "cluster-up", "--json")
        told = json.loads(up.stdout)
        logged_in(told["link"]).close()
        # Whoever finds it running may not be the one who started it.
        assert json.loads(master.det("deploy", "local", "cluster-up", "--json").stdout)["link"] is None
        assert "key=" not in (master.data / "master.json").read_text()
        assert "key=" not in (master.data / "master.log").read_text()
    finally:
        master.det("deploy", "local", "cluster-down")


@pytest.mark.parametrize("arguments", [[], ["--no-local-login"]])
def test_a_master_in_the_foreground_prints_a_link_unless_it_is_to_log_nobody_in(
    tmp_path: Path, arguments: list[str]
) -> None:
    master = LocalMaster(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "determined.master", "--data", str(master.data), "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        env=master.env,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = []
        try:
            for line in process.stderr:
                lines.append(line)
                if "Web UI" in line or ("serving on" in line and arguments):
                    break
        finally:
            process.terminate()
        found = LINK.search("".join(lines))
        assert (found is None) == bool(arguments)


def test_pages_learn_that_the_master_is_another_one_after_a_restart_and_read_everything_anew(tmp_path: Path) -> None:
    """The numbers of versions may start lower than they had come, so those of the old master count for nothing."""
    master = LocalMaster(tmp_path)
    filled = subprocess.run(
        [sys.executable, "-m", "determined.testing.ui_fixture", "--trials", "20", str(master.data)], check=False
    )
    assert filled.returncode == 0
    with master, closing(logged_in(master.det("ui", "--no-browser").stdout.strip())) as browser:
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
        url = f"{master.url.replace('http', 'ws')}/api/v1/stream?topics=exp:1"
        table = browser.get("/api/v1/ui/experiments/1/trials")
        assert table.json()["count"] >= 20
        known = {"If-None-Match": table.headers["etag"]}
        assert browser.get("/api/v1/ui/experiments/1/trials", headers=known).status_code == 304

        def listen() -> ClientConnection:
            return connect(url, additional_headers=cookie, origin=Origin(master.url), proxy=None)

        with listen() as socket:
            first = _greeting(socket)
            assert first == _greeting_of(listen())
            master.kill()
            with pytest.raises(ConnectionClosed):
                _read_to_the_end(socket)
        master.start()
        assert _greeting_of(listen()) != first
        again = browser.get("/api/v1/ui/experiments/1/trials", headers=known)
        assert (again.status_code, again.content) == (200, table.content)


def _read_to_the_end(socket: ClientConnection) -> None:
    while True:
        socket.recv()


def _greeting_of(socket: ClientConnection) -> str:
    with socket:
        return _greeting(socket)


def _greeting(socket: ClientConnection) -> str:
    while True:
        told = json.loads(socket.recv())
        if told["topic"] == "hello":
            return str(told["master"])

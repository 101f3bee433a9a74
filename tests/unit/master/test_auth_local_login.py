from __future__ import annotations

import json
from pathlib import Path

import pytest

from determined.master.local_login import write_local_login

URLS = ["http://localhost:8080", "http://127.0.0.1:8080"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "determined" / "auth.json"


def masters(path: Path) -> dict[str, dict[str, object]]:
    entries: dict[str, dict[str, object]] = json.loads(path.read_text())["masters"]
    return entries


def test_a_login_is_stored_under_each_address_for_the_owner_alone(path: Path) -> None:
    write_local_login(URLS, "determined", "TOKEN", path)
    entry = {"active_user": "determined", "tokens": {"determined": "TOKEN"}}
    assert masters(path) == dict.fromkeys(URLS, entry)
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_start_replaces_the_token_only(path: Path) -> None:
    write_local_login(URLS, "determined", "OLD", path)
    write_local_login(["http://elsewhere:1"], "ann", "ANN", path)
    write_local_login(URLS, "determined", "NEW", path)
    assert masters(path)[URLS[0]]["tokens"] == {"determined": "NEW"}
    assert masters(path)["http://elsewhere:1"]["tokens"] == {"ann": "ANN"}


def test_an_active_user_who_is_logged_in_stays_active(path: Path) -> None:
    path.parent.mkdir()
    kept = {"active_user": "ann", "tokens": {"ann": "A"}}
    stale = {"active_user": "bob", "tokens": {}}
    path.write_text(json.dumps({"version": 1, "masters": {URLS[0]: kept, URLS[1]: stale}}))
    write_local_login(URLS, "determined", "TOKEN", path)
    assert masters(path)[URLS[0]] == {"active_user": "ann", "tokens": {"ann": "A", "determined": "TOKEN"}}
    assert masters(path)[URLS[1]]["active_user"] == "determined"

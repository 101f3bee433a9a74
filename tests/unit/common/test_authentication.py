from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from determined.common.api import authentication, errors
from determined.common.api.authentication import authenticate, login, logout, logout_all, open_session, salt_and_hash
from determined.common.api.token_store import TokenStore
from determined.testing.http_peer import HttpPeer, Request, refusal

USERS = {"determined": "", "ada": "secret"}


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DET_USER", "DET_PASS", "DET_USER_TOKEN", "DET_TASK_ID", "DET_MASTER", "DET_MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DET_DEBUG_CONFIG_PATH", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def master() -> Iterator[HttpPeer]:
    def on_login(request: Request) -> object:
        user, password = request.json["username"], request.json["password"]
        assert request.json["isHashed"] is True
        if password != salt_and_hash(USERS.get(user, "no such user")):
            return refusal(401, 16, "invalid credentials")
        return {"token": f"token of {user}", "user": {}}

    def on_me(request: Request) -> object:
        if request.headers.get("authorization", "").startswith("Bearer token of "):
            return {"user": {}}
        return refusal(401, 16, "invalid token")

    with HttpPeer() as peer:
        peer.on("POST", "/api/v1/auth/login", on_login)
        peer.on("GET", "/api/v1/me", on_me)
        peer.on("POST", "/api/v1/auth/logout", {})
        yield peer


def test_the_hash_is_the_one_that_the_protocol_fixes() -> None:
    assert salt_and_hash("") == ""
    assert salt_and_hash("pw").startswith("44e627c2d522f93e")
    assert len(salt_and_hash("pw")) == 128


def test_the_default_user_needs_no_password(master: HttpPeer) -> None:
    found = authenticate(master.url)
    assert (found.user, found.token) == ("determined", "token of determined")


def test_a_login_is_remembered_and_used_without_asking_again(master: HttpPeer, config: Path) -> None:
    login(master.url, "ada", "secret")
    assert authenticate(master.url).user == "ada"
    assert len(master.seen("POST", "/api/v1/auth/login")) == 1
    store = json.loads((config / "auth.json").read_text())
    entry = {"active_user": "ada", "tokens": {"ada": "token of ada"}}
    assert store == {"version": 1, "masters": {master.url: entry}}


def test_the_token_file_is_for_its_owner_alone(master: HttpPeer, config: Path) -> None:
    login(master.url, "ada", "secret")
    assert stat.S_IMODE((config / "auth.json").stat().st_mode) == 0o600
    assert {p.name for p in config.iterdir()} <= {"auth.json", "auth.json.lock"}


def test_an_expired_token_is_dropped_and_replaced(master: HttpPeer) -> None:
    TokenStore(master.url).set_token("determined", "stale", activate=True)
    assert authenticate(master.url).token == "token of determined"
    assert TokenStore(master.url).get_token("determined") == "token of determined"


def test_an_explicit_user_comes_before_everything(master: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DET_USER", "determined")
    monkeypatch.setenv("DET_PASS", "")
    assert authenticate(master.url, user="ada", password="secret").user == "ada"


def test_user_and_password_of_the_environment_come_before_the_active_user(
    master: HttpPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    TokenStore(master.url).set_token("determined", "token of determined", activate=True)
    monkeypatch.setenv("DET_USER", "ada")
    assert authenticate(master.url).user == "determined"
    monkeypatch.setenv("DET_PASS", "secret")
    assert authenticate(master.url).user == "ada"


def test_a_user_token_of_the_environment_is_used_when_nothing_is_cached(
    master: HttpPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DET_USER", "ada")
    monkeypatch.setenv("DET_USER_TOKEN", "from env")
    assert authenticate(master.url).token == "from env"


def test_inside_a_task_its_own_token_comes_before_the_token_file(
    master: HttpPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    TokenStore(master.url).set_token("determined", "token of determined", activate=True)
    monkeypatch.setenv("DET_TASK_ID", "1.x")
    monkeypatch.setenv("DET_USER", "ada")
    monkeypatch.setenv("DET_USER_TOKEN", "of the task")
    assert authenticate(master.url).token == "of the task"
    assert authenticate(master.url, user="determined").token == "token of determined"


def test_a_wrong_password_is_an_error_that_names_the_user(master: HttpPeer) -> None:
    with pytest.raises(errors.UnauthenticatedException, match="refused the login of user 'ada'"):
        authenticate(master.url, user="ada", password="wrong")


def test_without_a_password_a_named_user_fails_with_advice(master: HttpPeer) -> None:
    with pytest.raises(errors.UnauthenticatedException, match="det user login ada"):
        authenticate(master.url, user="ada")


def test_the_password_is_asked_for_only_after_the_empty_one_failed(master: HttpPeer) -> None:
    asked: list[str] = []

    def prompt(user: str) -> str:
        asked.append(user)
        return "secret"

    assert authenticate(master.url, prompt=prompt).user == "determined"
    assert asked == []
    assert authenticate(master.url, user="ada", prompt=prompt).user == "ada"
    assert asked == ["ada"]


def test_logout_forgets_and_revokes(master: HttpPeer) -> None:
    login(master.url, "ada", "secret")
    assert logout(master.url) == ["ada"]
    assert master.seen("POST", "/api/v1/auth/logout")[0].headers["authorization"] == "Bearer token of ada"
    assert TokenStore(master.url).get_active_user() is None
    assert logout(master.url) == []


def test_logout_forgets_even_when_the_master_is_gone(master: HttpPeer) -> None:
    login(master.url, "ada", "secret")
    master.close()
    assert logout(master.url) == ["ada"]
    assert TokenStore(master.url).get_token("ada") is None


def test_all_users_can_be_logged_out_at_once(master: HttpPeer) -> None:
    login(master.url, "determined", "")
    login(master.url, "ada", "secret")
    assert sorted(logout_all(master.url)) == ["ada", "determined"]


def test_a_session_uses_the_master_of_the_environment(master: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DET_MASTER", master.url)
    with open_session() as session:
        assert (session.master_url, session.user) == (master.url, "determined")


def test_a_read_only_home_does_not_keep_anyone_from_working(
    master: HttpPeer, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config.write_text("a file where the folder should be")
    assert authenticate(master.url).user == "determined"
    assert "could not be noted" in caplog.text


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"version": 2}', '{"version": 1, "masters": {"m": {"tokens": {"u": 3}}}}', "\ud800"]
)
def test_a_damaged_token_file_is_named_and_left_alone(config: Path, text: str) -> None:
    config.mkdir()
    path = config / "auth.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(errors.CorruptTokenCacheException, match="remove it, then log in again"):
        TokenStore("localhost:8080").get_active_user()
    assert path.exists()


def test_tokens_under_any_spelling_of_the_address_are_found(config: Path) -> None:
    config.mkdir()
    entry = {"active_user": "ada", "tokens": {"ada": "T"}}
    (config / "auth.json").write_text(json.dumps({"version": 1, "masters": {"localhost:8080": entry}}))
    store = TokenStore("http://localhost:8080/")
    assert (store.get_active_user(), store.get_token("ada")) == ("ada", "T")
    store.drop_user("ada")
    assert TokenStore("localhost:8080").get_token("ada") is None


def test_a_file_of_the_first_version_is_read(config: Path) -> None:
    config.mkdir()
    (config / "auth.json").write_text('{"active_user": "ada", "tokens": {"ada": "T"}}')
    assert TokenStore("localhost").get_token("ada") == "T"


def test_activating_an_unknown_user_is_refused() -> None:
    with pytest.raises(errors.UnauthenticatedException, match="det user login bob"):
        TokenStore("localhost").set_active("bob")


def test_writers_at_the_same_time_lose_nothing() -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: TokenStore(f"host{n}").set_token("u", str(n)), range(24)))
    assert [TokenStore(f"host{n}").get_token("u") for n in range(24)] == [str(n) for n in range(24)]


def test_the_module_offers_the_default_user() -> None:
    assert authentication.DEFAULT_USER == "determined"

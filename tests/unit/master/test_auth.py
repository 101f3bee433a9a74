"""Users, passwords and tokens against a real store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from determined.domain.ids import ExperimentId, RunId, TrialId, UserId
from determined.domain.records import Experiment, Token, User
from determined.domain.states import ExperimentState
from determined.errors import (
    Conflict,
    Exhausted,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from determined.master.service.auth import TOKEN_LIFETIME_S, Auth, Bootstrap, Credentials
from determined.master.service.auth_passwords import MAX_WAITING_LOGINS, client_hash
from determined.master.service.auth_tokens import Signer
from determined.master.service.ports import RunKey
from determined.storage.memory import MemoryStore
from determined.storage.protocol import InsertExperiment

SECRET = b"a secret of the tests"
RUN = RunKey(ExperimentId(1), TrialId(2), RunId(1), "1.8d7f0c1e-1111-4222-8333-444455556666.1")


class CountingStore(MemoryStore):
    """A store that counts the reads of users and logins."""

    reads = 0

    async def get_user(self, user_id: UserId) -> User:
        self.reads += 1
        return await super().get_user(user_id)

    async def find_token(self, digest: str) -> Token | None:
        self.reads += 1
        return await super().find_token(digest)


@dataclass
class Rig:
    """Auth over a store, with a clock and a set of live runs that the test sets."""

    open_mode: bool = False
    store: CountingStore = field(default_factory=CountingStore)
    now: float = 1000.0
    live: dict[str, RunKey] = field(default_factory=dict)

    async def start(self) -> Bootstrap:
        await self.store.open()
        self.auth = Auth(self.store, SECRET, self.open_mode, lambda: self.now, rounds=4)
        return await self.auth.bootstrap()

    async def who(self, user_token: str = "", run_token: str = "") -> tuple[str, RunKey | None, bool]:
        found = await self.auth.authenticate(Credentials(user_token, run_token), self.live.get)
        return found.user.username, found.run, found.is_user

    async def admin(self) -> User:
        return await self.auth.users.get_by_name("admin")


def scenario(rig: Rig, play: Callable[[Rig, Bootstrap], Awaitable[None]]) -> None:
    async def run() -> None:
        started = await rig.start()
        try:
            await play(rig, started)
        finally:
            rig.auth.close()

    asyncio.run(run())


def test_the_first_start_makes_two_users_with_one_random_password() -> None:
    async def play(rig: Rig, started: Bootstrap) -> None:
        assert started.password is not None
        assert len(started.password) >= 12
        for name in ("admin", "determined"):
            token, user = await rig.auth.login(name, client_hash(started.password), is_hashed=True)
            assert await rig.who(token) == (name, None, True)
            assert user.admin == (name == "admin")
            with pytest.raises(Unauthenticated):
                await rig.auth.login(name, "", is_hashed=True)

    scenario(Rig(), play)


def test_the_second_start_keeps_users_and_passwords() -> None:
    async def play(rig: Rig, first: Bootstrap) -> None:
        again = Auth(rig.store, SECRET, rounds=4)
        second = await again.bootstrap()
        assert second.password is None
        assert second.local_token == first.local_token
        assert await again.login("determined", first.password or "", is_hashed=False)
        again.close()

    scenario(Rig(), play)


def test_open_mode_takes_the_empty_password() -> None:
    async def play(rig: Rig, started: Bootstrap) -> None:
        assert started.password is None
        token, _ = await rig.auth.login("determined", "", is_hashed=True)
        assert (await rig.who(token))[0] == "determined"
        with pytest.raises(Unauthenticated):
            await rig.auth.login("determined", client_hash("guess"), is_hashed=True)

    scenario(Rig(open_mode=True), play)


def test_a_folder_from_open_mode_gets_a_password_when_served_without_it() -> None:
    async def play(rig: Rig, _: Bootstrap) -> None:
        closed = Auth(rig.store, SECRET, open_mode=False, rounds=4)
        started = await closed.bootstrap()
        assert started.password
        with pytest.raises(Unauthenticated):
            await closed.login("determined", "", is_hashed=True)
        assert await closed.login("determined", started.password, is_hashed=False)
        closed.close()

    scenario(Rig(open_mode=True), play)


def test_names_do_not_care_about_case_and_wrong_ones_look_like_wrong_passwords() -> None:
    async def play(rig: Rig, started: Bootstrap) -> None:
        assert await rig.auth.login("ADMIN", started.password or "", is_hashed=False)
        messages = []
        for name in ("admin", "nobody"):
            with pytest.raises(Unauthenticated) as caught:
                await rig.auth.login(name, "wrong", is_hashed=False)
            messages.append(str(caught.value))
        assert messages == ["invalid credentials"] * 2

    scenario(Rig(), play)


def test_a_login_ends_after_seven_days() -> None:
    async def play(rig: Rig, started: Bootstrap) -> None:
        token, _ = await rig.auth.login("admin", started.password or "", is_hashed=False)
        rig.now += TOKEN_LIFETIME_S - 1
        await rig.who(token)
        rig.now += 1
        with pytest.raises(Unauthenticated):
            await rig.who(token)

    scenario(Rig(), play)


def test_logout_voids_the_token_at_once_although_it_was_cached() -> None:
    async def play(rig: Rig, started: Bootstrap) -> None:
        token, _ = await rig.auth.login("admin", started.password or "", is_hashed=False)
        principal = await rig.auth.authenticate(Credentials(token), rig.live.get)
        await rig.auth.logout(principal)
        with pytest.raises(Unauthenticated):
            await rig.who(token)

    scenario(Rig(), play)


def test_a_logout_during_a_read_is_not_forgotten() -> None:
    """Incident to prevent: a token read just before its removal must not stay in the cache after it."""

    async def play(rig: Rig, started: Bootstrap) -> None:
        token, _ = await rig.auth.login("admin", started.password or "", is_hashed=False)
        principal = await rig.auth.authenticate(Credentials(token), rig.live.get)
        again, _ = await rig.auth.login("admin", started.password or "", is_hashed=False)
        reading = asyncio.create_task(rig.who(again))
        await asyncio.sleep(0)
        await rig.auth.logout(principal)
        other = await rig.auth.authenticate(Credentials(again), rig.live.get)
        await rig.auth.logout(other)
        await asyncio.gather(reading, return_exceptions=True)
        with pytest.raises(Unauthenticated):
            await rig.who(again)

    scenario(Rig(), play)


def test_proving_a_known_token_reads_nothing() -> None:
    async def play(rig: Rig, started: Bootstrap) -> None:
        await rig.store.write([InsertExperiment(experiment(1, owner=2))])
        rig.live[RUN.allocation_id] = RUN
        token, user = await rig.auth.login("determined", started.password or "", is_hashed=False)
        tokens = [(token, ""), (started.local_token, ""), ("", rig.auth.mint_run_token(RUN.allocation_id))]
        tokens.append((rig.auth.mint_user_token(user, RUN.allocation_id), ""))
        for pair in tokens:
            await rig.who(*pair)
        before = rig.store.reads
        for pair in tokens * 10:
            await rig.who(*pair)
        assert rig.store.reads == before

    scenario(Rig(), play)


def test_the_token_of_a_run_is_worth_something_only_while_it_lives() -> None:
    async def play(rig: Rig, _: Bootstrap) -> None:
        await rig.store.write([InsertExperiment(experiment(1, owner=2))])
        token = rig.auth.mint_run_token(RUN.allocation_id)
        for placed in (("", token), (token, "")):
            with pytest.raises(Unauthenticated):
                await rig.who(*placed)
            rig.live[RUN.allocation_id] = RUN
            assert await rig.who(*placed) == ("determined", RUN, False)
            rig.live.clear()

    scenario(Rig(), play)


def test_the_user_token_of_a_run_ends_with_it_and_proves_no_run() -> None:
    async def play(rig: Rig, _: Bootstrap) -> None:
        user = await rig.auth.users.get_by_name("determined")
        token = rig.auth.mint_user_token(user, RUN.allocation_id)
        rig.live[RUN.allocation_id] = RUN
        assert await rig.who(token) == ("determined", None, True)
        rig.live.clear()
        with pytest.raises(Unauthenticated):
            await rig.who(token)

    scenario(Rig(), play)


def test_both_tokens_together_prove_both() -> None:
    async def play(rig: Rig, started: Bootstrap) -> None:
        rig.live[RUN.allocation_id] = RUN
        run_token = rig.auth.mint_run_token(RUN.allocation_id)
        assert await rig.who(started.local_token, run_token) == ("determined", RUN, True)
        await rig.store.write([InsertExperiment(experiment(1, owner=2))])
        assert await rig.who("stale", run_token) == ("determined", RUN, False)

    scenario(Rig(), play)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "run.",
        "run.x.",
        "local.1.",
        "user.1.x.1.zzz",
        "\u00e9.\u00e9",
        "local.99." + "0" * 64,
        Signer(b"another secret 123").local_token(UserId(1)),
        Signer(SECRET).local_token(UserId(77)),
        Signer(SECRET).run_token(RUN.allocation_id),
    ],
)
def test_forged_and_foreign_tokens_prove_nothing(token: str) -> None:
    async def play(rig: Rig, _: Bootstrap) -> None:
        for placed in ((token, ""), ("", token), (token, token)):
            with pytest.raises(Unauthenticated):
                await rig.who(*placed)

    scenario(Rig(), play)


def test_the_kinds_of_signed_tokens_cannot_be_turned_into_each_other() -> None:
    signer = Signer(SECRET)
    _, _, mac = signer.run_token("1.x.1").rpartition(".")
    assert signer.read(f"local.1.x.1.{mac}") is None
    assert signer.read(f"user.1.x.1.{mac}") is None


def test_deactivated_users_lose_every_token() -> None:
    async def play(rig: Rig, started: Bootstrap) -> None:
        admin = await rig.admin()
        token, user = await rig.auth.login("determined", started.password or "", is_hashed=False)
        await rig.who(token)
        await rig.auth.users.change(admin, user.id, {"active": False})
        for dead in (token, started.local_token):
            with pytest.raises(Unauthenticated):
                await rig.who(dead)
        with pytest.raises(PermissionDenied):
            await rig.auth.login("determined", started.password or "", is_hashed=False)

    scenario(Rig(), play)


def test_users_change_their_own_password_and_admins_everything() -> None:
    async def play(rig: Rig, _: Bootstrap) -> None:
        admin = await rig.admin()
        ann = await rig.auth.users.create(admin, fresh("Ann"), "first", is_hashed=False)
        assert ann.username == "ann"
        await rig.auth.users.set_password(ann, ann.id, "second", is_hashed=False)
        assert await rig.auth.login("ann", "second", is_hashed=False)
        await rig.auth.users.change(ann, ann.id, {"display_name": "Ann A."})
        for refused in (
            rig.auth.users.set_password(ann, admin.id, "x", is_hashed=False),
            rig.auth.users.change(ann, ann.id, {"admin": True}),
            rig.auth.users.change(ann, admin.id, {"display_name": "x"}),
            rig.auth.users.create(ann, fresh("bob"), "x", is_hashed=False),
        ):
            with pytest.raises(PermissionDenied):
                await refused
        await rig.auth.users.change(admin, ann.id, {"admin": True, "username": "Anna"})
        assert (await rig.auth.users.get_by_name("anna")).admin
        with pytest.raises(NotFound):
            await rig.auth.users.get_by_name("ann")

    scenario(Rig(), play)


def test_the_last_active_admin_stays() -> None:
    async def play(rig: Rig, _: Bootstrap) -> None:
        admin = await rig.admin()
        for changes in ({"active": False}, {"admin": False}):
            with pytest.raises(FailedPrecondition):
                await rig.auth.users.change(admin, admin.id, changes)
        other = await rig.auth.users.create(admin, fresh("other", admin=True), "pw", is_hashed=False)
        await rig.auth.users.change(admin, admin.id, {"admin": False})
        with pytest.raises(FailedPrecondition):
            await rig.auth.users.change(other, other.id, {"active": False})

    scenario(Rig(), play)


def test_names_are_unique_and_can_stand_in_a_path() -> None:
    async def play(rig: Rig, _: Bootstrap) -> None:
        admin = await rig.admin()
        with pytest.raises(Conflict):
            await rig.auth.users.create(admin, fresh("Determined"), "", is_hashed=False)
        for name in ("", "  ", "a/b", "a\nb", "x" * 129, "\ud800"):
            with pytest.raises(InvalidInput):
                await rig.auth.users.create(admin, fresh(name), "", is_hashed=False)
        made = await asyncio.gather(
            *(rig.auth.users.create(admin, fresh(f"u{i}"), "", is_hashed=False) for i in range(5))
        )
        assert len({user.id for user in made}) == 5

    scenario(Rig(), play)


def test_without_open_mode_nobody_gets_in_with_an_empty_password() -> None:
    async def play(rig: Rig, _: Bootstrap) -> None:
        admin = await rig.admin()
        user = await rig.auth.users.create(admin, fresh("blank"), "", is_hashed=True)
        with pytest.raises(Unauthenticated):
            await rig.auth.login("blank", "", is_hashed=True)
        with pytest.raises(InvalidInput):
            await rig.auth.users.set_password(user, user.id, "", is_hashed=False)

    scenario(Rig(), play)


def test_a_flood_of_logins_is_refused_beyond_its_bound() -> None:
    async def play(rig: Rig, _: Bootstrap) -> None:
        tries = [rig.auth.login("admin", f"guess {i}", is_hashed=False) for i in range(MAX_WAITING_LOGINS + 5)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        kinds = [type(o) for o in outcomes]
        assert kinds.count(Unauthenticated) == MAX_WAITING_LOGINS
        assert kinds.count(Exhausted) == 5

    scenario(Rig(), play)


def test_the_client_hash_is_the_one_that_clients_compute() -> None:
    assert client_hash("") == ""
    assert client_hash("secret") == (
        "f6b1a15b3e3f6c5978ad185a85efc1c91f2da442e66c4ce48b12a36b5b4c04a4"
        "dbfe79f4fe07bf1eb0016e63d7613827e4c0ed3c8e3c305755792a556866a723"
    )


def fresh(name: str, *, admin: bool = False) -> User:
    return User(id=UserId(0), username=name, password_hash="", admin=admin)


def experiment(number: int, owner: int) -> Experiment:
    return Experiment(
        id=ExperimentId(number),
        owner_id=UserId(owner),
        name="e",
        state=ExperimentState.ACTIVE,
        config="{}",
        original_config="",
        searcher_type="custom",
        metric="loss",
        smaller_is_better=True,
        context="",
        job_id="j",
        created_at=0.0,
    )

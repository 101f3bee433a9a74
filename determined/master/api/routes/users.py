"""Users."""

from __future__ import annotations

from determined.domain.ids import UserId
from determined.domain.records import User
from determined.errors import InvalidInput
from determined.master.api.call import Call, Handled
from determined.master.api.paging import page_in_memory, page_of, pagination
from determined.master.api.routing import Routes
from determined.wire import users as wire
from determined.wire.requests import convert, decode

routes = Routes()


@routes.add("GET", "/v1/users", answer=wire.UsersAnswer, parameters=["limit", "offset"])
async def list_users(call: Call) -> Handled:
    """List users by id."""
    rows, listing = page_in_memory(await call.auth.users.list(), page_of(call.query))
    return wire.UsersAnswer(users=[wire.user_json(u) for u in rows], pagination=pagination(call.query, listing))


@routes.add("POST", "/v1/users", request=wire.NewUser, answer=wire.UserAnswer, limit=1 << 16)
async def create_user(call: Call) -> Handled:
    """Add a user."""
    asked = await call.request(wire.NewUser)
    user = User(
        id=UserId(0),
        username=asked.user.username,
        password_hash="",
        admin=asked.user.admin,
        active=asked.user.active,
        display_name=asked.user.display_name,
        remote=asked.user.remote,
    )
    made = await call.auth.users.create(call.user, user, asked.password, asked.is_hashed)
    return _answer(made)


@routes.add("GET", "/v1/users/{user_id}", answer=wire.UserAnswer)
async def get_user(call: Call) -> Handled:
    """Get a user by id."""
    return _answer(await call.auth.users.get(_user_id(call)))


@routes.add("GET", "/v1/users/{username}/by-username", answer=wire.UserAnswer)
async def get_user_by_name(call: Call) -> Handled:
    """Get a user by name."""
    return _answer(await call.auth.users.get_by_name(call.path("username")))


@routes.add("PATCH", "/v1/users/{user_id}", request=wire.UserChanges, answer=wire.UserAnswer, limit=1 << 16)
async def change_user(call: Call) -> Handled:
    """Change a user: everybody their own password and display name, admins everything."""
    asked = await call.request(wire.UserChanges)
    user_id, changes = _user_id(call), asked.changes()
    if changes and isinstance(asked.password, str):
        raise InvalidInput("change the password in a request of its own")
    user = await call.auth.users.get(user_id)
    if changes:
        user = await call.auth.users.change(call.user, user_id, changes)
    if isinstance(asked.password, str):
        user = await call.auth.users.set_password(call.user, user_id, asked.password, asked.is_hashed)
    return _answer(user)


@routes.add("POST", "/v1/users/{user_id}/password", request=str, answer=wire.UserAnswer, limit=1 << 16)
async def set_password(call: Call) -> Handled:
    """Set a password, given as a bare string that clients have hashed, or as an object."""
    given = decode(await call.body())
    if isinstance(given, str):
        given = {"password": given, "isHashed": True}
    asked = convert(given, wire.NewPassword)
    return _answer(await call.auth.users.set_password(call.user, _user_id(call), asked.password, asked.is_hashed))


def _user_id(call: Call) -> UserId:
    return UserId(call.path_id("user_id"))


def _answer(user: User) -> wire.UserAnswer:
    return wire.UserAnswer(user=wire.user_json(user))

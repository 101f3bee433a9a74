"""``det user``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from determined.cli import render
from determined.cli.call import Call, ask_password
from determined.cli.commands import CliError, Command, UsageError
from determined.cli.options import JSON, TABLE, option
from determined.common.api import authentication
from determined.common.terminal import visible

if TYPE_CHECKING:
    from determined.experimental.user import User

_COLUMNS = (
    "user_id",
    "username",
    "admin",
    "active",
    "remote",
    "agent_uid",
    "agent_gid",
    "agent_user",
    "agent_group",
)


def login(call: Call) -> None:
    """Log in and stay logged in."""
    address = call.address
    call.reach()
    name = call.args.username or call.args.user or _ask_name()
    authentication.login(address, name, ask_password(name), call.cert)
    print(f"Logged in as user '{visible(name)}'")


def _ask_name() -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("name the user: det user login NAME")
    return input("Username: ")


def logout(call: Call) -> None:
    """Forget a login."""
    address = call.known_address
    if address is None:
        gone = []
    elif call.args.all:
        gone = authentication.logout_all(address, call.cert)
    else:
        gone = authentication.logout(address, call.args.user, call.cert)
    print(f"Logged out {', '.join(visible(name) for name in gone)}" if gone else "Nobody was logged in.")


def whoami(call: Call) -> None:
    """Print the name of the present user."""
    answer = call.session.get("/api/v1/me")
    if call.args.json:
        render.print_json(answer["user"])
    else:
        print(f"You are logged in as user '{visible(answer['user']['username'])}'")


def list_users(call: Call) -> None:
    """List users."""
    from determined.experimental import user

    rows = [[getattr(found, column) for column in _COLUMNS] for found in user.list_users(call.session)]
    headers = [column.replace("_", " ").title() for column in _COLUMNS]
    shown = [["N/A" if value is None else value for value in row] for row in rows]
    render.listing(call.args, headers, shown, [dict(zip(_COLUMNS, row, strict=True)) for row in rows])


def create(call: Call) -> None:
    """Create a user, without a password until one is set."""
    from determined.experimental import user

    made = user.create_user(call.session, call.args.username, call.args.admin, None, call.args.remote)
    print(f"Created user '{visible(made.username)}'; set a password with: det user change-password {made.username}")


def change_password(call: Call) -> None:
    """Set a password, one's own or another's."""
    name = call.args.target_user or call.args.user or call.session.user or authentication.DEFAULT_USER
    found = _user(call, name)
    password = ask_password(name, "New password")
    if ask_password(name, "The same again") != password:
        raise CliError("the two passwords differ; nothing was changed")
    found.change_password(password)
    print(f"Changed the password of user '{visible(name)}'")
    if name == call.session.user:
        # The change ends other logins, so this one is renewed.
        authentication.login(call.address, name, password, call.cert)


def activate(call: Call) -> None:
    """Let a user log in again."""
    _user(call, call.args.username).activate()
    print(f"Activated user '{visible(call.args.username)}'")


def deactivate(call: Call) -> None:
    """Keep a user from logging in."""
    _user(call, call.args.username).deactivate()
    print(f"Deactivated user '{visible(call.args.username)}'")


def rename(call: Call) -> None:
    """Give a user another name."""
    _user(call, call.args.target_user).rename(call.args.new_username)
    print(f"Renamed user '{visible(call.args.target_user)}' to '{visible(call.args.new_username)}'")


def _user(call: Call, name: str) -> User:
    from determined.experimental.user import get_user_by_name

    return get_user_by_name(call.session, name)


_NAME = option("username", help="user name")
_MAYBE = option("username", nargs="?", help="user name")
_TARGET = option("target_user", help="user name")
_MAYBE_TARGET = option("target_user", nargs="?", help="user name (default: one's own)")
_ADMIN = option("--admin", action="store_true", help="may manage other users")
_REMOTE = option("--remote", action="store_true", help="logs in by other means than a password")
_ALL = option("-a", "--all", action="store_true", help="every user that is logged in from here")

COMMAND = Command(
    "user",
    "users",
    commands=(
        Command("list", "list users", list_users, (TABLE,), ("ls",), is_default=True),
        Command("login", "log in", login, (_MAYBE,)),
        Command("logout", "log out", logout, (_ALL,)),
        Command("whoami", "print the present user", whoami, (JSON,)),
        Command("create", "create a user", create, (_NAME, _ADMIN, _REMOTE)),
        Command("change-password", "set a password", change_password, (_MAYBE_TARGET,)),
        Command("activate", "let a user log in again", activate, (_NAME,)),
        Command("deactivate", "keep a user from logging in", deactivate, (_NAME,)),
        Command("rename", "rename a user", rename, (_TARGET, option("new_username", help="the new name"))),
    ),
)

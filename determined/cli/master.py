"""``det master``."""

from __future__ import annotations

import sys

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.options import JSON, YAML, count, one_of, option
from determined.cli.trust import trust
from determined.common.api.session import Session
from determined.common.terminal import visible, visible_log


def info(call: Call) -> None:
    """Print what the master says about itself."""
    # Anybody may ask, so that this works while a login does not.
    call.reach()
    with Session(call.address, cert=call.cert) as session:
        render.print_document(call.args, session.get("/api/v1/master"))


def config(call: Call) -> None:
    """Print the configuration of the master."""
    render.print_document(call.args, call.session.get("/config"))


def logs(call: Call) -> None:
    """Print the master's own log."""
    args = call.args
    params = {"follow": args.follow or None, "offset": -args.tail if args.tail else None}
    is_terminal = sys.stdout.isatty()
    for line in call.session.stream("/api/v1/master/logs", params):
        entry = line["result"]["logEntry"]
        level = str(entry.get("level") or "").removeprefix("LOG_LEVEL_")
        message = str(entry.get("message", "")).rstrip("\n")
        shown = visible_log(message) if is_terminal else message
        print(f"{visible(entry.get('timestamp', ''))} [{visible(level)}]: {shown}", flush=args.follow)


_FORM = one_of(JSON, YAML)
_FOLLOW = option("-f", "--follow", action="store_true", help="go on with new lines")
_TAIL = option("--tail", type=count, metavar="N", help="the last N lines")
_TRUSTED = one_of(
    option("--fingerprint", metavar="SHA256", help="trust it if it has this fingerprint; do not ask"),
    option("--forget", action="store_true", help="trust only whom the system trusts again"),
)

COMMAND = Command(
    "master",
    "the master",
    commands=(
        Command("info", "print version and identity", info, (_FORM,)),
        Command("config", "print the configuration", config, (_FORM,)),
        Command("logs", "print the log", logs, (_FOLLOW, _TAIL)),
        Command("trust", "trust the certificate that the master shows", trust, (_TRUSTED,)),
    ),
)

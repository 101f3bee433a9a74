"""``det version``."""

from __future__ import annotations

import argparse

from determined._version import __version__
from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import Command
from determined.common.api.errors import BadRequestException, BadResponseException
from determined.common.api.session import Session


def version(call: Call) -> None:
    """Print versions; a master that cannot be reached has an empty one."""
    address = call.known_address
    master = {"cluster_id": "", "master_id": "", "version": ""}
    if address is not None:
        try:
            with Session(address, cert=call.cert) as session:
                master = session.get("/info")
        except (BadRequestException, BadResponseException):
            pass
    found = {"client": {"version": __version__}, "master": master, "master_address": address}
    render.print_document(call.args, found)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print as JSON")


COMMAND = Command("version", "print versions of this program and of the master", version, (_json,))

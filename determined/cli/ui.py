"""``det ui``."""

from __future__ import annotations

import os
import sys
import webbrowser

from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.options import option
from determined.common import util


def ui(call: Call) -> None:
    """Print a link that logs a browser in as this user, and open it where there is a browser."""
    path = call.session.post("/api/v1/ui/links")["path"]
    link = f"{util.canonical_master_url(call.address).rstrip('/')}{path}"
    print(link, flush=True)
    opened = not call.args.no_browser and _has_screen() and _open(link)
    advice = "opened in your browser" if opened else "open it in a browser"
    print(f"({advice}; the link works once, for ten minutes)", file=sys.stderr)


def _has_screen() -> bool:
    """Whether a browser could show itself; one that runs in the terminal would not do."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("BROWSER") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(link: str) -> bool:
    try:
        return webbrowser.open(link)
    except webbrowser.Error:
        return False


COMMAND = Command(
    "ui",
    "print the address of the web UI, and open it",
    ui,
    (option("--no-browser", action="store_true", help="only print the address"),),
)

"""``python -m determined.master``: one master in the foreground."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from pathlib import Path

import platformdirs


def default_data() -> Path:
    """Where a laptop's master keeps everything."""
    chosen = os.environ.get("DET_DATA_DIR")
    return Path(chosen) if chosen else platformdirs.user_data_path("determined-search")


def main(argv: list[str] | None = None) -> int:
    """Parse arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m determined.master", description="Run a master in the foreground.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of everything durable")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0 for any")
    parser.add_argument("--url", help="address under which trials and clients reach it, if not its own")
    parser.add_argument("--open", action="store_true", help="let users in with the empty password; loopback only")
    parser.add_argument(
        "--slots",
        type=int,
        help="CPU slots to offer (default: as many as cores, at least 2); with --ray, slots to use at most (128)",
    )
    parser.add_argument("--ready-fd", type=int, help="write one JSON line to this file descriptor once serving")
    parser.add_argument("--no-local-login", action="store_true", help="do not write a token for the local user")
    parser.add_argument(
        "--no-warm-start", action="store_true", help="start trials cold where their configuration does not say"
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="run trials on the Ray cluster with this head, or auto")
    parser.add_argument(
        "--ray-slot", metavar="KIND", choices=("cpu", "gpu"), default="cpu", help="what a slot is there: cpu or gpu"
    )
    args = parser.parse_args(argv)
    # What is loaded now stays. To look for garbage in it meanwhile takes a tenth of the time that loading takes.
    gc.disable()
    from determined.launchers.protocol import SlotKind
    from determined.master.app import Options, run

    gc.freeze()
    gc.enable()
    options = Options(
        data=args.data.absolute(),
        host=args.host,
        port=args.port,
        open_mode=args.open,
        slots=args.slots,
        ready_fd=args.ready_fd,
        local_login=not args.no_local_login,
        url=args.url,
        warm_start=not args.no_warm_start,
        ray=args.ray,
        ray_slot=SlotKind.CUDA if args.ray_slot == "gpu" else SlotKind.CPU,
    )
    return run(options)


if __name__ == "__main__":
    sys.exit(main())

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
    parser.add_argument(
        "--db", metavar="URL", help="database, if not a file in that folder: postgresql://user:password@host/database"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0 for any")
    parser.add_argument("--url", help="address under which trials and clients reach it, if not its own")
    parser.add_argument("--url-cert", type=Path, metavar="FILE", help="certificate (PEM) that vouches for --url")
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name by which it may be called; repeatable",
    )
    parser.add_argument(
        "--tls",
        choices=("self-signed",),
        metavar="KIND",
        help="self-signed: serve TLS with a certificate that it makes",
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="serve TLS with this certificate (PEM)")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its key (PEM), if not in the same file")
    parser.add_argument(
        "--insecure-http",
        action="store_true",
        help="listen beyond loopback without TLS: who can read the network can read passwords and run code",
    )
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
    parser.add_argument(
        "--ray-idle",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="for how long a node there keeps its warm processes after its last run (60)",
    )
    args = parser.parse_args(argv)
    if args.tls_key is not None and args.tls_cert is None:
        parser.error("--tls-key goes with --tls-cert")
    if args.tls is not None and args.tls_cert is not None:
        parser.error("--tls makes a certificate and --tls-cert names one; give one of them")
    # What is loaded now stays. To look for garbage in it meanwhile takes a tenth of the time that loading takes.
    gc.disable()
    from determined.launchers.protocol import SlotKind
    from determined.master.app import Options, run
    from determined.master.tls import SelfSigned, Tls, TlsFiles

    gc.freeze()
    gc.enable()
    tls: Tls | None = SelfSigned() if args.tls else None
    if args.tls_cert is not None:
        tls = TlsFiles(args.tls_cert.absolute(), args.tls_key and args.tls_key.absolute())
    options = Options(
        data=args.data.absolute(),
        host=args.host,
        port=args.port,
        open_mode=args.open,
        slots=args.slots,
        ready_fd=args.ready_fd,
        local_login=not args.no_local_login,
        url=args.url,
        url_cert=args.url_cert,
        allowed_hosts=tuple(args.allowed_host),
        tls=tls,
        insecure_http=args.insecure_http,
        warm_start=not args.no_warm_start,
        db=args.db or os.environ.get("DET_DB") or None,
        ray=args.ray,
        ray_idle_s=args.ray_idle,
        ray_slot=SlotKind.CUDA if args.ray_slot == "gpu" else SlotKind.CPU,
    )
    return run(options)


if __name__ == "__main__":
    sys.exit(main())

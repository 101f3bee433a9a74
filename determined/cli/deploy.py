"""``det deploy local``: the master of this machine, by hand."""

from __future__ import annotations

import argparse
from pathlib import Path

from determined.cli import render
from determined.cli.call import Call
from determined.cli.commands import Command
from determined.cli.options import JSON, count, option
from determined.common import util
from determined.common.api.certs import shown_fingerprint
from determined.common.terminal import visible


def cluster_up(call: Call) -> None:
    """Start the master, unless it runs."""
    from determined.common import local_master

    args = call.args
    options = local_master.MasterOptions(
        _data_dir(call),
        host=args.host,
        port=args.port,
        open=args.open,
        slots=args.slots,
        serving=_serving(args),
        db=args.db,
        ray=args.ray,
    )
    if args.no_daemon:
        local_master.run_in_foreground(options)
    master = local_master.cluster_up(options)
    digest = None if master.cert is None else master.cert.pin
    shown = None if digest is None else shown_fingerprint(digest)
    if args.json:
        told = {"url": master.url, "pid": master.pid, "data": str(master.data_dir), "started": master.started}
        render.print_json({**told, "link": master.link, "fingerprint": shown})
        return
    print(f"{'Started a' if master.started else 'There is already a'} local master at {master.url}")
    if master.link is not None:
        print(f"  web:  {master.link} (works once; later: {local_master.UI_COMMAND})")
    print(
        f"  data: {visible(master.data_dir)}\n  log:  {visible(master.log_path)}\n  stop: {local_master.STOP_COMMAND}"
    )
    if shown is not None:
        print(f"  certificate: SHA-256 {shown}")


def cluster_down(call: Call) -> None:
    """Stop the master."""
    from determined.common import local_master

    data_dir = _data_dir(call)
    if call.args.kill_trials and (running := local_master.find_running(data_dir)) is not None:
        _kill_experiments(running.url, call.args.user)
    stopped = local_master.cluster_down(data_dir)
    if stopped is None:
        print(f"No local master runs on {visible(data_dir)}.")
        return
    print(f"Stopped the local master at {stopped.url}.")
    if not call.args.kill_trials:
        print("Trials that were running go on, and the next master takes them over (--kill-trials ends them too).")


def _kill_experiments(url: str, user: str | None) -> None:
    from determined.common.api.authentication import open_session
    from determined.common.api.paging import read_paginated
    from determined.experimental.experiment import ExperimentReference

    live = ("ACTIVE", "PAUSED", "STOPPING_COMPLETED", "STOPPING_CANCELED", "STOPPING_KILLED", "STOPPING_ERROR")
    params = {"states": [f"STATE_{state}" for state in live], "limit": 200}
    with open_session(url, user=user) as session:
        listed = list(read_paginated(session, "/api/v1/experiments", "experiments", params=params))
        experiments = [ExperimentReference(int(e["id"]), session) for e in listed]
        for experiment in experiments:
            experiment.kill()
        for experiment in experiments:
            state = experiment.wait()
            print(f"Killed experiment {experiment.id} ({state.name})")


def _data_dir(call: Call) -> Path:
    chosen = call.args.data_dir
    return util.data_path() if chosen is None else Path(chosen).expanduser().absolute()


def _serving(args: argparse.Namespace) -> tuple[str, ...]:
    """The options that the master itself understands; files are named from where the user is."""
    words = [f"--tls={args.tls}"] if args.tls else []
    for name in ("tls_cert", "tls_key"):
        if (given := getattr(args, name)) is not None:
            words.append(f"--{name.replace('_', '-')}={Path(given).expanduser().absolute()}")
    words += [f"--allowed-host={name}" for name in args.allowed_host]
    return (*words, *(("--insecure-http",) if args.insecure_http else ()))


def _up_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=count, metavar="N", help="port (default: the last one, else 8080, else any)")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="interface (default: loopback)")
    parser.add_argument("--open", action="store_true", help="ask nobody for a password")
    parser.add_argument("--slots", type=count, metavar="N", help="trials at once (default: the master decides)")
    parser.add_argument("--tls", choices=("self-signed",), help="serve TLS with a certificate that it makes and keeps")
    parser.add_argument("--tls-cert", metavar="FILE", help="serve TLS with this certificate (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="its key (PEM), if not in the same file")
    parser.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME", help="another name it may be called by"
    )
    parser.add_argument("--insecure-http", action="store_true", help="allow a --host beyond loopback without TLS")
    parser.add_argument("--db", metavar="URL", help="database (default: DET_DB, else a file in the folder of its data)")
    parser.add_argument("--ray", metavar="ADDRESS", help="run trials on the Ray cluster with this head, or auto")
    parser.add_argument("--no-daemon", action="store_true", help="stay in the foreground")


_DATA = option("--data-dir", metavar="DIR", help="its data (default: DET_DATA_DIR, else one of the user's own)")
_KILL = option("--kill-trials", action="store_true", help="kill every experiment first")

COMMAND = Command(
    "deploy",
    "start and stop a master",
    commands=(
        Command(
            "local",
            "on this machine",
            commands=(
                Command("cluster-up", "start the master", cluster_up, (_up_options, _DATA, JSON)),
                Command("cluster-down", "stop the master; its trials go on", cluster_down, (_DATA, _KILL)),
            ),
        ),
    ),
)

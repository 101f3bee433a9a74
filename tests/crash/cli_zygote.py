"""Runs ``det`` for tests, each time in a forked process that can be made to die at a chosen step.

``certificate FOLDER`` in place of a command of ``det`` makes the certificate of a master, as its start does.
One order a line on standard input, ``{"argv", "env", "cwd", "typed", "death"}``, where a death is ``[step, n]``;
one answer a line: ``{"code", "out", "steps"}``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from determined import steps
from determined.cli.main import main as det
from determined.master import tls


def certificate(folder: Path) -> int:
    """Make the certificate of a master, or find the one that it has, and tell its fingerprint."""
    found = tls.prepare(tls.SelfSigned(), folder, [])
    tls.publish(folder, "certificate.pem", found.pem)
    print(found.fingerprint)
    return 0


def become_command(order: dict[str, Any], out: int, passed: int) -> NoReturn:
    """Run the command to its end or its death."""
    for name in [name for name in os.environ if name.startswith("DET_")]:
        del os.environ[name]
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    with tempfile.TemporaryFile() as typed:
        typed.write(order["typed"].encode())
        typed.seek(0)
        os.dup2(typed.fileno(), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    count: Counter[str] = Counter()

    def pass_step(name: str) -> None:
        count[name] += 1
        os.write(passed, f"{name} {count[name]}\n".encode())
        if [name, count[name]] == order["death"]:
            os.kill(os.getpid(), signal.SIGKILL)

    steps.hook = pass_step
    code = 1
    try:
        first, *rest = order["argv"]
        code = certificate(Path(rest[0])) if first == "certificate" else det([first, *rest])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Serve orders."""
    # Imported before the forks rather than in each of them.
    import psycopg  # noqa: F401
    import sqlalchemy.dialects.postgresql.psycopg
    import sqlalchemy.dialects.sqlite  # noqa: F401
    import urllib3  # noqa: F401
    from cryptography import x509  # noqa: F401
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: F401
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: F401

    from determined.cli import db, experiment_verbs  # noqa: F401
    from determined.master import self_signed  # noqa: F401
    from determined.storage import moving, postgres, postgres_claim  # noqa: F401

    for line in sys.stdin:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as passed:
            pid = os.fork()
            if pid == 0:
                become_command(json.loads(line), out.fileno(), passed.fileno())
            _, status = os.waitpid(pid, 0)
            out.seek(0)
            passed.seek(0)
            steps_ = [text.split() for text in passed.read().decode().splitlines()]
            answer = {
                "code": os.waitstatus_to_exitcode(status),
                "out": out.read().decode(),
                "steps": [[name, int(number)] for name, number in steps_],
            }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

"""Lets the process beside a run die at a step; the fork server imports this instead of nothing, by another boot text.

Standard library only, as everything that runs there.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

from determined import steps

DEATH, PASSED, DIES_WITH_PARENT = "CRASH_SHIM_DEATH", "CRASH_SHIM_STEPS", "CRASH_SHIM_DIES_WITH_PARENT"
_PR_SET_PDEATHSIG = 1
_HERE = str(Path(__file__).resolve().parents[2])
BOOT = (
    "import sys; sys.path.append(sys.argv[1]); from tests.crash.shim_steps import install; install(); "
    "from determined.launchers.fork_server import main; main(int(sys.argv[2]))"
)
BOOT_TEMPLATE = (
    f"import sys; sys.path.append({_HERE!r}); from tests.crash.shim_steps import install; install(); "
    "sys.path.pop(); from determined.launchers.fork_server import main; main(int(sys.argv[1]), sys.argv[2:])"
)


def install() -> None:
    """Count the runs whose shims are forked from here; that of the death's number dies at the death's step.

    A shim may have several runs, one after the other, and which of them has which is a matter of time. Runs are started
    one by one.
    """
    count: Counter[str] = Counter()
    death = json.loads(os.environ.get(DEATH, "null"))
    out = os.open(os.environ[PASSED], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    claims = os.open(f"{os.environ[PASSED]}.claims", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    forks = {"above": 0}
    run = {"number": 0}

    def pass_step(name: str) -> None:
        if name == "shim.claim.before":
            os.write(claims, b".")
            run["number"] = os.fstat(claims).st_size
            count.clear()
        count[name] += 1
        os.write(out, f"{run['number']} {name} {count[name]}\n".encode())
        if death == [run["number"], name, count[name]]:
            os.kill(os.getpid(), signal.SIGKILL)

    def in_child() -> None:
        forks["above"] += 1
        if forks["above"] == 1 and DIES_WITH_PARENT in os.environ:
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    os.register_at_fork(after_in_child=in_child)
    steps.hook = pass_step

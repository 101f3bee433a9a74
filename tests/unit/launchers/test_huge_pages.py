"""Memory that is gathered into huge pages holds what it held, in the process and in its forks."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os
from determined.launchers import huge_pages

def huge():
    with open("/proc/self/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("AnonHugePages"))

held = [os.urandom(1 << 16) for _ in range(200)]
copy = [bytes(bytearray(block)) for block in held]
before = huge()
huge_pages.gather()
print(huge() - before)
assert held == copy
pid = os.fork()
if pid == 0:
    held[7] = held[7][::-1]
    os._exit(held[:7] + held[8:] != copy[:7] + copy[8:])
assert os.waitpid(pid, 0)[1] == 0
assert held == copy
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there are huge pages to ask for on Linux only")
def test_memory_holds_what_it_held_when_it_is_gathered() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    if int(done.stdout) == 0:
        pytest.skip("this system gives no huge pages to who asks for them, as Linux before 6.1")
    assert int(done.stdout) > 0

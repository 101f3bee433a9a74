"""Whatever starts a run twice, only one shim may take it."""

from __future__ import annotations

import os
from pathlib import Path

from determined.launchers import paths, shim

RACERS = 8


def claimed(folder: Path, go: int) -> int:
    """A process that tries as soon as the pipe is closed; its pid. It exits with 0 if the run is its own."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.read(go, 1)
            code = 0 if shim.claim(folder) else 1
        finally:
            os._exit(code)
    return pid


def test_of_many_shims_for_one_run_exactly_one_goes_on(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        wait, go = os.pipe()
        os.set_inheritable(go, False)
        racers = [claimed(folder, wait) for _ in range(RACERS)]
        # Each of them holds the writing end as well, so a byte for each says go.
        os.write(go, b"." * RACERS)
        codes = sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in racers)
        os.close(wait)
        os.close(go)
        assert codes == [0] + [1] * (RACERS - 1)
        assert sorted(path.name for path in folder.iterdir()) == [paths.SHIM]


def test_a_shim_that_comes_later_leaves_the_record_of_the_first_alone(tmp_path: Path) -> None:
    assert shim.claim(tmp_path)
    record = (tmp_path / paths.SHIM).read_bytes()
    assert not shim.claim(tmp_path)
    assert (tmp_path / paths.SHIM).read_bytes() == record

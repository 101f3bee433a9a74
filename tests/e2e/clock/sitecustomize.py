"""Python imports this at its start, when its folder is on the path: the wall clock is what a file says it is off by."""

import mmap
import os
import struct
import time

if "TEST_CLOCK" in os.environ:
    _file = open(os.environ["TEST_CLOCK"], "rb")  # noqa: SIM115, PTH123
    _shared = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
    _real = time.time

    def _shifted() -> float:
        (offset,) = struct.unpack("d", _shared[:8])
        return _real() + float(offset)

    time.time = _shifted

"""Start one process for each slot: ``python3 -m determined.launch.multi [--nproc-per-node N] -- script ...``.

Each finds its place in ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK`` and their like, under the names that torchrun uses, and
makes its context with ``DistributedContext.from_torch_distributed()``. No training library is needed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from determined._info import get_cluster_info
from determined.launch._arguments import run, split
from determined.launch._children import Children
from determined.launch._members import members

MODULE = "determined.launch.multi"


def main(arguments: Sequence[str]) -> int:
    """Run the command of ``arguments`` once for each slot; returns the exit code."""
    own, command = split(arguments, MODULE)
    parser = argparse.ArgumentParser(prog=f"python3 -m {MODULE}", usage="%(prog)s [--nproc-per-node N] -- SCRIPT ...")
    parser.add_argument(
        "--nproc-per-node", "--nproc_per_node", type=int, help="processes on each machine, instead of one for each slot"
    )
    who = members(get_cluster_info(), parser.parse_args(own).nproc_per_node)
    environments = {who.first_rank + n: {**os.environ, **who.variables(n)} for n in range(who.here)}
    return asyncio.run(Children().run(command, environments))


def cli() -> int:
    """``main`` with the arguments of this process."""
    return run(main)


if __name__ == "__main__":
    sys.exit(cli())

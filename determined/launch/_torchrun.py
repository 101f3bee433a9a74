"""torchrun, ending with the exit code of the process that failed first; by itself it always ends with 1."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from determined.launch._ends import exit_code, say


def main(arguments: Sequence[str]) -> int:
    """Run torchrun in this process."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.main(list(arguments))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = exit_code(int(failure.exitcode))
        say(f"rank {rank} has failed with exit code {code}; the others are ended")
        return code or 1
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

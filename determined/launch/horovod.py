"""``python3 -m determined.launch.horovod``: refuses. This package has no launcher of its own for Horovod."""

from __future__ import annotations

import sys

from determined.launch._arguments import no_trial_classes

MODULE = "determined.launch.horovod"


def main(arguments: list[str]) -> int:
    """Say what to use instead; returns an exit code that is not 0."""
    if "--trial" in arguments:
        print(f"ERROR: {no_trial_classes(MODULE)}", file=sys.stderr)
    else:
        print(
            f"ERROR: {MODULE} is not part of this package. Start the script with determined.launch.torch_distributed"
            " or determined.launch.multi, or call the launcher of Horovod in the entrypoint yourself and make the"
            " context with core.DistributedContext.from_horovod",
            file=sys.stderr,
        )
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

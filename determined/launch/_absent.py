"""Launch modules of the genuine library that have nothing behind them here: they say so, and what to use instead."""

from __future__ import annotations

from determined.errors import InvalidInput
from determined.launch._arguments import no_trial_classes, run


def cli(library: str, maker: str) -> int:
    """Refuse the arguments of this process; returns an exit code that is not 0.

    Args:
        library: whose launcher it would be, as people write it.
        maker: method of ``DistributedContext`` that reads what that launcher sets.
    """
    return run(lambda arguments: _refuse(arguments, library, maker))


def _refuse(arguments: list[str], library: str, maker: str) -> int:
    module = f"determined.launch.{library.lower()}"
    if "--trial" in arguments:
        raise InvalidInput(no_trial_classes(module))
    raise InvalidInput(
        f"{module} is not part of this package. Start the script with determined.launch.torch_distributed"
        f" or determined.launch.multi, or call the launcher of {library} in the entrypoint yourself and make the"
        f" context with core.DistributedContext.{maker}"
    )

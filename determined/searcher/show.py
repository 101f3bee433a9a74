"""What a person sees of a search that runs in the foreground."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from determined.domain.search_method import SearcherState
from determined.errors import DeterminedError
from determined.searcher.submit import best_trial

if TYPE_CHECKING:
    from determined.common.api.session import Session
    from determined.experimental.watch import Summary

SWITCH = "DET_PROGRESS"
_LAST_WORD_S = 5.0
logger = logging.getLogger("determined.searcher")


def is_wanted() -> bool:
    """Whether progress is to be shown."""
    return os.environ.get(SWITCH) != "0"


@contextlib.contextmanager
def progress_shown(session: Session, experiment_id: int) -> Iterator[None]:
    """Show the experiment's progress on standard error while the block runs, unless ``DET_PROGRESS`` is 0."""
    if not is_wanted():
        yield
        return
    from determined.experimental.progress import ProgressView

    with ProgressView() as view:
        follower = _Follower(session, experiment_id, view.update)
        follower.start()
        try:
            yield
            # The master's last summary is on its way; it is the one that people want to see.
            follower.join(_LAST_WORD_S)
        finally:
            follower.stop()


class _Follower(threading.Thread):
    """Passes on summaries of an experiment until it is over; a search does not depend on it."""

    def __init__(self, session: Session, experiment_id: int, show: Callable[[Summary], None]) -> None:
        # A daemon, since a blocked read cannot be interrupted and must not keep the script from ending.
        super().__init__(name="search-progress", daemon=True)
        self._session = session
        self._experiment_id = experiment_id
        self._show = show
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        from determined.experimental.watch import RETRIES, RETRY_STATUSES, watch

        try:
            with (
                self._session.with_retries(RETRIES, RETRY_STATUSES) as patient,
                contextlib.closing(watch(patient, self._experiment_id)) as summaries,
            ):
                for summary in summaries:
                    if self._stopped.is_set():
                        return
                    self._show(summary)
        except DeterminedError as e:
            logger.debug(f"progress is not shown any longer: {e}")


def tell_end(session: Session, state: SearcherState) -> None:
    """Say how the search ended, and which trial was best."""
    ending = "is complete" if state.experiment_completed else "has ended without being completed"
    text = f"Experiment {state.experiment_id} {ending}."
    try:
        best = best_trial(session, state.experiment_id or 0)
    except DeterminedError as e:
        logger.debug(f"the best trial is not known: {e}")
        best = None
    if best is not None:
        from determined.experimental.progress import number

        hparams = json.dumps(best["hparams"], sort_keys=True)
        text += f" Best trial: {best['id']}, metric {number(best['metric'])}, hyperparameters {hparams}"
    logger.info(text)
    if is_wanted() and not logger.isEnabledFor(logging.INFO):
        print(text, file=sys.stderr)

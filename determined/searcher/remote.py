"""Runs a search method inside a trial of its own, with its state in that trial's checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from determined import files
from determined.domain import search_method as contract
from determined.domain.operations import Operation
from determined.errors import CorruptState, FailedPrecondition
from determined.searcher import generation, link, submit
from determined.searcher.event_log import hear_again, lines_of
from determined.searcher.generation import MANIFEST
from determined.searcher.legacy import is_legacy, read_legacy
from determined.searcher.method import is_found_from_events, load_from, read_state, save_whole
from determined.searcher.runner import SearchRunner

if TYPE_CHECKING:
    from determined.common.api.session import Session
    from determined.core import Context

HISTORY = "events.jsonl"
"""In a checkpoint: all events, for a method that is found again from them and says nothing of how it is saved."""
logger = logging.getLogger("determined.searcher")


class RemoteSearchRunner(SearchRunner):
    """Runs a search from inside a trial; the experiment it searches is a second one.

    Each save is a checkpoint of the runner's own trial, so the search survives whatever happens to its process.

    Args:
        search_method: a newly constructed method.
        context: of the trial, from ``determined.core.init()``.
    Raises:
        FailedPrecondition: this process is no trial.
    """

    def __init__(self, search_method: contract.SearchMethod, context: Context) -> None:
        import determined

        super().__init__(search_method)
        self.context = context
        info = determined.get_cluster_info()
        if info is None:
            raise FailedPrecondition(
                "RemoteSearchRunner works inside a trial: submit the script with `det e create`. "
                "To search from this process, use LocalSearchRunner."
            )
        self.info = info
        self.latest_checkpoint = info.latest_checkpoint
        self._history = b""

    def run(
        self,
        exp_config: Mapping[str, Any] | str | Path,
        model_dir: str | Path | None = None,
        includes: list[str] | None = None,
    ) -> int:
        """Create the experiment to search, or take it up again, and search until it is over.

        Returns early when this trial is asked to give way; it goes on when the trial is started again.

        Args:
            exp_config: that experiment's configuration, or the path of its file; ``searcher.name`` is ``custom``.
            model_dir: folder with the training code; by default the working directory.
            includes: more files and folders to send along.
        Returns:
            The id of the experiment; ``state.experiment_completed`` tells whether it ended well.
        """
        session = self._open_session()
        operations: list[Operation] | None = None
        if self.latest_checkpoint is None:
            submit.check_config(exp_config)
            experiment_id = self._submit(exp_config, model_dir, includes, self._client_key())
            logger.info(f"Starting the search of experiment {experiment_id}")
            self.state = submit.new_state(experiment_id)
            self.save_state(experiment_id, [])
        else:
            experiment_id, operations = self.load_state(self.latest_checkpoint)
            logger.info(f"Resuming the search of experiment {experiment_id} after event {self.state.last_event_id}")
        self._epoch = link.attach(session, experiment_id)
        self.run_experiment(experiment_id, session, operations)
        return experiment_id

    def load_state(self, storage_id: str) -> tuple[int, list[Operation]]:
        """Bring state and method back to a save.

        Args:
            storage_id: the checkpoint that holds it.
        """
        with self.context.checkpoint.restore_path(storage_id) as restored:
            path = Path(restored)
            if not (path / MANIFEST).exists() and is_legacy(path):
                self.state, experiment_id, operations = read_legacy(path)
            else:
                try:
                    manifest = generation.read(path)
                    operations = manifest.read_operations()
                except (CorruptState, ValueError) as e:
                    raise CorruptState(
                        f"checkpoint {storage_id} of this trial cannot be resumed from: {e}. Start a new search."
                    ) from e
                self.state, experiment_id = read_state(path)
            history = path / HISTORY
            if is_found_from_events(self.search_method) and history.exists():
                self._history = history.read_bytes()
                hear_again(self.search_method, self._history, HISTORY)
            else:
                load_from(self.search_method, path)
        return experiment_id, operations

    def save_state(self, experiment_id: int, operations: list[Operation]) -> None:
        """Save state, method and operations as a checkpoint of this trial."""
        last = self.state.last_event_id
        if is_found_from_events(self.search_method):
            self._history += lines_of(self._unsaved)
        with self.context.checkpoint.store_path({"steps_completed": last}) as (stored, _):
            path = Path(stored)
            with files.action("runner.state.method"):
                save_whole(self.search_method, self.state, path, experiment_id)
            if self._history:
                files.write_file(path / HISTORY, self._history, "runner.state.history", sync=False)
            generation.seal(path, experiment_id, last, operations)

    def _client_key(self) -> str:
        # The same for every run of this trial, so a restart finds the experiment that an earlier run created.
        return f"search-of-{self.info.task_id}"[:128]

    def _should_leave(self) -> bool:
        leaving = self.context.preempt.should_preempt()
        if leaving:
            logger.warning(
                f"This trial is asked to give way. The search of experiment {self.state.experiment_id} is saved up to "
                f"event {self.state.last_event_id} and goes on when the trial runs again."
            )
        return leaving

    def _advice(self) -> str:
        return (
            "Nothing of these events has been saved; when this trial is restarted, it goes on before them. "
            f"Experiment {self.state.experiment_id} waits; `det e kill {self.state.experiment_id}` ends it."
        )

    def _open_session(self) -> Session:
        return submit.open_session()

    def _submit(
        self,
        exp_config: Mapping[str, Any] | str | Path,
        model_dir: str | Path | None,
        includes: list[str] | None,
        client_key: str,
    ) -> int:
        return submit.create_experiment(exp_config, model_dir, includes, client_key)

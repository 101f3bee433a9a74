"""Runs a search method on this machine, with its state in a folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from determined.domain import search_method as contract
from determined.domain.operations import Operation
from determined.errors import Conflict, NotFound
from determined.searcher import link, show, submit
from determined.searcher.folder import SearcherFolder
from determined.searcher.runner import SearchRunner
from determined.searcher.store import SearchStore
from determined.steps import step

if TYPE_CHECKING:
    from determined.common.api.session import Session

logger = logging.getLogger("determined.searcher")


class LocalSearchRunner(SearchRunner):
    """Runs a search from this process; its trials run wherever the master puts them.

    Run it again with the same ``searcher_dir`` to go on with a search that was interrupted, at any point.

    Args:
        search_method: a newly constructed method.
        searcher_dir: where the state of the search is kept; by default the working directory.
    """

    def __init__(self, search_method: contract.SearchMethod, searcher_dir: Path | str | None = None) -> None:
        super().__init__(search_method)
        self.searcher_dir = Path.cwd() if searcher_dir is None else Path(searcher_dir)
        self._folder = SearcherFolder(self.searcher_dir)
        self._stores: dict[int, SearchStore] = {}

    def run(
        self,
        exp_config: Mapping[str, Any] | str | Path,
        model_dir: str | Path | None = None,
        includes: list[str] | None = None,
    ) -> int:
        """Create the experiment, or take it up again, and search until it is over.

        Args:
            exp_config: the experiment's configuration, or the path of its file; ``searcher.name`` is ``custom``.
            model_dir: folder with the training code; by default the working directory.
            includes: more files and folders to send along.
        Returns:
            The id of the experiment; ``state.experiment_completed`` tells whether it ended well.
        Raises:
            RunnerBusy: another runner works in ``searcher_dir``.
            CorruptState: saved state cannot be used.
        """
        with self._folder.held():
            session = self._open_session()
            experiment_id = self._folder.experiment_id()
            if experiment_id is None:
                experiment_id = self._create(session, exp_config, model_dir, includes)
            else:
                self._folder.check_cluster(link.cluster_id(session), session.master_url)
            operations = self._begin(experiment_id)
            self._epoch = link.attach(session, experiment_id)
            with show.progress_shown(session, experiment_id):
                self._search(experiment_id, session, operations)
            show.tell_end(session, self.state)
        return experiment_id

    def load_state(self, experiment_id: int) -> tuple[int, list[Operation]]:
        """Bring state and method back to the last save in ``searcher_dir``."""
        self.state, operations = self._store(experiment_id).load(self.search_method)
        return experiment_id, operations

    def save_state(self, experiment_id: int, operations: list[Operation]) -> None:
        """Save an answer in ``searcher_dir``."""
        self._store(experiment_id).save(self.search_method, self.state, self._unsaved, operations)

    def _tidy(self, experiment_id: int) -> None:
        try:
            self._store(experiment_id).tidy()
        except OSError as error:
            # The search does not depend on it, and the next save comes back to it.
            logger.warning(f"{self.searcher_dir} could not be tidied up: {error}")

    def _create(
        self,
        session: Session,
        exp_config: Mapping[str, Any] | str | Path,
        model_dir: str | Path | None,
        includes: list[str] | None,
    ) -> int:
        cluster_id = link.cluster_id(session)
        submit.check_config(exp_config)
        intent = self._folder.decide(cluster_id, session.master_url)
        self._folder.check_cluster(cluster_id, session.master_url)
        step("runner.create.before")
        try:
            experiment_id = self._submit(exp_config, model_dir, includes, intent.client_key)
        except Conflict as e:
            raise Conflict(
                f"the search in {self.searcher_dir} was started before, with another configuration or other files: "
                f"{e}. Restore those to resume it, or give another searcher_dir for a new search."
            ) from e
        step("runner.create.after")
        self._folder.record_experiment(experiment_id)
        return experiment_id

    def _begin(self, experiment_id: int) -> list[Operation] | None:
        """Load what was saved, or make the first save; the operations to repeat if need be."""
        store = self._store(experiment_id)
        if not store.is_empty():
            _, operations = self.load_state(experiment_id)
            logger.info(f"Resuming the search of experiment {experiment_id} after event {self.state.last_event_id}")
            return operations
        logger.info(f"Starting the search of experiment {experiment_id}")
        self.state = submit.new_state(experiment_id)
        store.start(self.search_method, self.state)
        self.save_state(experiment_id, [])
        self._tidy(experiment_id)
        return None

    def _search(self, experiment_id: int, session: Session, operations: list[Operation] | None) -> None:
        try:
            self.run_experiment(experiment_id, session, operations)
        except NotFound as e:
            raise NotFound(
                f"the master at {session.master_url} has no experiment {experiment_id}, which {self.searcher_dir} "
                f"is about ({e}); it was deleted, or DET_MASTER names another master. For a new search give another "
                "searcher_dir."
            ) from e

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

    def _store(self, experiment_id: int) -> SearchStore:
        if experiment_id not in self._stores:
            self._stores[experiment_id] = SearchStore(self._get_state_path(experiment_id), experiment_id)
        return self._stores[experiment_id]

    def _get_state_path(self, experiment_id: int) -> Path:
        return self.searcher_dir / f"exp_{experiment_id}"

    def _withdraw_state(self) -> None:
        if self.state.experiment_id is not None:
            self._store(self.state.experiment_id).withdraw()

    def _advice(self) -> str:
        return (
            f"Nothing of these events has been saved: correct the cause and run again with searcher_dir="
            f"{self.searcher_dir} to resume before them. Experiment {self.state.experiment_id} waits; "
            f"`det e kill {self.state.experiment_id}` ends it."
        )

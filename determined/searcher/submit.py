"""Getting an experiment under way: the session, the configuration, the submission."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from determined.domain.search_method import SearcherState
from determined.errors import InvalidInput, NotFound
from determined.wire.values import restore

if TYPE_CHECKING:
    from determined.common.api.session import Session

ExperimentConfig = Mapping[str, Any] | str | Path


def open_session() -> Session:
    """A session with the configured master; without one, with a master started on this machine."""
    from determined.experimental import client

    return client._the_one()._session


def create_experiment(
    config: ExperimentConfig,
    model_dir: str | Path | None,
    includes: list[str] | None,
    client_key: str,
) -> int:
    """Create the experiment of a key, or find the one that was created under it.

    Raises:
        Conflict: the key was used for something else.
        InvalidInput: the configuration or the files are refused.
    """
    from determined.experimental import client

    folder = Path.cwd() if model_dir is None else model_dir
    return client.create_experiment(config, folder, includes, client_key=client_key).id


def check_config(config: ExperimentConfig) -> None:
    """Refuse a configuration whose searcher is not a custom one, before an experiment comes of it.

    Raises:
        InvalidInput: it is not; other faults are left to the master, which lists all of them.
    """
    searcher = _parsed(config).get("searcher")
    name = searcher.get("name") if isinstance(searcher, Mapping) else None
    if isinstance(name, str) and name != "custom":
        raise InvalidInput(
            f"a search runner needs `searcher.name: custom`, but the configuration says {name!r}; change it, or "
            "submit the experiment with `det e create` to let the master search"
        )


def _parsed(config: ExperimentConfig) -> Mapping[str, Any]:
    if isinstance(config, Mapping):
        return config
    import yaml

    path = Path(config)
    try:
        parsed = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise InvalidInput(f"the experiment configuration {path} cannot be read: {e.strerror or e}") from e
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, Mapping) else {}


def best_trial(session: Session, experiment_id: int) -> Mapping[str, Any] | None:
    """The best trial of an experiment as ``{"id", "metric", "hparams"}``, None if the master names none."""
    try:
        experiment = session.get(f"/api/v1/experiments/{experiment_id}")["experiment"]
        trial_id = experiment.get("bestTrialId")
        if not trial_id:
            return None
        trial = session.get(f"/api/v1/trials/{trial_id}")["trial"]
    except NotFound:
        return None
    metric = restore(experiment.get("bestTrialSearcherMetric"))
    return {"id": trial_id, "metric": metric, "hparams": trial.get("hparams") or {}}


def new_state(experiment_id: int) -> SearcherState:
    """The state of a search that has heard nothing yet."""
    state = SearcherState()
    state.experiment_id = experiment_id
    state.last_event_id = 0
    return state

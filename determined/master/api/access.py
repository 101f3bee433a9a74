"""What the token of a run reaches: its own trial's reports, and its own experiment's data.

Users reach every experiment, as people who share a cluster do; only deleting is left to owners and admins.
"""

from __future__ import annotations

from determined.domain.ids import ExperimentId, TrialId, allocation_id
from determined.domain.records import Experiment, Trial
from determined.errors import FailedPrecondition, NotFound, PermissionDenied
from determined.master.api.call import Call
from determined.master.service.ports import RunKey
from determined.storage.protocol import CheckpointView


def check_experiment(call: Call, experiment_id: ExperimentId) -> None:
    """Refuse a run that is not of this experiment.

    Raises:
        PermissionDenied: it is of another one.
    """
    asking = call.asking
    if not asking.is_user and (asking.run is None or asking.run.experiment_id != experiment_id):
        raise PermissionDenied(f"the token of this run does not reach experiment {experiment_id}")


async def readable_trial(call: Call, trial_id: TrialId) -> Trial:
    """The trial, if whoever asks may read it: users, and runs of the same experiment.

    Raises:
        PermissionDenied, NotFound.
    """
    try:
        trial = await call.store.get_trial(trial_id)
    except NotFound:
        if call.asking.is_user:
            raise
        raise PermissionDenied(f"the token of this run does not reach trial {trial_id}") from None
    check_experiment(call, trial.experiment_id)
    return trial


async def readable_checkpoint(call: Call, uuid: str) -> CheckpointView:
    """The checkpoint, if whoever asks may read it: users, and runs of its experiment or that start from it.

    Raises:
        PermissionDenied, NotFound.
    """
    view = await call.store.get_checkpoint(uuid)
    run = call.asking.run
    if call.asking.is_user or (run is not None and run.experiment_id == view.checkpoint.experiment_id):
        return view
    if run is not None and uuid in await _warm_starts(call, run):
        return view
    raise PermissionDenied(f"the token of this run does not reach checkpoint {uuid}")


async def _warm_starts(call: Call, run: RunKey) -> tuple[str | None, str | None]:
    experiment = await call.store.get_experiment(run.experiment_id)
    return experiment.warm_start, (await call.store.get_trial(run.trial_id)).warm_start


async def reporting_run(call: Call) -> RunKey:
    """The run that reports for the trial in the path; for its owner and for admins the trial's live run.

    Raises:
        PermissionDenied: it is another trial's run, or somebody else's trial.
        FailedPrecondition: the trial has no live run.
        NotFound: there is no such trial.
    """
    trial_id, asking = call.trial_id, call.asking
    if asking.run is not None and asking.run.trial_id == trial_id:
        return asking.run
    if not asking.is_user:
        raise PermissionDenied(f"the token of this run does not reach trial {trial_id}")
    trial = await call.store.get_trial(trial_id)
    check_owner(call, await call.store.get_experiment(trial.experiment_id), "report for its trials")
    run = call.service.live_run(allocation_id(trial.experiment_id, trial.request_id, trial.run_id))
    if run is None:
        raise FailedPrecondition(f"trial {trial_id} has no live run that could report")
    return run


async def run_in_path(call: Call) -> RunKey:
    """The live run of the allocation in the path.

    Raises:
        PermissionDenied: it is another run, or somebody else's.
        NotFound: it does not live.
    """
    name, asking = call.allocation_id, call.asking
    if asking.run is not None and asking.run.allocation_id == name:
        return asking.run
    if not asking.is_user:
        raise PermissionDenied(f"the token of this run does not reach allocation {name}")
    run = call.service.live_run(name)
    if run is None:
        raise NotFound(f"allocation {name} not found, or it has ended")
    check_owner(call, await call.store.get_experiment(run.experiment_id), "speak for its runs")
    return run


def check_owner(call: Call, experiment: Experiment, what: str) -> None:
    """Leave something to the owner of an experiment and to admins.

    Raises:
        PermissionDenied: somebody else asks.
    """
    if not call.user.admin and call.user.id != experiment.owner_id:
        raise PermissionDenied(f"only the owner of experiment {experiment.id} and admins may {what}")

"""A large recorded search for the web UI: ``python -m determined.testing.ui_fixture --trials 10000 DATA_FOLDER``.

A search is simulated with the engine of the master and a built-in method, and every fact of it is stored by the code
that stores a real one, with reports of metrics and checkpoints beside. ``python -m determined.master --data
DATA_FOLDER`` then serves it like any other experiment. With ``--unfinished`` the recording ends before the search
does, and the master goes on with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import queue
import random
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from msgspec.structs import replace

from determined.domain import facts
from determined.domain.config import ConfigDefaults, ExperimentConfig, parse_config
from determined.domain.events import InitialOperations, TrialCreated
from determined.domain.facts import Fact
from determined.domain.ids import ExperimentId, RunId, TrialId, task_id
from determined.domain.operations import Progress
from determined.domain.records import Checkpoint, Experiment, LogRecord, Metrics
from determined.domain.states import CheckpointState, ExperimentState
from determined.engine import effects as fx
from determined.engine.effects import Effect
from determined.engine.experiment import Experiment as Engine
from determined.master.service.contexts import Contexts, archive
from determined.master.service.lane import Lane
from determined.master.service.loading import settings_of
from determined.master.service.ports import ContextFile
from determined.master.service.rows import unit_of
from determined.methods.registry import make_method
from determined.simulator.model import Capacity, Limits, TrialModel
from determined.simulator.world import Plan, World
from determined.storage import protocol as db
from determined.storage.protocol import Mutation, Store

MINUTES_PER_UNIT: Final = 2.0
AT_ONCE: Final = 400
"""Units that are handed to the store together."""
UNFINISHED: Final = 0.95
"""Share of the trials that a search has created which goes on."""
_SCRIPT: Final = b'"""The script of a search that was only simulated."""\n'


def asha(trials: int, *, max_length: int = 64, num_rungs: int = 4) -> dict[str, Any]:
    """The configuration of a search by successive halving with so many trials."""
    return {
        "name": f"asha with {trials:,} trials",
        "description": "a simulated search",
        "labels": ["simulated"],
        "entrypoint": "python train.py",
        "searcher": {
            "name": "async_halving",
            "metric": "val_loss",
            "smaller_is_better": True,
            "max_length": {"epochs": max_length},
            "max_trials": trials,
            "num_rungs": num_rungs,
            "divisor": 4,
            "max_concurrent_trials": 64,
        },
        "records_per_epoch": 1000,
        "hyperparameters": {
            "lr": {"type": "log", "base": 10, "minval": -5, "maxval": -1},
            "weight_decay": {"type": "log", "base": 10, "minval": -6, "maxval": -2},
            "dropout": {"type": "double", "minval": 0.0, "maxval": 0.6},
            "layers": {"type": "int", "minval": 1, "maxval": 8},
            "width": {"type": "categorical", "vals": [64, 128, 256, 512]},
            "optimizer": {"type": "categorical", "vals": ["adamw", "sgd", "lion"]},
            "schedule": {"type": "categorical", "vals": ["cosine", "linear", "constant"]},
            "augment": {"type": "categorical", "vals": [True, False]},
        },
        "max_restarts": 1,
    }


def loss(hparams: Mapping[str, Any], length: float) -> float:
    """A curve that falls with the length, to a floor that the hyperparameters decide."""
    lr, wide = math.log10(hparams["lr"]), math.log2(hparams["width"]) - 6
    floor = 0.25 + 0.15 * abs(lr + 3) ** 1.5 + 0.4 * (hparams["dropout"] - 0.2) ** 2
    floor += {"adamw": 0.0, "lion": 0.04, "sgd": 0.12}[hparams["optimizer"]] - 0.02 * wide
    floor += 0.01 * abs(hparams["layers"] - 5)
    speed = 0.35 + 0.1 * max(lr + 4, 0)
    noise = random.Random(f"{hparams['lr']} {length}").gauss(0, 0.01)
    return float(max(floor, 0.05) + 2.0 * (1 + length) ** -speed + noise)


class _RecordedEngine(Engine):
    """Hands every fact that it has taken in on to the recorder."""

    def __init__(self, recorder: Recorder, lane_engine: Engine) -> None:
        super().__init__(lane_engine.settings)
        self._recorder = recorder
        self._told = 0

    def handle(self, fact: Fact) -> list[Effect]:
        if isinstance(fact, facts.OperationsPosted):
            fact = self._with_all_progress(fact)
        effects = super().handle(fact)
        self._recorder.record(fact, effects)
        self._told += sum(type(e) is fx.EventEnqueued and type(e.event) not in _SILENT for e in effects)
        if isinstance(fact, facts.ProgressReported):
            for group in ("training", "validation"):
                report = facts.MetricsReported(
                    at=fact.at, trial_id=fact.trial_id, run_id=fact.run_id, group=group, steps=int(fact.units)
                )
                self._recorder.record(report, super().handle(report))
        return effects

    def _with_all_progress(self, fact: facts.OperationsPosted) -> facts.OperationsPosted:
        """A simulation tells progress once for many events; a master, which answers each, tells it each time."""
        told = [op for op in fact.operations if isinstance(op, Progress)]
        missing, self._told = self._told - len(told), 0
        if not told or missing <= 0:
            return fact
        return replace(fact, operations=(*[told[0]] * missing, *fact.operations))


_SILENT: Final = (InitialOperations, TrialCreated)
"""Events whose answers tell no progress."""


class Recorder:
    """Makes the rows of each fact, as the service does, and passes them on.

    Attributes:
        units: what is to be stored, in order; None at the end.
        error: what ended the simulation early.
    """

    def __init__(self, record: Experiment, config: ExperimentConfig, limits: Limits) -> None:
        self._limits = limits
        self.units: queue.Queue[list[Mutation] | None] = queue.Queue(4 * AT_ONCE)
        self._began = record.created_at
        engine = Engine(settings_of(record.id, config, None))
        self.engine = _RecordedEngine(self, engine)
        self.lane = Lane(record=record, config=config, engine=self.engine, seq=0)
        self.world: World | None = None
        self.error: BaseException | None = None

    def play(self) -> None:
        """Simulate the search; to be run in a thread of its own."""
        try:
            self._simulate()
        except BaseException as error:
            self.error = error
        finally:
            self.units.put(None)

    def _simulate(self) -> None:
        config, searcher = self.lane.config, self.lane.config.searcher
        model = TrialModel(straggler_std=0.3, error_probability=0.0005, invalid_probability=0.002)
        plan = Plan(
            settings=self.engine.settings,
            curve=loss,
            capacity=Capacity.of(64),
            model=model,
            limits=self._limits,
            seed=config.seed,
            smaller_is_better=searcher.smaller_is_better,
            keep_decisions=False,
        )
        self.world = World(make_method(config), plan)
        self.world.search.engine = self.engine
        self.world.run()

    def record(self, fact: Fact, effects: list[Effect]) -> None:
        """One fact and what followed from it."""
        lane = self.lane
        lane.seq += 1
        lane.unsaved += 1
        real = replace(fact, at=self._began + fact.at * 60 * MINUTES_PER_UNIT)
        unit, _ = unit_of(lane, real, effects)
        for effect in effects:
            if isinstance(effect, fx.RunEnded):
                lane.runs.pop(effect.trial_id, None)
        for mutation in unit:
            if isinstance(mutation, db.PutRun) and mutation.run.ended_at is None:
                lane.runs[mutation.run.trial_id] = mutation.run
        self.units.put([*unit, *self._beside(real)])

    def _beside(self, fact: Fact) -> list[Mutation]:
        """What is stored with a fact and is not in it."""
        if isinstance(fact, facts.MetricsReported):
            return [db.PutMetrics(self._metrics(fact), self.lane.record.smaller_is_better)]
        if isinstance(fact, facts.CheckpointReported):
            return [db.PutCheckpoint(self._checkpoint(fact))]
        if isinstance(fact, facts.RunSeen):
            return [db.AppendLogs(self._lines(fact))]
        return []

    def _metrics(self, fact: facts.MetricsReported) -> Metrics:
        assert self.world is not None
        value = loss(self.world.processes[fact.trial_id - 1].hparams, fact.steps)
        is_validation = fact.group == "validation"
        shown = {"val_loss": value, "val_acc": 1 / (1 + value)} if is_validation else {"loss": value * 0.9}
        return Metrics(
            experiment_id=self.lane.id,
            trial_id=fact.trial_id,
            run_id=fact.run_id,
            group=fact.group,
            steps=fact.steps,
            at=fact.at,
            metrics=json.dumps(shown),
            has_searcher_metric=is_validation,
            searcher_metric=value if is_validation else None,
        )

    def _checkpoint(self, fact: facts.CheckpointReported) -> Checkpoint:
        trial = self.engine.trials[fact.trial_id]
        task = task_id(self.lane.id, trial.request_id)
        return Checkpoint(
            uuid=fact.uuid,
            experiment_id=self.lane.id,
            trial_id=fact.trial_id,
            run_id=fact.run_id,
            task_id=task,
            allocation_id=f"{task}.{fact.run_id}",
            state=CheckpointState.COMPLETED,
            steps=fact.steps,
            reported_at=fact.at,
            resources='{"model.bin": 1048576}',
            metadata=json.dumps({"steps_completed": fact.steps}),
            size=1 << 20,
        )

    def _lines(self, fact: facts.RunSeen) -> tuple[LogRecord, ...]:
        trial_id, run_id = TrialId(fact.trial_id), RunId(fact.run_id)
        name = self.lane.runs[trial_id].allocation_id
        texts = (f"trial {trial_id} starts", "INFO: loading data", "INFO: training")
        return tuple(
            LogRecord(trial_id=trial_id, run_id=run_id, allocation_id=name, at=fact.at, text=text, stdtype="stdout")
            for text in texts
        )


async def fill(
    store: Store, owner: db.PutUser, config: Mapping[str, Any], context: str, seed: int, limits: Limits | None = None
) -> Experiment:
    """Record a search as the first experiment of an empty store.

    Args:
        owner: of the experiment; must be stored already.
        config: of a built-in method, with the hyperparameters that ``loss`` reads.
        context: name of its model definition.
        seed: of the search and of what goes wrong with its trials.
        limits: where the recording ends although the search does not.
    """
    text = yaml.safe_dump(dict(config), sort_keys=False)
    storage = {"type": "shared_fs", "host_path": "/tmp"}  # noqa: S108  # no files are stored
    parsed = parse_config(text, ConfigDefaults(checkpoint_storage=storage, name="simulated", seed=seed))
    record = Experiment(
        id=ExperimentId(1),
        owner_id=owner.user.id,
        name=parsed.name,
        description=parsed.description or "",
        labels=tuple(parsed.labels),
        state=ExperimentState.ACTIVE,
        config=json.dumps(parsed.complete),
        original_config=text,
        searcher_type=parsed.searcher.name,
        metric=parsed.searcher.metric,
        smaller_is_better=parsed.searcher.smaller_is_better,
        context=context,
        job_id=str(uuid.uuid4()),
        created_at=time.time() - 7 * 24 * 3600,
    )
    await store.write([db.InsertExperiment(record)], lane=record.id)
    recorder = Recorder(record, parsed, limits or Limits())
    thread = threading.Thread(target=recorder.play, daemon=True)
    thread.start()
    while units := await asyncio.to_thread(_next_units, recorder.units):
        await asyncio.gather(*(store.write(unit, lane=record.id) for unit in units))
    thread.join()
    if recorder.error is not None:
        raise recorder.error
    await store.write([db.PatchExperiment(id=record.id, changes={"uncollected": False})], lane=record.id)
    return await store.get_experiment(record.id)


def _next_units(units: queue.Queue[list[Mutation] | None]) -> Sequence[list[Mutation]]:
    """The next ones that are there, at least one; none at the end."""
    found: list[list[Mutation]] = []
    while len(found) < AT_ONCE and (not found or not units.empty()):
        unit = units.get()
        if unit is None:
            if found:
                units.put(None)
            return found
        found.append(unit)
    return found


async def fill_folder(data: Path, trials: int, seed: int, unfinished: bool = False) -> Experiment:
    """Put one recorded search into the data folder of a master that has never run."""
    from determined.master.app import read_secret
    from determined.master.service.auth import Auth
    from determined.storage.sql import SqlStore

    store = SqlStore(f"sqlite:///{data / 'master.db'}")
    await store.open()
    try:
        auth = Auth(store, read_secret(data))
        boot = await auth.bootstrap()
        auth.close()
        script = ContextFile("train.py", _SCRIPT, 0o644, 0)
        context = Contexts(data / "contexts").put(archive([script]))
        limits = Limits(max_trials=int(trials * UNFINISHED)) if unfinished else None
        return await fill(store, db.PutUser(boot.local_user), asha(trials), context, seed, limits)
    finally:
        await store.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Fill a folder, and say how to look at it."""
    parser = argparse.ArgumentParser(prog="python -m determined.testing.ui_fixture", description=__doc__)
    parser.add_argument("data", type=Path, metavar="DATA_FOLDER", help="of a master; must hold none yet")
    parser.add_argument("--trials", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--unfinished", action="store_true", help="end the recording before the search ends")
    args = parser.parse_args(argv)
    if (args.data / "master.db").exists():
        parser.error(f"{args.data} holds a master's data already; name another folder")
    args.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    began = time.perf_counter()
    experiment = asyncio.run(fill_folder(args.data, args.trials, args.seed, args.unfinished))
    print(
        f"experiment {experiment.id}: {experiment.num_trials} trials, {experiment.state.value}, best "
        f"{experiment.best_metric:.4f} in trial {experiment.best_trial_id}, in {time.perf_counter() - began:.0f} s\n"
        f"serve it with: {sys.executable} -m determined.master --data {args.data}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

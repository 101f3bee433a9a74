"""Records a search without a master: a real method and the real engine, with trials that are only computed.

Trials run one after the other, first come first served; several events are answered at once, as by a busy runner.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from determined.domain import facts
from determined.domain.config import ConfigDefaults, parse_config
from determined.domain.events import SearcherEvent
from determined.domain.facts import Fact
from determined.domain.ids import ExperimentId, RunId, TrialId
from determined.domain.operations import Operation
from determined.domain.search_method import SearcherState, SearchMethod, dispatch
from determined.engine import effects as fx
from determined.engine.experiment import Experiment, Settings
from determined.methods.ending import ending
from determined.methods.hosted import Hosted
from determined.methods.registry import make_method
from determined.wire import journal
from determined.workshop.recording import Recording
from determined.workshop.recording_file import Header, Line, Report

Metric = Callable[[Mapping[str, Any], int], Any]
HPARAMS = {"x": {"type": "double", "minval": 0.0, "maxval": 1.0}}
RANDOM = {"name": "random", "metric": "loss", "max_length": 10, "max_trials": 8, "max_concurrent_trials": 3}
DEFAULTS = ConfigDefaults(checkpoint_storage={"type": "shared_fs", "host_path": "/c"}, name="n", seed=0)
CUSTOM = {"name": "custom", "metric": "loss"}


def hosted_search(searcher: Mapping[str, Any], x: Mapping[str, Any] | None = None, **options: Any) -> Recording:
    """A search by the method that the section names; ``x`` is its only hyperparameter."""
    config = complete(searcher, **({} if x is None else {"hyperparameters": {"x": x}}))
    return RecordedSearch(make_method(parse_config(config, DEFAULTS)), config, **options).run()


def complete(searcher: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A complete configuration, as a master gives it out."""
    document = {
        "name": "recorded",
        "entrypoint": "true",
        "searcher": dict(searcher),
        "hyperparameters": HPARAMS,
        "max_restarts": 0,
        "reproducibility": {"experiment_seed": 7},
        **more,
    }
    made: dict[str, Any] = json.loads(json.dumps(parse_config(document, DEFAULTS).complete))
    return made


def loss(hparams: Mapping[str, Any], length: int) -> float:
    """Better with an x near 0.3, and with training."""
    return float(abs(hparams["x"] - 0.3) + 1 / (1 + length))


class RecordedSearch:
    """One search, as it goes on.

    Attributes:
        lines: what a recording of it holds.
    """

    def __init__(self, method: SearchMethod, config: Mapping[str, Any], metric: Metric = loss, batch: int = 3) -> None:
        self.config = config
        self.metric = metric
        self.batch = batch
        self.lines: list[Line] = []
        self.engine = Experiment(Settings(ExperimentId(1), max_restarts=0))
        self.hosted = None if config["searcher"]["name"] == "custom" else Hosted(method)
        self.method = ending(method)
        self.state = SearcherState()
        self.events: deque[tuple[int, SearcherEvent]] = deque()
        self.waiting: deque[tuple[TrialId, RunId]] = deque()
        self.hparams: dict[TrialId, Mapping[str, Any]] = {}
        self.at = 1000.0
        self.seq = 0

    def run(self) -> Recording:
        """To the end; each trial finishes its work before the next gets a turn."""
        self.tell(facts.ExperimentCreated(at=self.now(), active=True))
        while self.events or self.waiting:
            if self.events and (len(self.events) >= self.batch or not self.waiting):
                self.answer()
            else:
                self.train(*self.waiting.popleft())
        return self.recording()

    def recording(self) -> Recording:
        """What there is so far."""
        header = Header(
            software="0",
            experiment_id=ExperimentId(1),
            name="recorded",
            state=self.engine.state.value,
            config=self.config,
        )
        return Recording(header, self.lines)

    def now(self) -> float:
        self.at += 0.25
        return self.at

    def tell(self, fact: Fact) -> None:
        effects = self.engine.handle(fact)
        if not effects and isinstance(fact, facts.OperationsPosted):
            return
        self.seq += 1
        self.lines.append(journal.to_row(ExperimentId(1), self.seq, fact))
        for effect in effects:
            if isinstance(effect, fx.EventEnqueued):
                self.events.append((effect.event_id, effect.event))
            elif isinstance(effect, fx.SlotsWanted):
                self.waiting.append((effect.trial_id, effect.run_id))
            elif isinstance(effect, fx.SlotsWithdrawn):
                self.waiting.remove((effect.trial_id, effect.run_id))
            elif isinstance(effect, fx.TrialAdded):
                self.hparams[effect.trial_id] = json.loads(effect.hparams)

    def answer(self) -> None:
        operations: list[Operation] = []
        number = 0
        while self.events:
            number, event = self.events.popleft()
            if self.hosted is not None:
                operations += self.hosted.handle(number, event)
            else:
                operations += dispatch(self.method, self.state, event)
                self.state.last_event_id = number
        self.post(*operations, trigger=number)

    def post(self, *operations: Operation, trigger: int | None = None) -> None:
        first = TrialId(len(self.engine.index) + 1)
        fact = facts.OperationsPosted(at=self.now(), operations=operations, trigger=trigger, first_trial_id=first)
        self.tell(fact)

    def train(self, trial_id: TrialId, run_id: RunId) -> None:
        """One life of a trial: it does what it was asked to, and leaves."""
        self.tell(facts.SlotsGranted(at=self.now(), trial_id=trial_id, run_id=run_id, slot_ids=(0,), agent="a"))
        self.tell(facts.RunSeen(at=self.now(), trial_id=trial_id, run_id=run_id))
        trial = self.engine.trials[trial_id]
        length = trial.length or 0
        self.tell(facts.ProgressReported(at=self.now(), trial_id=trial_id, run_id=run_id, units=float(length)))
        metric = self.metric(self.hparams[trial_id], length)
        if metric is not None:
            self.report(trial_id, run_id, length, metric)
            self.tell(
                facts.OperationCompleted(at=self.now(), trial_id=trial_id, run_id=run_id, length=length, metric=metric)
            )
            self.tell(facts.ExitAcknowledged(at=self.now(), trial_id=trial_id, run_id=run_id))
        code = 0 if metric is not None else 1
        self.tell(facts.RunExited(at=self.now(), trial_id=trial_id, run_id=run_id, code=code))

    def report(self, trial_id: TrialId, run_id: RunId, steps: int, metric: Any) -> None:
        at = self.now()
        fact = facts.MetricsReported(at=at, trial_id=trial_id, run_id=run_id, group="validation", steps=steps)
        self.tell(fact)
        self.lines.append(
            Report(
                trial_id=trial_id,
                run_id=run_id,
                group="validation",
                steps=steps,
                at=at,
                archived=False,
                metrics={"loss": metric},
            )
        )

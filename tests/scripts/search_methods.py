"""Search methods for tests; they use only what the genuine SDK has too."""

import json
import random
import uuid

from determined import searcher


class RandomSearch(searcher.SearchMethod):
    def __init__(self, max_trials=5, length=500):
        self.max_trials = max_trials
        self.length = length
        self.events = []

    def _create(self):
        rid = uuid.uuid4()
        return [
            searcher.Create(request_id=rid, hparams={"x": random.random()}, checkpoint=None),
            searcher.ValidateAfter(request_id=rid, length=self.length),
            searcher.Close(request_id=rid),
        ]

    def initial_operations(self, _):
        return [op for _ in range(self.max_trials) for op in self._create()]

    def on_trial_created(self, _, request_id):
        self.events.append(("created", request_id))
        return []

    def on_validation_completed(self, _, request_id, metric, train_length):
        assert isinstance(metric, float)
        assert int(train_length) == self.length
        self.events.append(("validated", request_id))
        return []

    def on_trial_closed(self, state, request_id):
        self.events.append(("closed", request_id))
        return [searcher.Shutdown()] if len(state.trials_closed) == self.max_trials else []

    def on_trial_exited_early(self, _, request_id, exited_reason):
        self.events.append(("exited", request_id, exited_reason))
        return []

    def progress(self, state):
        return len(state.trials_closed) / self.max_trials


class Climb(RandomSearch):
    """Every trial goes through three lengths, and each decision comes at once."""

    lengths = (10, 20, 40)

    def __init__(self):
        super().__init__(max_trials=4, length=self.lengths[0])

    def initial_operations(self, state):
        return [op for op in super().initial_operations(state) if not isinstance(op, searcher.Close)]

    def on_validation_completed(self, _, request_id, metric, train_length):
        later = [length for length in self.lengths if length > int(train_length)]
        if later:
            return [searcher.ValidateAfter(request_id=request_id, length=later[0])]
        return [searcher.Close(request_id=request_id)]


class Late(searcher.SearchMethod):
    """The first trial is promoted only when the second has validated: on one slot it has to give way in between."""

    def __init__(self):
        self.ids = [uuid.UUID(int=1), uuid.UUID(int=2)]

    def initial_operations(self, _):
        ops = []
        for rid in self.ids:
            ops.append(searcher.Create(request_id=rid, hparams={"x": 0.5}, checkpoint=None))
            ops.append(searcher.ValidateAfter(request_id=rid, length=10))
        return ops

    def on_trial_created(self, _, request_id):
        return []

    def on_validation_completed(self, _, request_id, metric, train_length):
        first, second = self.ids
        if request_id == second:
            return [searcher.ValidateAfter(request_id=first, length=20), searcher.Close(request_id=second)]
        return [searcher.Close(request_id=first)] if int(train_length) == 20 else []

    def on_trial_closed(self, state, request_id):
        return [searcher.Shutdown()] if len(state.trials_closed) == 2 else []

    def on_trial_exited_early(self, _, request_id, exited_reason):
        return []

    def progress(self, state):
        return len(state.trials_closed) / 2


class Faults(RandomSearch):
    """One trial for each way to end, all closed at once; the search goes on until every one of them is over."""

    ways = ({}, {"fail": True}, {"invalid": True}, {"leave": True}, {"sleep": 600})

    def __init__(self):
        super().__init__(max_trials=len(self.ways), length=20)

    def initial_operations(self, _):
        ops = []
        for number, way in enumerate(self.ways, 1):
            rid = uuid.UUID(int=number)
            ops.append(searcher.Create(request_id=rid, hparams={"x": 0.5, **way}, checkpoint=None))
            ops.append(searcher.ValidateAfter(request_id=rid, length=self.length))
            ops.append(searcher.Close(request_id=rid))
        return ops


class SmallAsha(searcher.SearchMethod):
    """Three rungs, divisor 2, promotion as results come in."""

    lengths = (10, 20, 40)

    def __init__(self, max_trials=6):
        self.max_trials = max_trials
        self.rungs = [[] for _ in self.lengths]
        self.promoted = [set() for _ in self.lengths]
        self.rung_of = {}
        self.closed = set()

    def initial_operations(self, _):
        ops = []
        for _ in range(self.max_trials):
            rid = uuid.uuid4()
            self.rung_of[rid] = 0
            ops.append(searcher.Create(request_id=rid, hparams={"x": random.random()}, checkpoint=None))
            ops.append(searcher.ValidateAfter(request_id=rid, length=self.lengths[0]))
        return ops

    def on_trial_created(self, _, request_id):
        return []

    def on_validation_completed(self, _, request_id, metric, train_length):
        rung = self.rung_of[request_id]
        self.rungs[rung].append((metric, request_id))
        ops = []
        if rung == len(self.lengths) - 1:
            ops.append(self._close(request_id))
        else:
            ranked = sorted(self.rungs[rung], key=lambda r: r[0])
            for _, rid in ranked[: len(ranked) // 2]:
                if rid not in self.promoted[rung]:
                    self.promoted[rung].add(rid)
                    self.rung_of[rid] = rung + 1
                    ops.append(searcher.ValidateAfter(request_id=rid, length=self.lengths[rung + 1]))
        if self._all_quiet():
            ops += [self._close(rid) for rid in self.rung_of if rid not in self.closed]
        return ops

    def _all_quiet(self):
        if len(self.rungs[0]) < self.max_trials:
            return False
        return all(any(rid == r for _, r in self.rungs[rung]) for rid, rung in self.rung_of.items())

    def _close(self, rid):
        self.closed.add(rid)
        return searcher.Close(request_id=rid)

    def on_trial_closed(self, state, request_id):
        return [searcher.Shutdown()] if len(state.trials_closed) == self.max_trials else []

    def on_trial_exited_early(self, _, request_id, exited_reason):
        return []

    def progress(self, state):
        return len(self.rungs[0]) / self.max_trials

    def save_method_state(self, path):
        state = {
            "rungs": [[[m, str(r)] for m, r in rung] for rung in self.rungs],
            "promoted": [[str(r) for r in rung] for rung in self.promoted],
            "rung_of": {str(r): rung for r, rung in self.rung_of.items()},
            "closed": [str(r) for r in self.closed],
        }
        (path / "asha.json").write_text(json.dumps(state))

    def load_method_state(self, path):
        state = json.loads((path / "asha.json").read_text())
        self.rungs = [[(m, uuid.UUID(r)) for m, r in rung] for rung in state["rungs"]]
        self.promoted = [{uuid.UUID(r) for r in rung} for rung in state["promoted"]]
        self.rung_of = {uuid.UUID(r): rung for r, rung in state["rung_of"].items()}
        self.closed = {uuid.UUID(r) for r in state["closed"]}

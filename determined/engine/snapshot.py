"""Snapshots of an engine, in parts, so that saving costs what has changed and not what exists.

Parts are bytes in MessagePack: "experiment" for the head, which every snapshot has, and one per trial under its id. A
part of a trial that is over holds only its request id, which must stay known so that a second Create of it is refused,
and its newest checkpoint, from which another trial may be asked to start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from determined.domain.facts import Fact
from determined.domain.ids import RequestId, TrialId
from determined.domain.states import ExperimentState
from determined.engine.experiment import Experiment, Settings
from determined.engine.trial import Trial
from determined.errors import CorruptState, DeterminedError

FORMAT = 1
HEAD = "experiment"


class _Head(msgspec.Struct):
    format: int
    state: ExperimentState
    progress: float | None
    message: str
    ended_at: float | None
    last_event: int
    answered: int


class _Format(msgspec.Struct):
    format: int


class _TrialPart(msgspec.Struct):
    request_id: RequestId
    trial: Trial | None
    checkpoint: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode_format = msgspec.msgpack.Decoder(_Format).decode
_decode_head = msgspec.msgpack.Decoder(_Head).decode
_decode_trial = msgspec.msgpack.Decoder(_TrialPart).decode


def take(engine: Experiment) -> dict[str, bytes]:
    """The parts that differ from the last snapshot; the engine counts as saved from here on."""
    parts = {HEAD: _encode_head(engine)}
    for trial_id, trial in engine.dirty.items():
        live = engine.trials.get(trial_id)
        checkpoint = engine.last_checkpoints.get(trial_id)
        parts[str(trial_id)] = _encode(_TrialPart(trial.request_id, live, checkpoint))
    engine.dirty.clear()
    return parts


def _encode_head(engine: Experiment) -> bytes:
    return _encode(
        _Head(
            FORMAT,
            engine.state,
            engine.progress,
            engine.message,
            engine.ended_at,
            engine.last_event,
            engine.answered,
        )
    )


def restore(settings: Settings, parts: Mapping[str, bytes], facts: Iterable[Fact] = ()) -> Experiment:
    """The engine that the parts describe, after the facts that came later.

    Args:
        parts: the newest of each part; those of other owners, under names of their own, are left alone.
        facts: those after the newest head.

    Raises:
        CorruptState: a part is damaged or of an unknown format, or a recorded fact is refused.
    """
    engine = Experiment(settings)
    try:
        if HEAD in parts:
            _restore_head(engine, parts[HEAD])
            _restore_trials(engine, parts)
    except msgspec.MsgspecError as e:
        raise CorruptState(f"the snapshot of experiment {settings.experiment_id} is damaged: {e}") from e
    for number, fact in enumerate(facts, 1):
        try:
            engine.handle(fact)
        except DeterminedError as e:
            raise CorruptState(
                f"experiment {settings.experiment_id}: fact {number} after the snapshot ({type(fact).__name__}) was "
                f"accepted once and is refused now: {e}"
            ) from e
    return engine


def _restore_head(engine: Experiment, part: bytes) -> None:
    found = _decode_format(part).format
    if found != FORMAT:
        raise CorruptState(f"the snapshot has format {found}, this version reads {FORMAT}; upgrade the master")
    head = _decode_head(part)
    engine.state, engine.progress, engine.message = head.state, head.progress, head.message
    engine.ended_at, engine.last_event, engine.answered = head.ended_at, head.last_event, head.answered


def _restore_trials(engine: Experiment, parts: Mapping[str, bytes]) -> None:
    for name in sorted((n for n in parts if n.isdecimal()), key=int):
        part = _decode_trial(parts[name])
        trial_id = TrialId(int(name))
        engine.index[part.request_id] = trial_id
        if part.trial is not None:
            engine.trials[trial_id] = part.trial
        elif part.checkpoint is not None:
            engine.last_checkpoints[trial_id] = part.checkpoint

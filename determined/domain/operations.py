"""What a search method may ask for; the same types in the SDK, the engine, the journal and on the wire."""

from __future__ import annotations

import json
import math
import operator
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn


@dataclass(frozen=True, init=False)
class Create:
    """Ask for a new trial.

    Attributes:
        request_id: chosen by the method; unique within the experiment.
        hparams: the hyperparameters as JSON text of an object; the constructor takes a mapping too.
        checkpoint: uuid of a checkpoint to start from, or None for a fresh start.
        reason: optional short text that explains the decision.
        source_trial: request id of a trial of the same search to go on from: from its newest checkpoint at this moment,
            or from what it started from if it has saved none. It may have ended. Not together with ``checkpoint``.

    Raises:
        TypeError, ValueError: ``hparams`` is no JSON object, or holds a non-finite number; two sources are given.
    """

    request_id: uuid.UUID
    hparams: str
    checkpoint: str | None
    reason: str | None
    source_trial: uuid.UUID | None

    def __init__(
        self,
        request_id: uuid.UUID,
        hparams: Mapping[str, Any] | str,
        checkpoint: Any = None,
        reason: str | None = None,
        source_trial: uuid.UUID | None = None,
    ) -> None:
        if not isinstance(request_id, uuid.UUID):
            raise TypeError(f"Create: request_id must be a uuid.UUID, got {type(request_id).__name__}")
        if source_trial is not None and not isinstance(source_trial, uuid.UUID):
            raise TypeError(f"Create: source_trial must be a uuid.UUID, got {type(source_trial).__name__}")
        if source_trial is not None and checkpoint is not None:
            raise ValueError("Create: a trial starts from a checkpoint or from source_trial, not from both; give one")
        if isinstance(hparams, str):
            if not isinstance(json.loads(hparams, parse_constant=_no_constant, parse_float=_finite), dict):
                raise ValueError("Create: hparams must be a JSON object")
            text = hparams
        elif isinstance(hparams, Mapping):
            text = json.dumps(dict(hparams), allow_nan=False)
        else:
            raise TypeError(f"Create: hparams must be a mapping, got {type(hparams).__name__}")
        # The client's Checkpoint objects are accepted as well as a bare uuid.
        source = getattr(checkpoint, "uuid", checkpoint)
        object.__setattr__(self, "request_id", request_id)
        object.__setattr__(self, "hparams", text)
        object.__setattr__(self, "checkpoint", None if source is None else str(source))
        object.__setattr__(self, "reason", reason)
        object.__setattr__(self, "source_trial", source_trial)


@dataclass(frozen=True)
class ValidateAfter:
    """Ask a trial to train up to an absolute length and then validate.

    Attributes:
        length: from the start of the trial, >= 0, in the experiment's unit; never incremental.
    """

    request_id: uuid.UUID
    length: int
    reason: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.request_id, uuid.UUID):
            raise TypeError(f"ValidateAfter: request_id must be a uuid.UUID, got {type(self.request_id).__name__}")
        if isinstance(self.length, bool) or not hasattr(self.length, "__index__"):
            raise TypeError(f"ValidateAfter: length must be an integer, got {self.length!r}")
        # NumPy's integers are welcome, but nothing else should meet them.
        object.__setattr__(self, "length", operator.index(self.length))
        if not 0 <= self.length < 2**63:
            raise ValueError(f"ValidateAfter: length must be between 0 and 2**63 - 1, got {self.length}")


@dataclass(frozen=True)
class Close:
    """Say that a trial gets no more work: it finishes what it has and ends."""

    request_id: uuid.UUID
    reason: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.request_id, uuid.UUID):
            raise TypeError(f"Close: request_id must be a uuid.UUID, got {type(self.request_id).__name__}")


@dataclass(frozen=True)
class Progress:
    """Progress of the whole search; values outside 0..1 are clamped by the engine."""

    progress: float

    def __post_init__(self) -> None:
        if isinstance(self.progress, bool) or not isinstance(self.progress, (int, float)):
            raise TypeError(f"Progress: progress must be a number, got {self.progress!r}")
        if not math.isfinite(self.progress):
            raise ValueError(f"Progress: progress must be finite, got {self.progress}")


@dataclass(frozen=True)
class Shutdown:
    """End the search; trials still at work finish (or are preempted with ``cancel``, killed with ``failure``)."""

    cancel: bool = False
    failure: bool = False
    reason: str | None = None


Operation = Create | ValidateAfter | Close | Progress | Shutdown


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"Create: hparams hold {name}; hyperparameters must be finite")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"Create: hparams hold {text[:30]}; hyperparameters must be finite")
    return value

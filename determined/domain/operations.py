"""What a search method may ask for; the same types in the SDK, the engine, the journal and on the wire."""

from __future__ import annotations

import json
import math
import operator
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from msgspec.structs import force_setattr

from determined.domain.reasons import Explanation

_is_finite = math.isfinite


if TYPE_CHECKING:
    Why = str | Explanation
else:
    # For readers of JSON a reason is a text; what methods give may be worded later.
    Why = str


class _Operation(msgspec.Struct, frozen=True, gc=False):
    pass


class Create(_Operation, frozen=True):
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
    checkpoint: str | None = None
    reason: Why | None = None
    source_trial: uuid.UUID | None = None

    if TYPE_CHECKING:
        # What the constructor takes is wider than what the fields hold.
        def __init__(
            self,
            request_id: uuid.UUID,
            hparams: Mapping[str, Any] | str,
            checkpoint: Any = None,
            reason: Why | None = None,
            source_trial: uuid.UUID | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.request_id, uuid.UUID):
            raise TypeError(f"Create: request_id must be a uuid.UUID, got {type(self.request_id).__name__}")
        if self.source_trial is not None:
            if not isinstance(self.source_trial, uuid.UUID):
                raise TypeError(f"Create: source_trial must be a uuid.UUID, got {type(self.source_trial).__name__}")
            if self.checkpoint is not None:
                raise ValueError(
                    "Create: a trial starts from a checkpoint or from source_trial, not from both; give one"
                )
        hparams: Any = self.hparams
        if isinstance(hparams, str):
            if not isinstance(json.loads(hparams, parse_constant=_no_constant, parse_float=_finite), dict):
                raise ValueError("Create: hparams must be a JSON object")
        elif isinstance(hparams, Mapping):
            force_setattr(self, "hparams", _to_json(hparams))
        else:
            raise TypeError(f"Create: hparams must be a mapping, got {type(hparams).__name__}")
        if self.checkpoint is not None and type(self.checkpoint) is not str:
            # The client's Checkpoint objects are accepted as well as a bare uuid.
            force_setattr(self, "checkpoint", str(getattr(self.checkpoint, "uuid", self.checkpoint)))


class ValidateAfter(_Operation, frozen=True):
    """Ask a trial to train up to an absolute length and then validate.

    Attributes:
        length: from the start of the trial, >= 0, in the experiment's unit; never incremental.
    """

    request_id: uuid.UUID
    length: int
    reason: Why | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.request_id, uuid.UUID):
            raise TypeError(f"ValidateAfter: request_id must be a uuid.UUID, got {type(self.request_id).__name__}")
        if type(self.length) is not int:
            if isinstance(self.length, bool) or not hasattr(self.length, "__index__"):
                raise TypeError(f"ValidateAfter: length must be an integer, got {self.length!r}")
            # NumPy's integers are welcome, but nothing else should meet them.
            force_setattr(self, "length", operator.index(self.length))
        if not 0 <= self.length < 2**63:
            raise ValueError(f"ValidateAfter: length must be between 0 and 2**63 - 1, got {self.length}")


class Close(_Operation, frozen=True):
    """Say that a trial gets no more work: it finishes what it has and ends."""

    request_id: uuid.UUID
    reason: Why | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.request_id, uuid.UUID):
            raise TypeError(f"Close: request_id must be a uuid.UUID, got {type(self.request_id).__name__}")


class Progress(_Operation, frozen=True):
    """Progress of the whole search; values outside 0..1 are clamped by the engine."""

    progress: float

    def __post_init__(self) -> None:
        progress = self.progress
        if type(progress) is not float and (isinstance(progress, bool) or not isinstance(progress, (int, float))):
            raise TypeError(f"Progress: progress must be a number, got {progress!r}")
        if not _is_finite(progress):
            raise ValueError(f"Progress: progress must be finite, got {progress}")


class Shutdown(_Operation, frozen=True):
    """End the search; trials still at work finish (or are preempted with ``cancel``, killed with ``failure``)."""

    cancel: bool = False
    failure: bool = False
    reason: Why | None = None


Operation = Create | ValidateAfter | Close | Progress | Shutdown


def _to_json(hparams: Mapping[str, Any]) -> str:
    """JSON text of a mapping.

    Raises:
        TypeError, ValueError: it holds what JSON does not have, such as a number that is not finite.
    """
    for name, value in hparams.items():
        if not (type(name) is str and name.isascii() and _is_simple(value)):
            return json.dumps(dict(hparams), allow_nan=False, separators=(",", ":"))
    # Most hyperparameters are like that, and this encoder is fast; about anything else it has its own opinions.
    return msgspec.json.encode(hparams if type(hparams) is dict else dict(hparams)).decode()


def _is_simple(value: Any) -> bool:
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    return value.isascii() if kind is str else kind is int or kind is bool


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"Create: hparams hold {name}; hyperparameters must be finite")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"Create: hparams hold {text[:30]}; hyperparameters must be finite")
    return value

"""Reads the fields of search operations and events, and says exactly which one is wrong and why."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from determined.domain.reasons import Reason
from determined.wire.values import restore

MAX_HPARAMS_BYTES = 64 * 1024
"""Hyperparameters reach a trial through one environment variable, of which the system takes 128 KiB."""
MAX_REASON_CHARS = 4096
MAX_REASON_NUMBERS = 64
MAX_LENGTH = 2**63 - 1

Fail = Callable[[str, str], NoReturn]
"""Raises the caller's error for a place and a message."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,19}", re.ASCII)


class Fields:
    """Reads checked fields out of one object and names the place of what is wrong."""

    def __init__(self, body: Any, place: str, fail: Fail) -> None:
        self.place = place
        self._fail = fail
        if not isinstance(body, Mapping):
            fail(place, f"must be an object, got {show(body)}")
        self._body = body

    def get(self, name: str) -> Any:
        """The value under either spelling of the name; None when absent."""
        return _either(self._body, name)

    def wrong(self, name: str, message: str) -> NoReturn:
        """Refuse the named field."""
        self._fail(f"{self.place}.{name}", message)

    def request_id(self) -> uuid.UUID:
        """The trial, as the search method named it."""
        return uuid.UUID(self._uuid_text("requestId", self.get("requestId")))

    def checkpoint(self) -> str | None:
        """The checkpoint to start from; it becomes part of a path, so nothing but a UUID will do."""
        value = self.get("sourceCheckpointUuid")
        return None if value is None else self._uuid_text("sourceCheckpointUuid", value)

    def source_trial(self) -> uuid.UUID | None:
        """The trial whose newest checkpoint to start from, as the search method named it."""
        value = self.get("sourceTrialRequestId")
        if value is None:
            return None
        if self.get("sourceCheckpointUuid") is not None:
            self.wrong("sourceTrialRequestId", "cannot be given together with sourceCheckpointUuid; keep one of them")
        return uuid.UUID(self._uuid_text("sourceTrialRequestId", value))

    def _uuid_text(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or not _UUID.fullmatch(value):
            self.wrong(name, f"must be a UUID like {uuid.UUID(int=7)}, got {show(value)}")
        return value

    def length(self, name: str) -> int:
        """An absolute length."""
        value = self.get(name)
        number = integer(value)
        if number is None or not 0 <= number <= MAX_LENGTH:
            self.wrong(name, f"must be an integer between 0 and 2**63 - 1, got {show(value)}")
        return number

    def progress(self) -> float:
        """Progress of the search; its range is the engine's concern."""
        value = self.get("progress")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
            self.wrong("progress", f"must be a finite number, got {show(value)}")
        return float(value)

    def flag(self, name: str) -> bool:
        """A boolean that is false when absent."""
        value = self.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            self.wrong(name, f"must be true or false, got {show(value)}")
        return value

    def reason(self) -> str | Reason | None:
        """The explanation that came with the operation."""
        value = self.get("reason")
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > MAX_REASON_CHARS or not _is_text(value):
            self.wrong("reason", f"must be text of at most {MAX_REASON_CHARS} characters, got {show(value)}")
        numbers = self.get("reasonNumbers")
        return value if numbers is None else Reason.told(value, **self._numbers(numbers))

    def _numbers(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) > MAX_REASON_NUMBERS:
            self.wrong("reasonNumbers", f"must be an object of at most {MAX_REASON_NUMBERS} numbers, got {show(value)}")
        numbers = {str(name): restore(number) for name, number in value.items()}
        for name, number in numbers.items():
            is_short = isinstance(number, (int, float)) or (isinstance(number, str) and len(number) <= MAX_REASON_CHARS)
            if isinstance(number, bool) or not is_short or not _is_text(name):
                self.wrong("reasonNumbers", f"must hold numbers or short texts, got {show(number)} for {show(name)}")
        return numbers

    def hparams(self) -> str:
        """Hyperparameters as the JSON text that was sent."""
        text = self.get("hyperparams")
        if not isinstance(text, str):
            self.wrong("hyperparams", f"must be a JSON object written as a string, got {show(text)}")
        if len(text) > MAX_HPARAMS_BYTES or len(text.encode(errors="replace")) > MAX_HPARAMS_BYTES:
            self.wrong("hyperparams", f"must be at most {MAX_HPARAMS_BYTES} bytes, got {len(text)} characters")
        try:
            _check_hparams(text)
        except (ValueError, RecursionError) as e:
            self.wrong("hyperparams", f"{_why(e)}, got {show(text)}")
        return text


def _check_hparams(text: str) -> None:
    # The check of floats also refuses 1e999, which is legal JSON and reads as infinity.
    parsed = json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique)
    if not isinstance(parsed, dict):
        raise ValueError("must be a JSON object")
    if not _is_text(json.dumps(parsed, ensure_ascii=False)):
        raise ValueError("holds half of a surrogate pair")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name} (hyperparameters must be finite)")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"holds {text[:30]} (hyperparameters must be finite)")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("names a key twice")
    return found


def _why(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"is no JSON ({error.msg} at character {error.pos})"
    return "is nested too deeply" if isinstance(error, RecursionError) else str(error)


def one_of(body: Any, kinds: Sequence[str], place: str, fail: Fail, strict: bool = True) -> tuple[str, Any]:
    """The one kind that an object carries, and what is under it; null means absent.

    Args:
        strict: refuse other keys; else they are ignored.
    """
    allowed = f"(allowed: one of {', '.join(kinds)})"
    if not isinstance(body, Mapping):
        fail(place, f"must be an object {allowed}, got {show(body)}")
    present = {_camel(key): value for key, value in body.items() if value is not None}
    unknown = [name for name in present if name not in kinds]
    found = [name for name in present if name in kinds]
    if unknown and (strict or not found):
        fail(place, f"unknown kind {show(unknown[0])} {allowed}")
    if len(found) != 1:
        fail(place, f"holds {' and '.join(found) or 'nothing'} {allowed}")
    return found[0], present[found[0]]


def _either(body: Mapping[str, Any], name: str) -> Any:
    value = body.get(name)
    return body.get(_snake(name)) if value is None else value


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def _camel(name: str) -> str:
    first, *rest = str(name).split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def integer(value: Any) -> int | None:
    """A number as the wire may write it (integer, integral float, decimal digits); None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if _DECIMAL.fullmatch(value) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def show(value: Any) -> str:
    """A short ASCII picture of a value that a stranger sent."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and value.bit_length() > 128:
        return "a very large integer"
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

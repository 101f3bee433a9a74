"""Values that training code has at hand, as values that JSON has.

NumPy, PyTorch, JAX and TensorFlow are recognised by their methods and never imported.
"""

from __future__ import annotations

import logging
import numbers
import operator
from collections.abc import Mapping
from typing import Any

from determined.core._errors import UnsuitableValue
from determined.errors import FailedPrecondition, InvalidInput
from determined.wire.values import protect

logger = logging.getLogger("determined.core")

_DEEPEST = 100
_INT_BITS = 64
_MOST_STEPS = 2**31 - 1


def to_wire(value: Any, name: str, depth: int = 0) -> Any:
    """``value`` as plain JSON data; non-finite floats become their strings.

    Integers stay integers and floats stay floats.

    Args:
        value: numbers, texts, booleans, None, arrays, tensors; lists and dictionaries of them.
        name: what the value is called, for the error message.
    Raises:
        UnsuitableValue: something in it has no form in JSON; it is a TypeError.
        InvalidInput: an integer beyond 64 bits, or nesting without end.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, numbers.Number):
        return _number(value, name)
    if depth > _DEEPEST:
        raise InvalidInput(f"{name} is nested more than {_DEEPEST} deep; report flat values")
    if isinstance(value, Mapping):
        return {_key(key, name): to_wire(v, f"{name}[{key!r}]", depth + 1) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_wire(v, name, depth + 1) for v in value]
    for method in ("tolist", "numpy"):
        # bytes and memoryview have tolist or not, depending on the kind; neither is a metric.
        if callable(getattr(value, method, None)) and not isinstance(value, memoryview):
            return to_wire(getattr(value, method)(), name, depth + 1)
    raise UnsuitableValue(
        f"{name} is of type {type(value).__module__}.{type(value).__qualname__}, which cannot be reported;"
        " give a number, a text, a boolean, or lists or dictionaries of them"
    )


def _number(value: Any, name: str) -> Any:
    if isinstance(value, numbers.Integral):
        whole = int(value)
        if whole.bit_length() >= _INT_BITS:
            raise InvalidInput(f"{name} is an integer of {whole.bit_length()} bits; at most 63 can be reported")
        return whole
    try:
        return protect(float(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise UnsuitableValue(f"{name} is {type(value).__qualname__} and not a real number ({error})") from error


def _key(key: Any, name: str) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, numbers.Integral):
        return str(int(key))
    raise UnsuitableValue(f"{name} has the key {key!r}; keys must be texts")


def metrics_to_wire(metrics: Any, what: str) -> dict[str, Any]:
    """A dictionary of metrics as plain JSON data; raw bytes are left out with a warning.

    Raises:
        UnsuitableValue: no dictionary, or a metric that cannot be reported, which is named.
    """
    if not isinstance(metrics, Mapping):
        raise UnsuitableValue(f"{what} are {type(metrics).__qualname__}; give a dictionary of names and values")
    dropped = sorted(str(k) for k, v in metrics.items() if isinstance(v, (bytes, bytearray, memoryview)))
    if dropped:
        logger.warning("left out of the %s, because raw bytes cannot be reported: %s", what, ", ".join(dropped))
    return {
        _key(k, what): to_wire(v, f"metric {str(k)!r}")
        for k, v in metrics.items()
        if not isinstance(v, (bytes, bytearray, memoryview))
    }


def refuse_missing(metrics: Any, what: str) -> None:
    """Fail when a metric is None: a validation function that forgot to return is better found at once.

    Raises:
        FailedPrecondition: naming the metrics; it is a RuntimeError.
    """
    missing = sorted(str(k) for k, v in metrics.items() if v is None) if isinstance(metrics, Mapping) else []
    if missing:
        raise FailedPrecondition(f"{what} without a value (None): {', '.join(missing)}; return a number for each")


def steps_to_wire(steps_completed: Any) -> int:
    """``steps_completed`` as an integer; integral floats and NumPy integers are taken.

    Raises:
        UnsuitableValue: not a whole number.
        InvalidInput: negative, or more than 2**31 - 1.
    """
    steps = steps_completed
    if isinstance(steps, float) and steps.is_integer():
        steps = int(steps)
    try:
        whole = operator.index(steps)
    except TypeError as error:
        raise UnsuitableValue(f"steps_completed is {steps_completed!r}; give a whole number") from error
    if isinstance(steps, bool) or not 0 <= whole <= _MOST_STEPS:
        raise InvalidInput(f"steps_completed is {steps_completed!r}; allowed are 0 to {_MOST_STEPS}")
    return whole


def length_to_wire(length: Any, name: str) -> int | float:
    """A partial length as a finite number.

    Raises:
        UnsuitableValue: not a number, or not finite.
    """
    number = to_wire(length, name)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise UnsuitableValue(f"{name} is {length!r}; give a finite number in the unit of the searcher")
    return number

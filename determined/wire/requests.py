"""Bodies of requests: strict about values, lenient about the spelling of fields.

Clients write field names in camelCase or snake_case, 64-bit integers as numbers or as text, and leave out or send
``null`` for what has its default. Only names that a request declares are respelled; free-form values (metrics,
metadata) pass through untouched.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable, Mapping
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from msgspec import Meta, inspect

from determined.errors import InvalidInput

T = TypeVar("T")

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Id = Annotated[int, Meta(ge=1, le=2**31 - 1)]
ShortText = Annotated[str, Meta(max_length=4096)]

MAX_CHECKED_FOR_DUPLICATES: Final = 1 << 20
"""Bodies up to this size are searched for keys that occur twice; in larger ones the last one counts."""


class Empty(msgspec.Struct):
    """An object without fields."""


def decode(body: bytes) -> Any:
    """Parse a body; an empty one is an empty object.

    Raises:
        InvalidInput: it is no JSON, nested too deeply, or holds what no store can keep.
    """
    if not body.strip():
        return {}
    try:
        data = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidInput(f"the body is not usable JSON: {why}") from None
    # A NUL can only come as this escape; the text itself may be an escaped backslash before "u0000".
    if b"\\u0000" in body and _holds_nul(data):
        raise InvalidInput("the body holds a NUL character, which cannot be stored; remove it")
    if body.count(b":") > 1 and len(body) <= MAX_CHECKED_FOR_DUPLICATES:
        _check_keys(body)
    return data


def _check_keys(body: bytes) -> None:
    try:
        json.loads(body.decode(), object_pairs_hook=_unique, parse_int=_nothing, parse_float=_nothing)
    except RecursionError:
        raise InvalidInput("the body is not usable JSON: it is nested too deeply") from None


def convert(data: Any, kind: type[T]) -> T:
    """Parsed JSON as a declared request.

    Raises:
        InvalidInput: naming the field and what is wrong with it.
    """
    shape = _shape(cast(Hashable, kind))
    try:
        # Not strict, so that integers may be text; booleans are never integers.
        return msgspec.convert(data if shape is None else _respelled(data, shape), kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the body is not as it must be: {error}") from None


def parse(body: bytes, kind: type[T]) -> T:
    """A body as a declared request; see ``decode`` and ``convert``."""
    return convert(decode(body), kind)


def camel(name: str) -> str:
    """The lowerCamelCase spelling of a snake_case name; any other name is itself."""
    if "_" not in name:
        return name
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


class _Field(msgspec.Struct, frozen=True):
    name: str
    nullable: bool
    shape: _Shape | None


_Shape = Mapping[str, _Field]


@functools.cache
def _shape(kind: Any) -> _Shape | None:
    """The fields of a declared object under every accepted spelling; None for anything else."""
    return _shape_of(inspect.type_info(kind))


def _shape_of(info: inspect.Type) -> _Shape | None:
    if isinstance(info, inspect.UnionType):
        return next((s for s in map(_shape_of, info.types) if s is not None), None)
    if isinstance(info, inspect.ListType):
        return _shape_of(info.item_type)
    if not isinstance(info, inspect.StructType):
        return None
    fields: dict[str, _Field] = {}
    for f in info.fields:
        members = f.type.types if isinstance(f.type, inspect.UnionType) else (f.type,)
        nullable = any(isinstance(m, inspect.NoneType | inspect.AnyType) for m in members)
        fields[f.name] = fields[f.encode_name] = _Field(f.encode_name, nullable, _shape_of(f.type))
    return fields


def _respelled(data: Any, shape: _Shape) -> Any:
    if isinstance(data, list):
        return [_respelled(item, shape) for item in data]
    if not isinstance(data, dict):
        return data
    clean: dict[str, Any] = {}
    for key, value in data.items():
        field = shape.get(key)
        if field is None or (value is None and not field.nullable):
            continue
        clean[field.name] = value if field.shape is None else _respelled(value, field.shape)
    return clean


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({key for key, _ in pairs}) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidInput(f"the body names the key {twice[:80]!a} twice in one object; keep one")


def _nothing(_: str) -> None:
    """Numbers were read before; they need not be read again, however long."""


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return isinstance(value, dict) and any(_holds_nul(k) or _holds_nul(v) for k, v in value.items())

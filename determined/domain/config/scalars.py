"""What a plain YAML scalar means: null, booleans and numbers as in YAML 1.1; everything else is text.

Two readings of PyYAML are changed. ``1e-3`` is a number although it has no dot, and dates stay text because
JSON has no dates.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import BaseResolver, Resolver

from determined.domain.config.bounds import MAX_DIGITS

_NULL = "tag:yaml.org,2002:null"
_BOOL = "tag:yaml.org,2002:bool"
_INT = "tag:yaml.org,2002:int"
_FLOAT = "tag:yaml.org,2002:float"
_FLOAT_TEXT = re.compile(
    r"""^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
        |[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*
        |[-+]?\.(?:inf|Inf|INF)
        |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)


class _Resolver(BaseResolver):
    """PyYAML's rules for the types that JSON has, with our floats."""


for _first, _rules in Resolver.yaml_implicit_resolvers.items():
    for _tag, _pattern in _rules:
        if _tag in (_NULL, _BOOL, _INT):
            _Resolver.add_implicit_resolver(_tag, _pattern, [_first])
_Resolver.add_implicit_resolver(_FLOAT, _FLOAT_TEXT, list("-+0123456789."))

_RESOLVER: Any = _Resolver()
_CONSTRUCTOR: Any = SafeConstructor()


def scalar(text: str) -> Any:
    """The value of an unquoted scalar.

    Raises:
        ValueError: a number of more than ``MAX_DIGITS`` characters.
    """
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    if tag == _NULL:
        return None
    if tag == _BOOL:
        return SafeConstructor.bool_values[text.lower()]
    if tag in (_INT, _FLOAT):
        return _number(tag, text)
    return text


def _number(tag: str, text: str) -> int | float | str:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} characters is too long (at most {MAX_DIGITS})")
    node = yaml.ScalarNode(tag, text)
    try:
        number: int | float = (
            _CONSTRUCTOR.construct_yaml_int(node) if tag == _INT else _CONSTRUCTOR.construct_yaml_float(node)
        )
    except (ValueError, OverflowError):
        # The patterns let through a few texts that are no numbers after all, such as ``0x_``.
        return text
    return number

"""Search methods by name, ``module:Class``, as every tool for their authors takes them on its command line."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from determined.domain.search_method import SearchMethod
from determined.errors import InvalidInput

Factory = Callable[[], SearchMethod]
"""Makes a method as it is at the beginning of a search; a new one at each call."""

_FORM = "write module:Class or module:function, as in my_search:MySearchMethod"


def load_factory(spec: str, args: Mapping[str, Any] | None = None, known: Mapping[str, Any] | None = None) -> Factory:
    """What makes the search method that a text names; modules are looked for in the working directory first.

    Args:
        spec: ``module:Class`` or ``module:function``; the function returns a method.
        args: arguments by name.
        known: values for arguments of these names that ``args`` does not give, for a class or function that has them.
    Raises:
        InvalidInput: there is no such thing, or it cannot be called so. What it raises when it is called, or that it
            makes no search method, is told by the factory, as ``InvalidInput`` too.
    """
    module_name, colon, name = spec.partition(":")
    if not colon or not module_name or not name:
        raise InvalidInput(f"{spec!r} names no search method; {_FORM}")
    target = _member(_module(module_name, spec), name, spec)
    if not callable(target):
        raise InvalidInput(f"{spec} is {target!r:.60}, which makes no search method; {_FORM}")
    arguments = _arguments(target, dict(args or {}), dict(known or {}), spec)
    return lambda: _make(target, arguments, spec)


def _module(name: str, spec: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidInput(
                f"{spec}: there is no module {error.name!r} in {here} or on Python's path; "
                "run this in the folder of its file, and give the file's name without .py"
            ) from error
        raise InvalidInput(_failed(spec, f"module {name} cannot be imported", error)) from error
    except Exception as error:
        raise InvalidInput(_failed(spec, f"module {name} cannot be imported", error)) from error


def _member(module: Any, name: str, spec: str) -> Any:
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [n for n, value in vars(module).items() if _is_method(value)]
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"its search methods are: {', '.join(known) or 'none'}"
            raise InvalidInput(f"{spec}: module {module.__name__} has no {part!r}; {hint}")
        found = getattr(found, part)
    return found


def _is_method(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, SearchMethod) and not inspect.isabstract(value)


def _arguments(target: Any, args: dict[str, Any], known: dict[str, Any], spec: str) -> dict[str, Any]:
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return args
    args = {**{p.name: known[p.name] for p in parameters_of(target) if p.name in known}, **args}
    try:
        signature.bind(**args)
    except TypeError as error:
        raise InvalidInput(
            f"{spec} cannot be called with {', '.join(args) or 'no arguments'}: {error}; it takes {signature}. "
            "Give arguments by name as a JSON object."
        ) from None
    return args


def parameters_of(target: Any) -> Iterator[inspect.Parameter]:
    """What something may be called with; of a class that hands arguments on to its bases, what those take, too.

    A parameter that several classes have comes several times, that of the class itself first; none come from what
    Python cannot look into.
    """
    bases = iter(target.__mro__[1:] if isinstance(target, type) else ())
    called = target
    while called is not None:
        try:
            parameters = inspect.signature(called).parameters.values()
        except (TypeError, ValueError):
            return
        yield from parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return
        called = next((b for b in bases if "__init__" in vars(b) and b is not object), None)


def _make(target: Any, args: dict[str, Any], spec: str) -> SearchMethod:
    try:
        made = target(**args)
    except Exception as error:
        raise InvalidInput(_failed(spec, "it cannot be made", error)) from error
    if not isinstance(made, SearchMethod):
        raise InvalidInput(f"{spec} made {made!r:.60}, which is no SearchMethod; {_FORM}")
    return made


def _failed(spec: str, what: str, error: Exception) -> str:
    return f"{spec}: {what}: {type(error).__name__}: {error}{where(error)}"


def where(error: BaseException) -> str:
    """The place in the user's own code that raised, as `` (file, line N)``; "" when there is none."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(("<frozen", _OURS))]
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


_OURS = str(Path(__file__).parent.parent)

"""Counts what one call of C code goes through, such as ``sum(numbers)`` or ``x in a_list``.

Tracing sees the steps of Python only. So functions run from a copy of their code in which such an expression also says
how many members it walks over. The copy is made from the source, and put back when the counting ends; a function whose
source is not the one that it was made from is left alone.
"""

from __future__ import annotations

import ast
import functools
import gc
import heapq
import linecache
import math
import sys
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import BuiltinFunctionType, CodeType, FunctionType, MethodDescriptorType
from typing import Any

_VALUES: type[Any] = type({}.values())
_SIZED: tuple[type[Any], ...] = (list, tuple, set, frozenset, dict, deque, type({}.keys()), _VALUES, type({}.items()))
_OWNERS = (*_SIZED, str)
_SEQUENCES = (list, tuple, deque)
_STOP_EARLY = (any, all)
_TAKE_MAPPINGS: tuple[Any, ...] = (dict, Counter)
_WALKING: tuple[Any, ...] = (
    *_STOP_EARLY,
    *_TAKE_MAPPINGS,
    *(sum, min, max, sorted, list, tuple, set, frozenset, deque, heapq.heapify, math.fsum, math.prod),
)
_WALKING_IDS = frozenset(map(id, _WALKING))
_OVER_ITSELF = {"copy", "sort", "reverse"}
_UP_TO_A_MEMBER = {"index", "remove"}
_OVER_ARGUMENTS = {"extend", "update", "union", "difference", "difference_update", "join"}
_METHODS = {"count", *_OVER_ITSELF, *_UP_TO_A_MEMBER, *_OVER_ARGUMENTS}
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.BitOr, ast.BitAnd)

Count = Callable[[CodeType, int], None]
"""Takes note that this code has walked over so many members."""


@contextmanager
def counted(files: Iterable[str], count: Count) -> Iterator[None]:
    """All functions of some files count what they walk over."""
    table: dict[str, dict[CodeType, CodeType]] = {}
    walker = _Walker(count)
    for file in sorted(set(files)):
        table[file] = _rewritten(file, "".join(linecache.getlines(file)), walker)
    changed: list[tuple[FunctionType, CodeType]] = []
    try:
        for function in [found for found in gc.get_objects() if type(found) is FunctionType]:
            before = function.__code__
            after = table.get(before.co_filename, {}).get(before)
            if after is not None:
                changed.append((function, before))
                function.__code__ = after
        yield
    finally:
        for function, before in changed:
            function.__code__ = before
        walker.count = _ignore


def _ignore(code: CodeType, number: int) -> None:
    """What functions do that were made while it was counted, and outlive that."""


class _Walker:
    """What stands in the place of expressions that may walk over something."""

    def __init__(self, count: Count) -> None:
        self.count = count

    def called(self, function: Any) -> Any:
        """What is called instead of a function: itself, unless it is known to walk over what it is given."""
        kind = type(function)
        if id(function) in _WALKING_IDS:
            return functools.partial(self._walk, function, sys._getframe(1).f_code)
        if kind is BuiltinFunctionType and function.__name__ in _METHODS and type(function.__self__) in _OWNERS:
            return functools.partial(self._call_method, function, sys._getframe(1).f_code)
        if kind is MethodDescriptorType and function.__name__ in _METHODS and function.__objclass__ in _OWNERS:
            return functools.partial(self._call_descriptor, function, sys._getframe(1).f_code)
        return function

    def contains(self, member: Any, container: Any) -> bool:
        """``member in container``."""
        if type(container) in _SEQUENCES:
            place = _place(container, member)
            self.count(sys._getframe(1).f_code, len(container) if place is None else place + 1)
            return place is not None
        if type(container) is _VALUES:
            self.count(sys._getframe(1).f_code, len(container))
        return member in container

    def made(self, value: Any) -> Any:
        """A value that an operator, a slice or a star has made."""
        if type(value) in _SIZED:
            self.count(sys._getframe(1).f_code, len(value))
        return value

    def _walk(self, function: Any, code: CodeType, /, *args: Any, **kwargs: Any) -> Any:
        if not args or (function in (min, max) and len(args) > 1):
            self.count(code, len(args))
            return function(*args, **kwargs)
        first, *rest = args
        if type(first) in _SIZED and function not in _STOP_EARLY:
            self.count(code, len(first))
        elif hasattr(type(first), "__iter__") and not _needs_as_it_is(function, first):
            first = self._each(first, code)
        return function(first, *rest, **kwargs)

    def _call_method(self, method: Any, code: CodeType, /, *args: Any, **kwargs: Any) -> Any:
        owner, name = method.__self__, method.__name__
        if name in _OVER_ARGUMENTS:
            self.count(code, sum(len(given) for given in args if type(given) in _SIZED))
        elif name in _UP_TO_A_MEMBER and args and type(owner) in _SEQUENCES:
            place = _place(owner, args[0])
            self.count(code, len(owner) if place is None else place + 1)
        elif name == "count" or name in _OVER_ITSELF:
            self.count(code, len(owner))
        return method(*args, **kwargs)

    def _call_descriptor(self, method: Any, code: CodeType, /, *args: Any, **kwargs: Any) -> Any:
        if not args or not isinstance(args[0], method.__objclass__):
            return method(*args, **kwargs)
        return self._call_method(method.__get__(args[0]), code, *args[1:], **kwargs)

    def _each(self, members: Iterable[Any], code: CodeType) -> Iterator[Any]:
        for member in members:
            self.count(code, 1)
            yield member


def _needs_as_it_is(function: Any, given: Any) -> bool:
    """Whether an iterator over the same members would not do."""
    return function is heapq.heapify or (function in _TAKE_MAPPINGS and hasattr(given, "keys"))


def _place(sequence: Any, member: Any) -> int | None:
    try:
        return int(sequence.index(member))
    except ValueError:
        return None


_CALLED, _CONTAINS, _MADE = (f"\0counted {name}" for name in ("called", "contains", "made"))
"""Texts that stand for the walker's functions until the code is compiled."""


def _rewritten(file: str, source: str, walker: _Walker) -> dict[CodeType, CodeType]:
    """The code of each function of a file, and what is to run instead."""
    with warnings.catch_warnings():
        # The texts that are called look like a mistake, and what the file itself is warned for is not our matter.
        warnings.simplefilter("ignore")
        try:
            plain = compile(source, file, "exec", dont_inherit=True)
            tree = ast.fix_missing_locations(_Rewriter().visit(ast.parse(source)))
            changed = compile(tree, file, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError):
            return {}
    stand_ins = {_CALLED: walker.called, _CONTAINS: walker.contains, _MADE: walker.made}
    return dict(_pairs(plain, _filled(changed, stand_ins)))


def _pairs(plain: CodeType, changed: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    inner, others = ([c for c in code.co_consts if isinstance(c, CodeType)] for code in (plain, changed))
    # The same definitions come in the same order, unless a compiler leaves something out.
    if [c.co_name for c in inner] != [c.co_name for c in others]:
        return
    for one, other in zip(inner, others, strict=True):
        # Code compares equal by what it does, its name and its lines.
        if one.co_freevars == other.co_freevars and one.co_firstlineno == other.co_firstlineno:
            yield one, other
            yield from _pairs(one, other)


def _filled(code: CodeType, stand_ins: Mapping[str, Any]) -> CodeType:
    def fill(value: Any) -> Any:
        if isinstance(value, CodeType):
            return _filled(value, stand_ins)
        return stand_ins.get(value, value) if isinstance(value, str) else value

    return code.replace(co_consts=tuple(map(fill, code.co_consts)))


class _Rewriter(ast.NodeTransformer):
    """Puts the walker's functions into a tree."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        # The compiler knows this one by its name.
        if not (isinstance(node.func, ast.Name) and node.func.id == "super"):
            node.func = _call(_CALLED, node.func)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if len(node.ops) > 1 or not isinstance(node.ops[0], (ast.In, ast.NotIn)):
            return node
        found = _call(_CONTAINS, node.left, node.comparators[0])
        is_in = isinstance(node.ops[0], ast.In)
        return found if is_in else ast.copy_location(ast.UnaryOp(ast.Not(), found), node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        is_plain = any(isinstance(side, ast.Constant) for side in (node.left, node.right))
        can_make = isinstance(node.op, _OPERATORS) and (isinstance(node.op, ast.Mult) or not is_plain)
        return _call(_MADE, node) if can_make else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        return _call(_MADE, node) if isinstance(node.slice, ast.Slice) and isinstance(node.ctx, ast.Load) else node

    def visit_List(self, node: ast.List) -> ast.expr:
        return self._display(node)

    def visit_Tuple(self, node: ast.Tuple) -> ast.expr:
        return self._display(node)

    def visit_Set(self, node: ast.Set) -> ast.expr:
        self.generic_visit(node)
        return _call(_MADE, node) if any(isinstance(e, ast.Starred) for e in node.elts) else node

    def visit_Dict(self, node: ast.Dict) -> ast.expr:
        self.generic_visit(node)
        return _call(_MADE, node) if None in node.keys else node

    def visit_match_case(self, node: ast.match_case) -> ast.match_case:
        # A pattern is no expression, though it may look like one.
        node.guard = None if node.guard is None else self.visit(node.guard)
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def _display(self, node: ast.List | ast.Tuple) -> ast.expr:
        self.generic_visit(node)
        has_star = any(isinstance(e, ast.Starred) for e in node.elts)
        return _call(_MADE, node) if has_star and isinstance(node.ctx, ast.Load) else node


def _call(name: str, first: ast.expr, *more: ast.expr) -> ast.expr:
    return ast.copy_location(ast.Call(ast.copy_location(ast.Constant(name), first), [first, *more], []), first)

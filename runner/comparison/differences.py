"""Differences between the objects of a running script and of a copy of its source.

A script may change a class after its definition, e.g. with `Net.scale = 2`. Its source is then not
the class that runs. Objects are compared by structure: their types, their code and their values.
"""

import bisect
import dis
import functools
import inspect
import math
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
)
from typing import Any

from runner.comparison.constants import SCALARS
from runner.comparison.source_text import FUTURE_ANNOTATIONS
from runner.wording.output import truncate_middle

WITHOUT_EFFECT = {
    "__abstractmethods__",
    "__annotations__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__qualname__",
    "__slotnames__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}
"""Attributes of a class that do not change its results, or that follow from others."""

MISSING = object()


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # an empty cell
        return MISSING


PARTS: dict[Any, dict[str, Callable[[Any], Any]]] = {
    FunctionType: {
        "": lambda function: code_key(function.__code__),
        ".__defaults__": operator.attrgetter("__defaults__"),
        ".__kwdefaults__": operator.attrgetter("__kwdefaults__"),
        " ": operator.attrgetter("__closure__"),
        "  ": operator.attrgetter("__dict__"),
    },
    (staticmethod, classmethod, MethodType): {"": operator.attrgetter("__func__")},
    property: {"": operator.attrgetter("fget", "fset", "fdel")},
    functools.cached_property: {"": operator.attrgetter("func")},
    CellType: {"": _content},
}
"""Type -> the parts of its objects. The names are those in a path, without spaces."""


class DifferenceSearch:
    """A search for the first difference between two objects, which may refer to themselves."""

    def __init__(self) -> None:
        self._visited: dict[tuple[int, int], tuple[object, object]] = {}

    def find(self, live: Any, copy: Any, path: str) -> str | None:
        """Return the path of the first difference, e.g. `Net.forward`; None without one.

        `path` is the name of both objects.
        """
        pair = (id(live), id(copy))
        if live is copy or pair in self._visited:
            return None
        self._visited[pair] = (live, copy)  # the reference keeps the number from being used again
        if isinstance(live, type) and isinstance(copy, type):
            return self._find_in_classes(live, copy, path)
        if isinstance(live, ModuleType | BuiltinFunctionType) or type(live) in SCALARS:
            return None if _same_scalar(live, copy) else path
        if self.find(type(live), type(copy), path):
            return path
        for name, one, other in self._parts(live, copy):
            if place := self.find(one, other, f"{path}{name}"):
                return place
        return None

    def _find_in_classes(self, live: type, copy: type, path: str) -> str | None:
        if live.__qualname__ != copy.__qualname__:
            return path
        if self.find(live.__bases__, copy.__bases__, path):
            return f"{path}.__bases__"
        mine, other = vars(live), vars(copy)
        for name in dict.fromkeys((*mine, *other)):
            if name not in WITHOUT_EFFECT:
                values = mine.get(name, MISSING), other.get(name, MISSING)
                if place := self.find(*values, f"{path}.{name}"):
                    return place
        return None

    def _parts(self, live: Any, copy: Any) -> Iterator[tuple[str, Any, Any]]:
        """Yield the parts of two objects of one type: what to add to the path, and both parts."""
        if isinstance(live, Mapping) and _is_plain(live):
            yield "", len(live), len(copy)
            for pair, other in zip(live.items(), copy.items(), strict=True):
                yield "", pair[0], other[0]
                yield f"[{truncate_middle(repr(pair[0]), 40)}]", pair[1], other[1]
        elif isinstance(live, list | tuple | set | frozenset) and _is_plain(live):
            yield "", len(live), len(copy)
            for one, other in zip(_in_order(live), _in_order(copy), strict=True):
                yield "", one, other
        else:
            for name, take in next(
                (parts for kinds, parts in PARTS.items() if isinstance(live, kinds)),
                {"": _tensor_key if _is_tensor(live) else _state},
            ).items():
                yield name.strip(), take(live), take(copy)


def code_key(code: CodeType) -> tuple[object, ...]:
    """Return all of a code object that changes its results, so not its file and lines.

    Python calls a method of a module in another way if one file has the import and the call. Both
    ways have the same key.
    """
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("PUSH_NULL", "NOP")]
    places = [step.offset for step in steps]
    operations = tuple(
        (
            "LOAD_ATTR" if step.opname == "LOAD_METHOD" else step.opname,
            bisect.bisect_left(places, step.argval)
            if step.opcode in (*dis.hasjrel, *dis.hasjabs)
            else _argument_key(step.argval),
        )
        for step in steps
    )
    names = code.co_varnames, code.co_freevars, code.co_cellvars
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    return code.co_name, *names, *counts, code.co_flags & ~FUTURE_ANNOTATIONS, operations


def _argument_key(value: object) -> tuple[object, ...]:
    return code_key(value) if isinstance(value, CodeType) else (type(value).__name__, repr(value))


def _same_scalar(live: Any, copy: Any) -> bool:
    if type(live) is not type(copy):
        return False
    if isinstance(live, float) and math.isnan(live):
        return math.isnan(copy)
    return bool(live == copy)


def _is_plain(value: object) -> bool:
    """Return whether a container is one of Python's own, without state of a subclass."""
    return type(value).__module__ in ("builtins", "collections", "types")


def _in_order(values: Any) -> list[Any]:
    return sorted(values, key=repr) if isinstance(values, set | frozenset) else list(values)


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _tensor_key(tensor: Any) -> tuple[object, ...]:
    form = str(tensor.dtype), tuple(tensor.shape), str(tensor.device), tensor.requires_grad
    if tensor.is_meta:
        return form
    # NaN is equal to NaN here
    return *form, repr(tensor.detach().cpu().tolist())


def _state(value: Any) -> Any:
    """Return the parts from which Python would rebuild an object; None if it has none."""
    if inspect.isgetsetdescriptor(value) or inspect.ismemberdescriptor(value):
        return value.__name__
    try:
        state = value.__reduce_ex__(4)
    except Exception:  # e.g. a lock
        return None
    if not isinstance(state, tuple):
        return state
    return tuple(list(each) if isinstance(each, Iterator) else each for each in state)

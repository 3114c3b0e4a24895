"""Faults of registration: trained tensors that the optimizer or a checkpoint misses.

- A call creates, replaces or removes a parameter, or creates or resizes a stored buffer.
- A list, tuple or dict holds modules or trained tensors. torch registers neither.
- The output depends on any other trained tensor that is not a parameter of the module.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

from experiments.estimates.fault import ModuleFault

DEPTH = 4  # levels of containers and objects in an attribute that are searched
MOST_ENTRIES = 500  # entries of a container that are searched; a table of numbers may have millions
REGISTERED = ("_parameters", "_buffers", "_modules")  # attributes in which torch registers
Description = Mapping[str, tuple[int, tuple[int, ...]]]


def describe_registered(module: nn.Module) -> Description:
    """Return the identity and the shape of each parameter and each stored buffer by name.

    The identity of a buffer is 0, since a call may replace it by another tensor of its shape.
    """
    parameters = {name: (id(p), tuple(p.shape)) for name, p in module.named_parameters()}
    stored = {
        name: (0, tuple(each.shape))
        for name, each in module.state_dict(keep_vars=True).items()
        if isinstance(each, Tensor) and not isinstance(each, nn.Parameter)
    }
    return {**stored, **parameters}


def check_registered(before: Description, module: nn.Module) -> None:
    """Raise ModuleFault if calls have changed the registered tensors that `before` describes."""
    after = describe_registered(module)
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        own_name = name.removeprefix("module.")
        is_parameter = (new or old or (0,))[0] != 0
        if new is None:
            kind = "parameter" if is_parameter else "buffer"
            clause = f"a call removes the {kind} {own_name}"
        elif is_parameter:
            clause = f"a call creates or replaces the parameter {own_name}"
        else:
            clause = f"a call creates or resizes the buffer {own_name}"
        if is_parameter:
            raise ModuleFault(f"{clause}, so the optimizer misses it; create it in __init__")
        raise ModuleFault(
            f"{clause}, so no checkpoint can be resumed; create it in __init__, or register it "
            "with persistent=False"
        )


def check_hidden(module: nn.Module, call: Callable[[bool], Tensor]) -> None:
    """Raise ModuleFault for parameters that torch does not register.

    Args:
        module: the user's module.
        call: returns the output for one input, with gradients, in training mode or in eval mode.
    """
    registered = {id(each) for each in module.parameters()}
    for place, hidden, container in find_in_containers(module):
        # A view of a parameter that a call without gradients has kept looks like a trained tensor.
        own = [each for each in trained_tensors(hidden) if each._base is None]
        if any(id(each) not in registered for each in own):
            raise ModuleFault(describe_hidden(place, hidden, container))
    for training in (True, False):
        # A tensor that both calls use existed before the second one: no call creates it.
        first, second = (trained_leaves(call(training)) for _ in range(2))
        for identity, leaf in second.items():
            if identity in first and identity not in registered:
                raise ModuleFault(describe_leaf(module, leaf))


def trained_leaves(output: Tensor) -> dict[int, Tensor]:
    """Return the tensors, by identity, that get a gradient from an output."""
    leaves: dict[int, Tensor] = {}
    visited: set[Any] = set()
    nodes: list[Any] = [output.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        if isinstance(leaf := getattr(node, "variable", None), Tensor):
            leaves[id(leaf)] = leaf
        nodes += [following for following, _ in node.next_functions]
    return leaves


Place = tuple[str, nn.Module | Tensor, str]
"""Where a module or a trained tensor is, the object, and the type of its container or ""."""


def find_in_containers(module: nn.Module) -> Iterator[Place]:
    """Yield trained tensors in plain attributes, and modules in lists, tuples, sets and dicts."""
    for path, child in module.named_modules():
        for name, value in vars(child).items():
            if name in REGISTERED:
                continue
            place = f"{path}.{name}" if path else name
            for entry in search(value, place, DEPTH):
                if entry[2] or isinstance(entry[1], Tensor):
                    yield entry


def search(
    value: Any, place: str, depth: int, container: str = "", *, everywhere: bool = False
) -> Iterator[Place]:
    """Yield modules and trained tensors in a value and its containers, `depth` levels deep.

    With `everywhere`, also in the attributes of objects and in the variables of functions.
    """
    if isinstance(value, nn.Module):
        yield place, value, container
    elif isinstance(value, Tensor):
        if value.requires_grad and value.is_leaf:
            yield place, value, container
    elif depth and isinstance(value, Mapping):
        for key, each in islice(value.items(), MOST_ENTRIES):
            inner = f"{place}[{key!r}]"
            yield from search(each, inner, depth - 1, "dict", everywhere=everywhere)
    elif depth and isinstance(value, list | tuple | set | frozenset | deque):
        kind = type(value).__name__ if type(value) in (list, set, frozenset, deque) else "tuple"
        for index, each in enumerate(islice(value, MOST_ENTRIES)):
            inner = f"{place}[{index}]"
            yield from search(each, inner, depth - 1, kind, everywhere=everywhere)
    elif depth and everywhere:
        for name, each in inner_values(value):
            yield from search(each, f"{place}{name}", depth - 1, "object", everywhere=True)


def inner_values(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values in an object or a function, with the ends of their places."""
    if isinstance(value, type | ModuleType):
        return
    if isinstance(value, partial):
        yield from (("", each) for each in (value.func, value.args, value.keywords))
    elif isinstance(value, MethodType):
        yield "", value.__self__
    elif isinstance(value, FunctionType):
        cells = value.__closure__ or ()
        for name, cell in zip(value.__code__.co_freevars, cells, strict=True):
            try:
                yield f" (its {name})", cell.cell_contents
            except ValueError:  # a variable without a value
                continue
    else:
        for name, each in getattr(value, "__dict__", {}).items():
            yield f".{name}", each


def describe_hidden(place: str, hidden: nn.Module | Tensor, container: str) -> str:
    """Return the clause on a module or a tensor in a plain attribute."""
    holder = f" in a plain {container}" if container else ""
    if isinstance(hidden, nn.Module):
        mends = {
            "": "self.name = module in __init__",
            "object": "self.name = module in __init__",
            "dict": "nn.ModuleDict or nn.ModuleList",
        }
        return (
            f"its attribute {place} is a module ({type(hidden).__name__}){holder}, so "
            "torch does not register its parameters and the optimizer misses them; "
            f"use {mends.get(container, 'nn.ModuleList')}"
        )
    mend = {"": "nn.Parameter", "object": "nn.Parameter"}.get(container, "nn.ParameterList")
    return (
        f"its attribute {place} is a trained tensor of shape {tuple(hidden.shape)}{holder} that "
        f"torch does not register, so the optimizer misses it; use {mend}"
    )


def describe_leaf(module: nn.Module, leaf: Tensor) -> str:
    """Return the clause on a trained tensor that is not a parameter of the module."""
    for name, buffer in module.named_buffers():
        if buffer is leaf:
            return (
                f"its buffer {name} needs a gradient, but the optimizer trains parameters only; "
                "make it an nn.Parameter"
            )
    for place, hidden, container in places_of_attributes(module):
        if any(each is leaf for each in trained_tensors(hidden)):
            return describe_hidden(place, hidden, container)
    return (
        f"its output depends on a trained tensor of shape {tuple(leaf.shape)} that is not a "
        "parameter, so the optimizer misses it; create it in __init__"
    )


def trained_tensors(hidden: nn.Module | Tensor) -> list[Tensor]:
    """Return the parameters of a module that are not frozen, or a trained tensor alone."""
    tensors = hidden.parameters() if isinstance(hidden, nn.Module) else [hidden]
    return [each for each in tensors if each.requires_grad]


def places_of_attributes(module: nn.Module) -> Iterator[Place]:
    """Yield modules and trained tensors in all attributes, also those of the class."""
    for path, child in module.named_modules():
        for values in (vars(child), *(vars(each) for each in type(child).__mro__)):
            for name, value in [*values.items()]:
                if name not in REGISTERED:
                    place = f"{path}.{name}" if path else name
                    yield from search(value, place, DEPTH, everywhere=True)

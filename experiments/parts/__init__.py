"""The parts that arms compare: a file each, with options, rules, cost and module.

A file is imported when its part may be asked for (`load`), never from here: the hash of the code
behind an arm follows imports, and must not change when another part does.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import TypeVar

from experiments.parts.base import NormSlots, Part
from experiments.parts.cost import Cost
from experiments.rules import check_dataclass

__all__ = ["PARTS", "Cost", "NormSlots", "Part", "load", "part"]

PARTS: dict[str, dict[str, type[Part]]] = {"attention": {}, "ffn": {}, "norm": {}}
"""Group -> kind -> options. Ours are among them after `load`."""

P = TypeVar("P", bound=type)


def part(group: str, kind: str) -> Callable[[P], P]:
    """Register a dataclass as the part `kind` of a group: `@part("ffn", "mine")`.

    Raises:
        ValueError: there is no such group, the class lacks what a part needs, or another part has
            this name.
    """

    def register(options: P) -> P:
        name = f"@part({group!r}, {kind!r}) on {options.__name__}"
        if group not in PARTS:
            raise ValueError(f"{name}: there is no such group; choose one of {', '.join(PARTS)}")
        if not issubclass(options, Part):
            raise ValueError(f"{name}: write it as class {options.__name__}(Part)")
        if inspect.isabstract(options):
            lacking = ", ".join(sorted(options.__abstractmethods__))
            raise ValueError(f"{name}: it has no {lacking}; experiments/parts/ffn.py is an example")
        check_dataclass(name, options)
        if not options.__module__.startswith(f"{__name__}."):
            load()  # so that a name of ours is refused to a plug-in, and not the other way round
        other = PARTS[group].get(kind)
        if other and (other.__module__, other.__name__) != (options.__module__, options.__name__):
            raise ValueError(f"{name}: {other.__module__} has this kind already; choose another")
        PARTS[group][kind] = options
        return options

    return register


@functools.cache  # asked often, and the folder does not change
def load() -> None:
    """Import all files of this folder, so that their parts are in `PARTS`."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")

"""The parts that arms compare. Each part has one file with its options, rules, cost and module.

`load` imports these files; this file does not. The code hash of an arm follows imports, and must
not change when a part changes that the arm does not use.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import TypeVar

from experiments.parts.base import NormSlots, Part
from experiments.parts.cost import Cost
from experiments.rules import (
    NOT_GIVEN,
    check_dataclass,
    check_former_members,
    check_is_class,
    check_name_is_free,
    check_names_are_given,
    check_option_name,
)

__all__ = ["PARTS", "Cost", "NormSlots", "Part", "load", "part"]

PARTS: dict[str, dict[str, type[Part]]] = {
    "attention": {},
    "ffn": {},
    "norm": {},
    "language_model": {},
}
"""Group -> kind -> class of options. `load` adds the parts of this package."""

P = TypeVar("P", bound=type)

FORMER_MEMBERS = {
    "crosses": "supports_cross_attention",
    "kept_per_sequence": "saved_activations_per_sequence",
    "kept_per_token": "saved_activations_per_token",
    "keywords": "module_kwargs",
    "slots": "norm_slots",
    "writes": "writes_to_residual",
}
"""Former name of a member of `Part` -> its name."""


def part(group: str = NOT_GIVEN, kind: str = NOT_GIVEN) -> Callable[[P], P]:
    """Register a dataclass as the part `kind` of a group: `@part("ffn", "mine")`.

    The class extends `Part`, or it is a plain one with `build(self, d_model)`, which may return any
    module. `experiments.parts.plain.PlainPart` has the rules for plain classes. The name of a plain
    class then refers to the derived `Part`.

    Raises:
        ValueError: the group does not exist, another part of the group has this kind, or the class
            breaks a rule of parts.
    """
    check_names_are_given('@part("ffn", "mine")', group, kind)

    def register(options: P) -> P:
        mark = f"@part({group!r}, {kind!r})"
        check_is_class(mark, options, "class Mine with build(self, d_model)")
        name = f"{mark} on {options.__name__}"
        if group not in PARTS:
            raise ValueError(f"{name}: there is no such group; choose one of {', '.join(PARTS)}")
        check_option_name(name, kind)
        if not issubclass(options, Part) or options.is_plain:
            # By name: a static import would add this file to the code hash of every arm.
            plain = importlib.import_module(f"{__name__}.plain")
            options = plain.derive_part(group, kind, options)
        check_dataclass(name, options)
        is_own = options.__module__.startswith(f"{__name__}.")
        if not is_own and not getattr(options, "is_plain", False):
            rules = importlib.import_module(f"{__name__}.plain_rules")  # by name, as above
            rules.check_full_class(name, options)
        if inspect.isabstract(options):
            missing = ", ".join(sorted(getattr(options, "__abstractmethods__", ())))
            raise ValueError(f"{name}: it has no {missing}; experiments/parts/ffn.py is an example")
        check_former_members(name, options, FORMER_MEMBERS)
        if not is_own:
            load()  # before a plug-in registers, so that it cannot take a kind of this package
        check_name_is_free(name, options, PARTS[group].get(kind))
        PARTS[group][kind] = options
        return options

    return register


@functools.cache  # called often, while the folder does not change
def load() -> None:
    """Import all files of this folder, which adds their parts to `PARTS`."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")

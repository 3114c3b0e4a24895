"""Parts from plain dataclasses, whose `build(d_model)` returns any module with `forward(x)`.

A plain class does not extend `Part`. `derive_part` makes a `Part` of it. The engine then uses it as
any other part. Its cost is counted from the module that it builds.
"""

import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from experiments.parts.base import Part
from experiments.parts.cost import Cost
from experiments.parts.counted_cost import count_cost

if TYPE_CHECKING:
    from torch import nn


@dataclass
class PlainPart(Part):
    """A part whose module follows no rules of ablab, except that it keeps the shape of its input.

    Attributes:
        group: the group of the part: attention, ffn or norm.
    """

    group: ClassVar[str]

    def build_plain(self, d_model: int) -> "nn.Module":
        """Return the module as the user's class builds it."""
        raise NotImplementedError

    def cost(self, d_model: int, length: int) -> Cost:
        """Return the cost that is counted from the module."""
        return count_cost(self, d_model, length)


def derive_part(group: str, options: Any) -> type[PlainPart]:
    """Return a `Part` that has the fields and methods of a plain dataclass."""
    build_plain = options.build

    def build(self: PlainPart, d_model: int) -> "nn.Module":
        from experiments.nn.plain_module import adapt_module

        return adapt_module(group, build_plain(self, d_model))

    members = {
        "__module__": options.__module__,
        "__qualname__": options.__qualname__,
        "__doc__": options.__doc__,
        "group": group,
        "build_plain": build_plain,
        "build": build,
    }
    derived = types.new_class(
        options.__name__,
        (options, PlainPart),
        exec_body=lambda namespace: namespace.update(members),
    )
    return dataclass(derived)

"""Parts from plain classes, whose `build(d_model)` returns any module with `forward(x)`.

A plain class does not extend `Part`. `derive_part` makes a `Part` of it. The engine then uses it as
any other part. Its cost is counted from the module that it builds, unless it defines `cost`.
"""

import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from experiments.class_rules import check_fields
from experiments.parts.base import NormSlots, Part
from experiments.parts.cost import Cost
from experiments.parts.counted_cost import count_cost
from experiments.parts.plain_rules import check_plain_class, get_own_annotations, read_writers

if TYPE_CHECKING:
    from torch import nn


@dataclass
class PlainPart(Part):
    """A part whose module follows no rules of ablab, except that it keeps the shape of its input.

    The user's class is a dataclass with `build(self, d_model)`, or a class without fields. It may
    define each member of `Part`, as a class attribute, a field or a property, and these two:

    - `keeps_initial_weights = True` keeps all parameters as the constructor sets them. By default
      the weights of linear layers, convolutions and embeddings are drawn as in ablab's modules, and
      their biases are 0. Other parameters keep their values. `experiments.nn.initialise` has the
      rules.
    - `residual_writers = ("proj",)` names the layers that return the module's output, where `*` is
      any text. By default they are each nn.Linear whose output is the output of the module. With
      `model.init=scaled` their initial weights are smaller. Their inputs are the hidden values that
      experiment=ffn measures.

    The module:

    - `forward(x)` returns y of the shape of x, or a tuple that begins with y.
    - A parameter `keep` receives the padding mask, True at kept positions, or None. Attention
      without this parameter is refused where a batch has padding.
    - A feed-forward network may also return its `Routing` (`experiments.nn.moe.routing`). Its
      auxiliary loss is trained, and the module's `after_step(routing)` is called.
    - Attention must be causal. It gets no positions: as ablab's `mha`, which rotates queries and
      keys, it has its own. With `sinusoids = True` the model adds sinusoids to its input.

    Attributes:
        group: the group of the part: attention, ffn, norm or language_model. A language model is
            built by `build(self, vocabulary)`, and maps token ids (batch, time) to logits.
        keeps_initial_weights: whether parameters keep the values of the constructor.
        residual_writers: names of the layers that return the output; () to find them.
    """

    is_plain: ClassVar[bool] = True
    group: ClassVar[str]
    keeps_initial_weights: ClassVar[bool] = False
    residual_writers: ClassVar[tuple[str, ...]] = ()
    # Attributes in place of the properties of `Part`: fields of the user's class may set them.
    norm_slots = NormSlots(before=True, final=True)
    sinusoids = False
    heads = 0
    experts = 0
    nonlinearity = None

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on positions, for attention that does not say whether it needs them."""
        own = [base for base in type(self).__mro__ if not issubclass(PlainPart, base)]
        is_declared = any("sinusoids" in {*vars(base), *get_own_annotations(base)} for base in own)
        if self.group != "attention" or is_declared:
            return ()
        return (
            f"attention={self.kind}: the model adds no positions; declare sinusoids = True or "
            "False",
        )

    def build_plain(self, d_model: int) -> "nn.Module":
        """Return the module as the user's class builds it."""
        raise NotImplementedError

    def build(self, d_model: int) -> "nn.Module":
        """Return the module with the interface that a block expects."""
        from experiments.nn.plain_language_model import PlainLanguageModel
        from experiments.nn.plain_module import PlainSource, adapt_module

        name = f"{self.group}={self.kind}"
        source = PlainSource(
            name,
            lambda: self.build_plain(d_model),
            d_model,
            self.keeps_initial_weights,
            read_writers(name, self.residual_writers),
        )
        if self.group == "language_model":
            return PlainLanguageModel(source)
        return adapt_module(self.group, source)

    def cost(self, d_model: int, length: int) -> Cost:
        """Return the cost that is counted from the module."""
        return count_cost(self, d_model, length)


def derive_part(group: str, kind: str, options: Any) -> type[PlainPart]:
    """Return a `Part` that has the fields and members of a plain class.

    Raises:
        ValueError: the class breaks a rule of plain parts; the message names the rule.
    """
    where = f"@part({group!r}, {kind!r}) on {options.__name__}"
    check_plain_class(where, options)
    members = {
        "__module__": options.__module__,
        "__qualname__": options.__qualname__,
        "__doc__": options.__doc__,
        # With a default, a user's own test can write `QuickGelu(d_ff=8).build(16)`.
        "__annotations__": {"kind": str},
        "kind": field(default=kind, kw_only=True),
        "group": group,
        # A class that extends a plain part, without a `build` of its own, inherits that one's.
        "build_plain": getattr(options, "build_plain", options.build)
        if options.build is PlainPart.build
        else options.build,
        "build": PlainPart.build,
    }
    try:
        derived: type[PlainPart] = types.new_class(
            options.__name__,
            (options, PlainPart),
            exec_body=lambda namespace: namespace.update(members),
        )
        derived = dataclass(derived)
    except TypeError as error:
        raise ValueError(f"{where}: it cannot become a part: {error}") from error
    check_fields(where, derived, Part)
    return derived

"""The base class of the options of every part: rules, cost and module. Does not import torch.

Legend: d_model is the width of the residual stream, length the number of tokens of a sequence.
"""

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from experiments.parts.cost import Cost

if TYPE_CHECKING:
    from torch import nn


class NormSlots(NamedTuple):
    """The norms around a part f, where x becomes outer(alpha * x + behind(f(before(x)))).

    Attributes:
        before, behind, outer: whether the norm of this name exists.
        final: whether a norm follows the last block. It is needed if no norm of a block has
            bounded the stream.
        is_deepnorm: use the alpha and the initial weights of DeepNorm, see `experiments.nn.norm`.
            alpha is (2 n_layers)^(1/4), or n_layers^(1/4) with ffn=none; an encoder-decoder has
            other constants. Without DeepNorm alpha is 1.
    """

    before: bool = False
    behind: bool = False
    outer: bool = False
    final: bool = False
    is_deepnorm: bool = False


@dataclass
class Part(ABC):
    """The options of a part, and its rules, cost and module.

    A part is a dataclass that extends this class. It adds its fields, and its rules in
    `__post_init__`. It must define `cost` and `build`. The other members have defaults that suit
    most parts; each names the group to which it applies.

    YAML files in conf/ hold the values of this package's parts. Their fields have no defaults, so
    that a missing key is an error. A field of a plug-in may have a default; it then needs no YAML
    file.

    Attributes:
        kind: the name of the part in its group.
        writes_to_residual: whether the part changes the residual stream. A part that does not gets
            no norms, and counts as no part of its block.
        supports_cross_attention: whether an encoder-decoder can use it (of attention). Its module
            must have what `experiments.nn.attention.Attention` has: the arguments `causal=False`,
            `memory=` and `cache=`, and the methods `new_cache` and `new_memory_cache`.
        code_modules: further modules whose code is part of the code hash of its trials.
        is_plain: whether the part comes from a plain class, so that ablab does not know the inner
            values of its module.
    """

    is_plain: ClassVar[bool] = False
    writes_to_residual: ClassVar[bool] = True
    supports_cross_attention: ClassVar[bool] = False
    code_modules: ClassVar[tuple[str, ...]] = ()

    kind: str

    @abstractmethod
    def cost(self, d_model: int, length: int) -> Cost:
        """Return the cost of one module; `length` is 0 if it is unknown."""

    @abstractmethod
    def build(self, d_model: int) -> "nn.Module":
        """Return the module, not yet initialised. Import torch inside this method.

        The module's `forward(x, keep)` takes the normed stream (batch, time, d_model) and a padding
        mask (batch, time), True at kept positions, or None.
        - Attention returns the change of the stream.
        - A feed-forward network returns the change and its `Routing`
          (`experiments.nn.moe.routing`), or None without a router. It may have a method
          `after_step(routing)`, which is called after each training step.
        - A norm is called with x only.
        """

    def check(self, d_model: int) -> None:  # noqa: B027 - most parts fit any width
        """Raise ValueError if the part does not fit a stream of this width."""

    @property
    def norm_slots(self) -> NormSlots:
        """The norms around each part of a block (of a norm)."""
        return NormSlots(before=True, final=True)

    @property
    def sinusoids(self) -> bool:
        """Whether the model adds sinusoidal positions to its input (of attention)."""
        return False

    @property
    def heads(self) -> int:
        """The number of heads that probes measure one by one; 0 for none (of attention).

        The module of a part with heads is an `experiments.nn.attention.Attention`.
        """
        return 0

    @property
    def experts(self) -> int:
        """The number of experts of the router; 0 without a router (of a feed-forward part)."""
        return 0

    @property
    def nonlinearity(self) -> str | None:
        """The name of its activation in `experiments.nn.ffn`, or None (of a feed-forward part).

        The experiment `ffn` draws this function.
        """
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the report of a trial that uses the part."""
        return ()

    def saved_activations_per_token(self, d_model: int) -> int:  # noqa: ARG002
        """Return a lower bound on the numbers that the backward pass needs for each token."""
        return 0

    def saved_activations_per_sequence(self, length: int) -> int:  # noqa: ARG002
        """Return the numbers that the backward pass needs for each sequence as a whole."""
        return 0

    def module_kwargs(self) -> dict[str, Any]:
        """Return the fields without `kind` as keyword arguments of the module, enums as strings."""
        names = [field.name for field in dataclasses.fields(self)]
        values = {name: getattr(self, name) for name in names if name != "kind"}
        return {n: v.value if isinstance(v, Enum) else v for n, v in values.items()}

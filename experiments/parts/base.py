"""What the options of every part have: the rules, the cost and the module of one variant. No torch.

Legend: d_model, the width of the residual stream; length, the tokens of a sequence.
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
    """Where norms stand: x becomes outer(alpha * x + behind(f(before(x)))) around a part f.

    `final` is a norm behind the last block, for a stream that no norm of a block has bounded.
    `is_deepnorm` sets alpha = (2 n_layers)^(1/4), with ffn=none n_layers^(1/4), else 1, and the starting
    weights that belong to it; an encoder-decoder has constants of its own (`experiments.nn.norm`).
    """

    before: bool = False
    behind: bool = False
    outer: bool = False
    final: bool = False
    is_deepnorm: bool = False


@dataclass
class Part(ABC):
    """The base of the options of a part.

    A part is a dataclass that extends this one: it adds its fields, and its rules in
    `__post_init__`. It must have `cost` and `build`. The other members have defaults that suit most
    parts; each says which group it is about.

    Values of our parts stand in YAML files: their fields have no defaults, so that a forgotten key
    is an error. A field of a plug-in may have one, which spares it the file.

    Attributes:
        kind: the name of the part in its group.
        writes: whether the part changes the residual stream. Around one that does not stand no
            norms, and the blocks count one part less.
        crosses: whether an encoder-decoder can use it (of attention): its module takes
            `causal=False` and `memory=`, and keeps keys and values for decoding (`new_cache`,
            `remember`), as `experiments.nn.attention.AttentionPart` does.
    """

    writes_to_residual: ClassVar[bool] = True
    supports_cross_attention: ClassVar[bool] = False

    kind: str

    @abstractmethod
    def cost(self, d_model: int, length: int) -> Cost:
        """Return the cost of one module; `length` is 0 where it is unknown."""

    @abstractmethod
    def build(self, d_model: int) -> "nn.Module":
        """Return the module, not yet initialised. Imports torch here and not at the file's top.

        `forward(x, keep)` takes the normed stream (batch, time, d_model) and a mask, None or True
        at kept positions. Attention returns the change of the stream; a feed-forward network
        returns it and its `Routing` (`experiments.nn.moe.routing`), None without a router, and may
        have `after_step(routing)`, called after each training step. A norm is called with x alone.
        """

    def check(self, d_model: int) -> None:  # noqa: B027 - most parts fit any width
        """Raise ValueError where the part does not fit a stream of this width."""

    @property
    def norm_slots(self) -> NormSlots:
        """Where the norms stand (of a norm)."""
        return NormSlots(before=True, final=True)

    @property
    def sinusoids(self) -> bool:
        """Whether the model adds sinusoidal positions to its input (of attention)."""
        return False

    @property
    def heads(self) -> int:
        """How many heads are measured one by one; 0 where there are none (of attention).

        The module of a part with heads is an `experiments.nn.attention.AttentionPart`.
        """
        return 0

    @property
    def experts(self) -> int:
        """How many experts a router chooses from; 0 without a router (of a feed-forward part)."""
        return 0

    @property
    def nonlinearity(self) -> str | None:
        """The name of its function in `experiments.nn.ffn`, if it has one (of a feed-forward part).

        The experiment `ffn` draws it.
        """
        return None

    def saved_activations_per_token(self, d_model: int) -> int:  # noqa: ARG002
        """Return how many numbers of a token the backward pass needs, at the least."""
        return 0

    def saved_activations_per_sequence(self, length: int) -> int:  # noqa: ARG002
        """Return how many numbers of a sequence it needs beside those of its tokens."""
        return 0

    def module_kwargs(self) -> dict[str, Any]:
        """Return the fields as plain values, for a module that takes them by the same names.

        `kind`, which only names the option, is left out.
        """
        names = [field.name for field in dataclasses.fields(self)]
        values = {name: getattr(self, name) for name in names if name != "kind"}
        return {n: v.value if isinstance(v, Enum) else v for n, v in values.items()}

"""Multi-head attention as a part. `n_kv_heads` makes it MHA, GQA or MQA."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from experiments.parts import Cost, Part, part
from experiments.rules import check_at_least, check_fraction

if TYPE_CHECKING:
    from torch import nn


class Position(StrEnum):
    """The method by which attention gets positions."""

    rotary = "rotary"
    sinusoidal = "sinusoidal"
    none = "none"


class Kernel(StrEnum):
    """The kernel of softmax attention: with the whole matrix, by tiles, or torch's own."""

    naive = "naive"
    tiled = "tiled"
    fused = "fused"


@part("attention", "multihead")
@dataclass
class AttentionPart(Part):
    """Multi-head attention; `n_kv_heads` makes it MHA, GQA or MQA."""

    supports_cross_attention: ClassVar[bool] = True

    n_heads: int
    n_kv_heads: int
    bias: bool
    dropout: float
    position: Position
    kernel: Kernel

    def __post_init__(self) -> None:
        check_at_least(1, n_heads=self.n_heads, n_kv_heads=self.n_kv_heads)
        check_fraction(dropout=self.dropout)
        if self.dropout and self.kernel is not Kernel.fused:
            raise ValueError(
                f"dropout={self.dropout}: kernel={self.kernel} has no dropout; "
                "set dropout=0 or kernel=fused"
            )
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_kv_heads={self.n_kv_heads} must divide n_heads={self.n_heads}, so that "
                "groups of queries are equal"
            )

    def check(self, d_model: int) -> None:
        """Raise ValueError if n_heads does not divide d_model, or rotary heads have an odd size."""
        if d_model % self.n_heads:
            raise ValueError(
                f"model.d_model={d_model} must be a multiple of attention.n_heads={self.n_heads}"
            )
        if self.position is Position.rotary and (d_model // self.n_heads) % 2:
            raise ValueError(
                f"rotary positions need an even head size; model.d_model={d_model} / "
                f"attention.n_heads={self.n_heads} is {d_model // self.n_heads}"
            )

    def cost(self, d_model: int, length: int) -> Cost:
        """Return the cost of four matrices and of the two products with visible keys and values."""
        d_kv = self.d_kv(d_model)
        matrices = 2 * d_model * d_model + 2 * d_model * d_kv
        parameters = matrices + self.bias * (2 * d_model + 2 * d_kv)
        # A causal token at position t sees t + 1 keys, on average (length + 1) / 2. Each of the two
        # products needs 2 FLOPs for each key and coordinate. Kernels that also compute the masked
        # half need twice as many.
        products = 2 * 2 * d_model * (length + 1) / 2 if length else 0.0
        return Cost(parameters, parameters, 2 * matrices + products, 2 * d_kv * 4)

    def build(self, d_model: int) -> "nn.Module":
        """Return the module, not yet initialised."""
        from experiments.nn import attention

        return attention.Attention(d_model, **self.module_kwargs())

    def d_kv(self, d_model: int) -> int:
        """Return the width of a token's keys, all heads together; values have the same."""
        return d_model // self.n_heads * self.n_kv_heads

    @property
    def sinusoids(self) -> bool:
        """Whether the model adds sinusoidal positions to its input."""
        return self.position is Position.sinusoidal

    @property
    def heads(self) -> int:
        """The number of query heads."""
        return self.n_heads

    def saved_activations_per_token(self, d_model: int) -> int:
        """Return the numbers of the input, queries, keys, values and the mixed values."""
        return 3 * d_model + 2 * self.d_kv(d_model)

    def saved_activations_per_sequence(self, length: int) -> int:
        """Return the numbers of scores that the naive kernel saves; 0 for other kernels."""
        return self.n_heads * length**2 if self.kernel is Kernel.naive else 0

"""Multi-head attention: MHA, GQA and MQA are one part and a number."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from experiments.parts import Cost, Part, part
from experiments.rules import check_at_least, check_fraction

if TYPE_CHECKING:
    from torch import nn


class Position(StrEnum):
    """How attention learns about order."""

    rotary = "rotary"
    sinusoidal = "sinusoidal"
    none = "none"


class Kernel(StrEnum):
    """How softmax attention is computed: the whole matrix, by tiles, or by torch's own kernel."""

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
        """Raise ValueError where heads cannot share the width, or rotary positions an odd head."""
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
        """Return four matrices, and the products with the keys that a token sees."""
        d_kv = self.d_kv(d_model)
        matrices = 2 * d_model * d_model + 2 * d_model * d_kv
        parameters = matrices + self.bias * (2 * d_model + 2 * d_kv)
        # A causal token at position t sees t + 1 keys, on average (length + 1) / 2, and spends 2
        # FLOPs for each key and coordinate in each of two products. Kernels that compute the masked
        # half too do twice that.
        products = 2 * 2 * d_model * (length + 1) / 2 if length else 0.0
        return Cost(parameters, parameters, 2 * matrices + products, 2 * d_kv * 4)

    def build(self, d_model: int) -> "nn.Module":
        """Return the module, not yet initialised."""
        from experiments.nn import attention

        return attention.Attention(d_model, **self.module_kwargs())

    def d_kv(self, d_model: int) -> int:
        """Return the width of all keys of a token, and of all values."""
        return d_model // self.n_heads * self.n_kv_heads

    @property
    def sinusoids(self) -> bool:
        """Whether the model adds sinusoidal positions to its input."""
        return self.position is Position.sinusoidal

    @property
    def heads(self) -> int:
        """The query heads."""
        return self.n_heads

    def saved_activations_per_token(self, d_model: int) -> int:
        """Return the numbers of the input, queries, keys, values, and of what was mixed."""
        return 3 * d_model + 2 * self.d_kv(d_model)

    def saved_activations_per_sequence(self, length: int) -> int:
        """Return the scores that the naive kernel keeps."""
        return self.n_heads * length**2 if self.kernel is Kernel.naive else 0

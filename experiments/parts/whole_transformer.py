"""ablab's own Transformer as a whole language model, to compare other models with."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

from experiments.parts import Cost, Part, part
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart, Kernel, Position
from experiments.parts.body import Init, ModelOptions, body_cost
from experiments.parts.ffn import FeedForwardPart
from experiments.parts.norm import NormPart, NormType, Placement
from experiments.parts.transformer import build_transformer
from experiments.rules import check_at_least

if TYPE_CHECKING:
    from torch import nn


@part("language_model", "transformer")
@dataclass
class WholeTransformerPart(Part):
    """A Pre-LN Transformer with rotary multi-head attention and GELU, its embedding and its head.

    `cost` and `build` take the number of token ids in place of the width of a stream.
    """

    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int

    def __post_init__(self) -> None:
        check_at_least(1, d_model=self.d_model, n_layers=self.n_layers, n_heads=self.n_heads)
        check_at_least(1, d_ff=self.d_ff)
        if self.d_model % (2 * self.n_heads):
            raise ValueError(
                f"d_model={self.d_model} must be a multiple of 2 n_heads={2 * self.n_heads}"
            )

    def cost(self, d_model: int, length: int) -> Cost:
        """Return the cost of the blocks, the embedding and the head, for `d_model` token ids."""
        parts = {"model": self.model, "attention": self.attention, "ffn": self.ffn}
        head = d_model * self.d_model
        outside = Cost(2 * head, 2 * head, 2.0 * head)
        return body_cost({**parts, "norm": self.norm}, length=length) + outside

    def build(self, d_model: int) -> "nn.Module":
        """Return the model for `d_model` token ids."""
        parts = SimpleNamespace(
            model=self.model, attention=self.attention, ffn=self.ffn, norm=self.norm
        )
        return build_transformer(parts, vocabulary=d_model, width=None, seed=0)

    @property
    def model(self) -> ModelOptions:
        """The width and the number of blocks."""
        return ModelOptions(self.d_model, self.n_layers, Init.scaled)

    @property
    def attention(self) -> AttentionPart:
        """Multi-head attention, as conf/attention/mha.yaml."""
        return AttentionPart(
            "multihead",
            n_heads=self.n_heads,
            n_kv_heads=self.n_heads,
            bias=False,
            dropout=0.0,
            position=Position.rotary,
            kernel=Kernel.fused,
        )

    @property
    def ffn(self) -> FeedForwardPart:
        """The feed-forward network, as conf/ffn/gelu.yaml."""
        return FeedForwardPart(
            "dense",
            d_ff=self.d_ff,
            activation=Activation.gelu,
            gated=False,
            bias=False,
            dropout=0.0,
        )

    @property
    def norm(self) -> NormPart:
        """The norms, as conf/norm/pre.yaml."""
        return NormPart("norm", placement=Placement.pre, type=NormType.layer, eps=1e-5)

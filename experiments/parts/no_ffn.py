"""The absence of a feed-forward network: blocks are attention-only (Elhage et al. 2021)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments.parts import Cost, Part, part

if TYPE_CHECKING:
    from torch import nn


@part("ffn", "none")
@dataclass
class NoFeedForwardPart(Part):
    """No feed-forward network: the stream does not change."""

    writes_to_residual: ClassVar[bool] = False

    def cost(self, d_model: int, length: int) -> Cost:  # noqa: ARG002
        """Return a cost of 0."""
        return Cost()

    def build(self, d_model: int) -> "nn.Module":  # noqa: ARG002
        """Return a module whose output is 0."""
        from experiments.nn import ffn

        return ffn.NoFeedForward()

"""No feed-forward network: blocks are attention-only (Elhage et al. 2021)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments.parts import Cost, Part, part

if TYPE_CHECKING:
    from torch import nn


@part("ffn", "none")
@dataclass
class NoFeedForwardPart(Part):
    """No feed-forward network: the stream passes as it is."""

    writes_to_residual: ClassVar[bool] = False

    def cost(self, d_model: int, length: int) -> Cost:  # noqa: ARG002
        """Return no cost."""
        return Cost()

    def build(self, d_model: int) -> "nn.Module":  # noqa: ARG002
        """Return a module whose change is 0."""
        from experiments.nn import ffn

        return ffn.NoFeedForward()

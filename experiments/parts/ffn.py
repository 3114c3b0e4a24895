"""The dense, position-wise feed-forward network as a part."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.parts import Cost, Part, part
from experiments.parts.activation import Activation
from experiments.rules import check_at_least, check_fraction

if TYPE_CHECKING:
    from torch import nn


@part("ffn", "dense")
@dataclass
class FeedForwardPart(Part):
    """A position-wise feed-forward network with two matrices, or three if it is gated."""

    d_ff: int
    activation: Activation
    gated: bool
    bias: bool
    dropout: float

    def __post_init__(self) -> None:
        check_at_least(1, d_ff=self.d_ff)
        check_fraction(dropout=self.dropout)

    def cost(self, d_model: int, length: int) -> Cost:  # noqa: ARG002
        """Return the cost of two matrices, or three if gated, and of biases."""
        n_up = 2 if self.gated else 1
        matrices = (n_up + 1) * d_model * self.d_ff
        parameters = matrices + self.bias * (n_up * self.d_ff + d_model)
        return Cost(parameters, parameters, 2.0 * matrices)

    def build(self, d_model: int) -> "nn.Module":
        """Return the module, not yet initialised."""
        from experiments.nn import ffn

        return ffn.FeedForward(d_model, **self.module_kwargs())

    @property
    def nonlinearity(self) -> str:
        """The activation's name."""
        return self.activation.value

    def saved_activations_per_token(self, d_model: int) -> int:
        """Return the numbers of the input and of the hidden layer."""
        return d_model + self.d_ff * (2 if self.gated else 1)

"""The position-wise feed-forward network.

Legend of shapes: batch, time (positions), d_model (width of the residual stream), and `*tokens`,
any axes before the last.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.nn.choice import check_known_name
from experiments.nn.padding import check_padding_mask


def squared_relu(x: Tensor) -> Tensor:
    """Return max(0, x)^2 (Primer, So et al. 2021)."""
    return F.relu(x).square()


def identity(x: Tensor) -> Tensor:
    """Return x. As the activation of a gated network it gives the bilinear network."""
    return x


# gelu is the exact function x * Phi(x), not its tanh approximation.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "relu2": squared_relu,
    "sigmoid": torch.sigmoid,
    "identity": identity,
}


class FeedForward(nn.Module):
    """A feed-forward network with one hidden layer of width d_ff, gated or not.

    Not gated: down(act(up(x))). Gated: down(act(gate(x)) * up(x)) (GLU variants, Shazeer 2020).
    A gated network has three matrices, so with equal parameters its d_ff is two thirds of that of
    a network without a gate. Dropout acts on the hidden layer.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_ff: int,
        activation: str = "gelu",
        gated: bool = False,
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_known_name(ACTIVATIONS, activation=activation)
        self.activation = ACTIVATIONS[activation]
        self.dropout = dropout
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.gate = nn.Linear(d_model, d_ff, bias=bias) if gated else None
        self.down = nn.Linear(d_ff, d_model, bias=bias)

    def transform(self, x: Float[Tensor, "*tokens d_model"]) -> Float[Tensor, "*tokens d_model"]:
        """Return the output of the network for each token, without the check of a mask."""
        if self.gate is None:
            hidden = self.activation(self.up(x))
        else:
            hidden = self.activation(self.gate(x)) * self.up(x)
        if self.training and self.dropout:
            hidden = F.dropout(hidden, self.dropout)
        return self.down(hidden)

    def forward(
        self,
        x: Float[Tensor, "batch time d_model"],
        keep: Bool[Tensor, "batch time"] | None = None,  # only checked; a mixture uses it
    ) -> tuple[Float[Tensor, "batch time d_model"], None]:
        """Return the output at every position, also at padding, and None: nothing is routed."""
        check_padding_mask(keep, (x.shape[0], x.shape[1]))
        return self.transform(x), None


class NoFeedForward(nn.Module):
    """The feed-forward part of an attention-only block (Elhage et al. 2021), whose output is 0."""

    def forward(
        self,
        x: Float[Tensor, "batch time d_model"],
        keep: Bool[Tensor, "batch time"] | None = None,  # only checked; a mixture uses it
    ) -> tuple[Float[Tensor, "batch time d_model"], None]:
        """Return zeros, and None: nothing is routed."""
        check_padding_mask(keep, (x.shape[0], x.shape[1]))
        return torch.zeros_like(x), None

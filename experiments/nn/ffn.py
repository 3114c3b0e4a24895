"""The position-wise feed-forward network."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.nn.choice import check_known_name
from experiments.nn.padding import check_padding_mask


def squared_relu(x: Tensor) -> Tensor:
    """max(0, x)^2 (Primer, So et al. 2021)."""
    return F.relu(x).square()


def identity(x: Tensor) -> Tensor:
    """Return x itself: gated, it makes the bilinear network."""
    return x


# gelu is the exact one, x * Phi(x), not the tanh approximation.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "relu2": squared_relu,
    "sigmoid": torch.sigmoid,
    "identity": identity,
}


class FeedForward(nn.Module):
    """down(act(up(x))), or gated down(act(gate(x)) * up(x)) (GLU variants, Shazeer 2020).

    Dropout acts on the hidden layer. Gated networks have three matrices: at equal parameters their
    d_ff is two thirds of the ungated one.
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
        """The network itself, position by position."""
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
        keep: Bool[Tensor, "batch time"] | None = None,  # checked alone, as a mixture needs it
    ) -> tuple[Float[Tensor, "batch time d_model"], None]:
        """The transformed sequence, and no routing; every position is transformed, padding too."""
        check_padding_mask(keep, (x.shape[0], x.shape[1]))
        return self.transform(x), None


class NoFeedForward(nn.Module):
    """What an attention-only block (Elhage et al. 2021) has in this place: a change of 0."""

    def forward(
        self,
        x: Float[Tensor, "batch time d_model"],
        keep: Bool[Tensor, "batch time"] | None = None,  # checked alone, as a mixture needs it
    ) -> tuple[Float[Tensor, "batch time d_model"], None]:
        """Zeros, and no routing."""
        check_padding_mask(keep, (x.shape[0], x.shape[1]))
        return torch.zeros_like(x), None

"""The mixture of experts as a part: a router sends each token to a few feed-forward networks."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from experiments.parts import Cost, Part, part
from experiments.parts.activation import Activation
from experiments.parts.ffn import FeedForwardPart
from experiments.rules import check_at_least, check_fraction

if TYPE_CHECKING:
    from torch import nn


class Balance(StrEnum):
    """The method that balances experts: none, an auxiliary loss, or a selection bias."""

    none = "none"
    aux = "aux"
    bias = "bias"


@part("ffn", "moe")
@dataclass
class MixturePart(Part):
    """A mixture of `n_experts` feed-forward networks, of which each token uses `top_k`."""

    n_experts: int
    top_k: int
    d_ff: int
    activation: Activation
    gated: bool
    bias: bool
    dropout: float
    balance: Balance
    aux_weight: float
    z_weight: float
    bias_rate: float

    def __post_init__(self) -> None:
        check_at_least(1, n_experts=self.n_experts, top_k=self.top_k, d_ff=self.d_ff)
        check_at_least(
            0, aux_weight=self.aux_weight, z_weight=self.z_weight, bias_rate=self.bias_rate
        )
        check_fraction(dropout=self.dropout)
        if self.top_k > self.n_experts:
            raise ValueError(
                f"top_k={self.top_k} of n_experts={self.n_experts}: a token can choose at most "
                "n_experts experts"
            )

    def cost(self, d_model: int, length: int) -> Cost:
        """Return the cost of all experts and the router; top_k experts and it are active."""
        expert = self.expert().cost(d_model, length)
        router = d_model * self.n_experts
        return Cost(
            self.n_experts * expert.parameters + router,
            self.top_k * expert.parameters + router,
            self.top_k * expert.flops_per_token + 2 * router,
        )

    def build(self, d_model: int) -> "nn.Module":
        """Return the module, not yet initialised."""
        from experiments.nn.moe import mixture

        return mixture.MixtureOfExperts(d_model, **self.module_kwargs())

    def expert(self) -> FeedForwardPart:
        """Return the options of one expert."""
        return FeedForwardPart(
            "dense", self.d_ff, self.activation, self.gated, self.bias, self.dropout
        )

    @property
    def experts(self) -> int:
        """The number of experts that the router chooses from."""
        return self.n_experts

    @property
    def nonlinearity(self) -> str:
        """The name of the experts' activation."""
        return self.activation.value

    def saved_activations_per_token(self, d_model: int) -> int:
        """Return the numbers of the input and of the hidden layers of top_k experts."""
        return d_model + self.top_k * self.d_ff * (2 if self.gated else 1)

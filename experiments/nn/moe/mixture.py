"""A sparsely gated mixture of feed-forward experts (Shazeer 2017) without token dropping.

Legend of shapes:
    batch: sequences.
    time: positions.
    tokens: batch * time.
    d_model: width of the residual stream.
    n_experts: experts of the layer.
    top_k: experts that a token uses.
"""

from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.nn.choice import check_known_name
from experiments.nn.ffn import FeedForward
from experiments.nn.moe.dispatch import dispatch_grouped
from experiments.nn.moe.routing import Routing, balance_loss, expert_load, max_violation, z_loss
from experiments.nn.padding import check_padding_mask

__all__ = [
    "MixtureOfExperts",
    "Routing",
    "balance_loss",
    "expert_load",
    "max_violation",
    "z_loss",
]

BALANCES = ("none", "aux", "bias")


class MixtureOfExperts(nn.Module):
    """Top-k routing over `n_experts` networks, each a dense `FeedForward` of width `d_ff`.

    out = sum over the chosen experts e of weight_e * FFN_e(x).

    `balance` is the method that spreads tokens over experts:
    - `none`;
    - `aux`: aux_weight * balance_loss is added to the loss (Switch, Fedus 2021);
    - `bias`: a selection bias is added to the probabilities when experts are chosen, but not in
      the weights (Wang 2024). `after_step` updates it.
    z_weight * z_loss is added to the loss if z_weight > 0. The losses are part of the returned
    `Routing`; the module stores none of them.

    Each expert is a module, not a slice of one stacked tensor. The gradient of a stack is one huge
    block of memory, which the allocator maps and zeroes in every step. On a CPU that doubles the
    cost of the weight gradients at 64 experts. Fan-in, names and copies from a dense network are
    simpler too.

    Attributes:
        selection_steps: (n_experts,), updates of the selection bias, up minus down; None unless
            balance is `bias`.
    """

    selection_steps: Tensor | None

    def __init__(
        self,
        d_model: int,
        *,
        n_experts: int,
        top_k: int,
        d_ff: int,
        activation: str = "gelu",
        gated: bool = False,
        bias: bool = False,
        dropout: float = 0.0,
        balance: str = "none",
        aux_weight: float = 0.0,
        z_weight: float = 0.0,
        bias_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if not 1 <= top_k <= n_experts:
            raise ValueError(f"top_k={top_k} must lie between 1 and n_experts={n_experts}")
        check_known_name(BALANCES, balance=balance)
        self.n_experts, self.top_k = n_experts, top_k
        self.balance, self.aux_weight, self.z_weight = balance, aux_weight, z_weight
        self.bias_rate = bias_rate
        self.router = nn.Linear(d_model, n_experts, bias=False)
        self.experts = nn.ModuleList(
            FeedForward(
                d_model, d_ff=d_ff, activation=activation, gated=gated, bias=bias, dropout=dropout
            )
            for _ in range(n_experts)
        )
        # Counts of steps, not the bias itself: a model cast to bfloat16 would lose small steps.
        steps = torch.zeros(n_experts, dtype=torch.long) if balance == "bias" else None
        self.register_buffer("selection_steps", steps)

    @property
    def selection_bias(self) -> Float[Tensor, " n_experts"] | None:
        """The numbers that are added to probabilities for the choice; None unless `bias`."""
        return None if self.selection_steps is None else self.bias_rate * self.selection_steps

    def forward(
        self, x: Float[Tensor, "batch time d_model"], keep: Bool[Tensor, "batch time"] | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], Routing]:
        """Return the weighted sum of each token's chosen experts, 0 at padding, and the routing."""
        check_padding_mask(keep, (x.shape[0], x.shape[1]))
        tokens = x.flatten(0, 1)
        flat_keep = None if keep is None else keep.flatten()
        routing = self.route(tokens, flat_keep)
        networks = [cast("FeedForward", expert).transform for expert in self.experts]
        mixed = dispatch_grouped(tokens, routing.experts, routing.weights, flat_keep, networks)
        return mixed.view_as(x), routing

    def route(
        self,
        x: Float[Tensor, "tokens d_model"],
        keep: Bool[Tensor, " tokens"] | None = None,
    ) -> Routing:
        """Choose each token's experts and return the routing, computed in float32.

        Routers in bfloat16 diverge (Switch, Fedus 2021, section 2.4), so float32 holds for any
        dtype of x.
        """
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(x.float(), self.router.weight.float())
        probabilities = logits.softmax(dim=1)
        # The choice has no gradient; the router learns from the weights and the losses.
        scores = logits.detach()
        bias = self.selection_bias
        if bias is not None:
            scores = probabilities.detach() + bias
        experts = scores.topk(self.top_k, dim=1).indices
        if self.top_k == 1:
            # The softmax over one chosen logit is always 1 and has no gradient for the router. So
            # the weight is the expert's probability (Switch).
            weights = probabilities.gather(1, experts)
        else:
            weights = logits.gather(1, experts).softmax(dim=1)
        if keep is None:
            keep = torch.ones(len(x), dtype=torch.bool, device=x.device)
        aux_loss = logits.new_zeros(())
        if self.balance == "aux" and self.aux_weight:
            aux_loss = aux_loss + self.aux_weight * balance_loss(probabilities, experts, keep)
        if self.z_weight:
            aux_loss = aux_loss + self.z_weight * z_loss(logits, keep)
        return Routing(logits, probabilities, experts, weights, keep, aux_loss)

    @torch.no_grad()
    def after_step(self, routing: Routing) -> None:
        """Move the selection bias by bias_rate towards experts below the mean load (`bias` only).

        Call it after a training step: a bias computed from the same batch would leak later tokens.
        `routing` covers the whole batch, since every call moves the bias by one step.
        """
        if self.selection_steps is not None:
            load = expert_load(routing.experts, routing.keep, self.n_experts)
            self.selection_steps += (load.mean() - load).sign().long()

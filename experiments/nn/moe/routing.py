"""The record of a router's choices, and the losses and loads computed from it.

Legend of shapes: tokens = batch * time; n_experts; top_k, experts of a token. `keep` is False at
padding, which no load or loss counts.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Routing(NamedTuple):
    """The choices of one mixture layer in one forward pass.

    Attributes:
        logits: the router's scores of all tokens, in float32.
        probabilities: the softmax of the logits.
        experts: the indices of each token's experts, best first.
        weights: the softmax over the chosen logits, which sums to 1. With top_k = 1 that would be
            the constant 1, so it is the probability of the chosen expert (Switch).
        keep: False at padding.
        aux_loss: the weighted sum of the layer's auxiliary losses; 0 if it has none.
    """

    logits: Float[Tensor, "tokens n_experts"]
    probabilities: Float[Tensor, "tokens n_experts"]
    experts: Int[Tensor, "tokens top_k"]
    weights: Float[Tensor, "tokens top_k"]
    keep: Bool[Tensor, " tokens"]
    aux_loss: Float[Tensor, ""]


@runtime_checkable
class AdaptsToRouting(Protocol):
    """A feed-forward part that each training step's routing changes, such as its selection bias."""

    def after_step(self, routing: Routing) -> None:
        """Adapt in place to the routing of the whole batch."""


def adapt_to_routing(ffn: nn.Module, routing: Routing | None) -> None:
    """Call `after_step` of a feed-forward part that has one, unless its routing is None."""
    if routing is not None and isinstance(ffn, AdaptsToRouting):
        ffn.after_step(routing)


def total_aux_loss(routings: Sequence[Routing | None], device: torch.device) -> Float[Tensor, ""]:
    """Return the sum of the layers' auxiliary losses; 0 if no layer has a router."""
    aux_loss = torch.zeros((), device=device)
    for routing in routings:
        if routing is not None:
            aux_loss = aux_loss + routing.aux_loss
    return aux_loss


def expert_load(
    experts: Int[Tensor, "tokens top_k"], keep: Bool[Tensor, " tokens"], n_experts: int
) -> Float[Tensor, " n_experts"]:
    """Return the number of kept tokens that chose each expert; the sum is top_k * kept tokens."""
    # Padding is counted in one more bin, which is cut off. Selecting kept tokens instead would make
    # a copy whose size depends on the data.
    bins = experts.masked_fill(~keep[:, None], n_experts).flatten()
    return torch.bincount(bins, minlength=n_experts + 1)[:n_experts].float()


def max_violation(load: Float[Tensor, " n_experts"]) -> Float[Tensor, ""]:
    """Return MaxVio, (max - mean) / mean of the load (Wang 2024).

    It is 0 for an even load, and n_experts - 1 if one expert has it all.
    """
    mean = load.mean()
    return (load.max() - mean) / mean


def balance_loss(
    probabilities: Float[Tensor, "tokens n_experts"],
    experts: Int[Tensor, "tokens top_k"],
    keep: Bool[Tensor, " tokens"],
) -> Float[Tensor, ""]:
    """Return the balance loss of one layer, N * sum_i f_i P_i (Switch, Fedus 2021, equation 4).

    N is n_experts, f_i is expert i's share of the top_k * tokens assignments, and P_i is its mean
    probability, both over the whole batch. The loss is 1 for an even load, and N if one expert has
    it all. The shares f are counts without a gradient; the router learns from P.
    """
    n_experts = probabilities.shape[1]
    load = expert_load(experts, keep, n_experts)
    share = load / load.sum().clamp(min=1)
    token_weights = keep.to(probabilities.dtype)  # 1 for a kept token, 0 at padding
    mean_probability = (token_weights @ probabilities) / token_weights.sum().clamp(min=1)
    return n_experts * (share * mean_probability).sum()


def z_loss(
    logits: Float[Tensor, "tokens n_experts"], keep: Bool[Tensor, " tokens"]
) -> Float[Tensor, ""]:
    """Return the mean of logsumexp(logits)**2, which keeps logits small (ST-MoE, Zoph 2022)."""
    squared = logits.logsumexp(dim=1).square()
    return (squared * keep).sum() / keep.sum().clamp(min=1)

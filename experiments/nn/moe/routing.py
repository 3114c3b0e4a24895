"""The record of a router's choices, and what is computed from it.

Legend: tokens = batch * time, n_experts, top_k. `keep` is False at padding, which counts nowhere.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Routing(NamedTuple):
    """What one mixture layer decided in one forward.

    Attributes:
        logits: the router's scores in float32, of all tokens.
        probabilities: their softmax.
        experts: the chosen experts of each token, best first.
        weights: the softmax over the chosen logits, so that they sum to 1; with top_k = 1, where
            that is a constant, the chosen probability (Switch).
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
    """A feed-forward part that changes after each training step by how it routed in it."""

    def after_step(self, routing: Routing) -> None:
        """Change in place; `routing` is that of the whole batch."""


def adapt_to_routing(ffn: nn.Module, routing: Routing | None) -> None:
    """Let a feed-forward part change by its own routing; one without `after_step` stays as it is.

    So does one that routed nothing (None).
    """
    if routing is not None and isinstance(ffn, AdaptsToRouting):
        ffn.after_step(routing)


def total_aux_loss(routings: Sequence[Routing | None], device: torch.device) -> Float[Tensor, ""]:
    """Return the sum of the layers' auxiliary losses; 0 where nothing is routed."""
    aux_loss = torch.zeros((), device=device)
    for routing in routings:
        if routing is not None:
            aux_loss = aux_loss + routing.aux_loss
    return aux_loss


def expert_load(
    experts: Int[Tensor, "tokens top_k"], keep: Bool[Tensor, " tokens"], n_experts: int
) -> Float[Tensor, " n_experts"]:
    """How many assignments of kept tokens each expert got; the sum is top_k * kept tokens."""
    # Padding is counted in a bin of its own that is cut off: no copy of a data-dependent size.
    counted = experts.masked_fill(~keep[:, None], n_experts).flatten()
    return torch.bincount(counted, minlength=n_experts + 1)[:n_experts].float()


def max_violation(load: Float[Tensor, " n_experts"]) -> Float[Tensor, ""]:
    """(max - mean) / mean load (MaxVio, Wang 2024): 0 is even, n_experts - 1 collapsed."""
    mean = load.mean()
    return (load.max() - mean) / mean


def balance_loss(
    probabilities: Float[Tensor, "tokens n_experts"],
    experts: Int[Tensor, "tokens top_k"],
    keep: Bool[Tensor, " tokens"],
) -> Float[Tensor, ""]:
    """N * sum_i f_i P_i (Switch, Fedus 2021) of one layer: 1 at balance, N when collapsed.

    f_i is expert i's share of the top_k * tokens assignments, and P_i its mean probability, both
    over the whole batch. f comes from counting and has no gradient: the loss reaches the router
    through P.
    """
    n_experts = probabilities.shape[1]
    load = expert_load(experts, keep, n_experts)
    share = load / load.sum().clamp(min=1)
    kept = keep.to(probabilities.dtype)
    mean_probability = (kept @ probabilities) / kept.sum().clamp(min=1)
    return n_experts * (share * mean_probability).sum()


def z_loss(
    logits: Float[Tensor, "tokens n_experts"], keep: Bool[Tensor, " tokens"]
) -> Float[Tensor, ""]:
    """Mean of logsumexp(logits)**2 (ST-MoE, Zoph 2022), which keeps the router's logits small."""
    squared = logits.logsumexp(dim=1).square()
    return (squared * keep).sum() / keep.sum().clamp(min=1)

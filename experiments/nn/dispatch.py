"""Sending tokens to their experts and combining what comes back: no token is dropped.

Legend: tokens, top_k, n_experts, d_model; an assignment is one (token, chosen expert) pair.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

Expert = Callable[[Tensor], Tensor]


class Permute(Function):
    """Rows in another order, with a gather as gradient (autograd's own is a slow scatter-add)."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        """x[order]; `inverse` is the inverse permutation."""
        ctx.save_for_backward(inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradient's rows, put back."""
        (inverse,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradients[0].index_select(0, inverse), None, None


def grouped(
    x: Float[Tensor, "tokens d_model"],
    experts: Int[Tensor, "tokens top_k"],
    weights: Float[Tensor, "tokens top_k"],
    keep: Bool[Tensor, " tokens"] | None,
    networks: Sequence[Expert],
) -> Float[Tensor, "tokens d_model"]:
    """sum_k weights[t, k] * networks[experts[t, k]](x[t]), and 0 at padding.

    Assignments are sorted by expert, so that each network runs once, over a contiguous slice, and
    not at all without a token (its parameters then get no gradient).
    """
    n_experts, (tokens, top_k) = len(networks), experts.shape
    if keep is not None:  # padding sorts behind the last expert
        experts = experts.masked_fill(~keep[:, None], n_experts)
    chosen, order = experts.flatten().sort(stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order), device=order.device)
    sizes = torch.bincount(chosen, minlength=n_experts + 1).tolist()

    copies = x[:, None].expand(-1, top_k, -1).reshape(tokens * top_k, -1)
    *slices, padding = Permute.apply(copies, order, inverse).split(sizes)
    outputs = [f(rows) if len(rows) else rows for f, rows in zip(networks, slices, strict=True)]
    sorted_outputs = torch.cat([*outputs, torch.zeros_like(padding)])
    back = Permute.apply(sorted_outputs, inverse, order).view(tokens, top_k, -1)
    return (back * weights[..., None].to(back.dtype)).sum(dim=1)


def masked(
    x: Float[Tensor, "tokens d_model"],
    experts: Int[Tensor, "tokens top_k"],
    weights: Float[Tensor, "tokens top_k"],
    keep: Bool[Tensor, " tokens"] | None,
    networks: Sequence[Expert],
) -> Float[Tensor, "tokens d_model"]:
    """The naive twin of `grouped`: a mask for every choice and expert."""
    mixed = torch.zeros_like(x)
    for choice in range(experts.shape[1]):
        for index, network in enumerate(networks):
            mask = experts[:, choice] == index
            if keep is not None:
                mask = mask & keep
            if mask.any():
                mixed[mask] += weights[mask, choice, None].to(x.dtype) * network(x[mask])
    return mixed

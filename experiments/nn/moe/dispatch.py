"""Sending tokens to their experts and combining what comes back: no token is dropped.

Legend: tokens, top_k, d_model; an assignment is one (token, chosen expert) pair, a row one
assignment in the order of the experts; slots[t, k] is the row of token t's choice k, source[row]
its token.

The two steps are autograd functions of their own: both are sums of gathers, and so are their
gradients, where autograd would derive slow scatter-adds and keep top_k copies of the input.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

Expert = Callable[[Tensor], Tensor]


class DispatchRows(Function):
    """rows[r] = x[source[r]]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slots: Tensor, source: Tensor) -> Tensor:
        """A copy of its token for each assignment."""
        ctx.save_for_backward(slots)
        return x.index_select(0, source)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The sum over a token's assignments."""
        first, *others = ctx.saved_tensors[0].unbind(1)
        total = gradient.index_select(0, first)
        for slot in others:
            total += gradient.index_select(0, slot)
        return total, None, None


class CombineRows(Function):
    """out[t] = sum_k weights[t, k] * rows[slots[t, k]]."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weights: Tensor, slots: Tensor, source: Tensor, order: Tensor
    ) -> Tensor:
        """The weighted sum; `order` is the assignment (token * top_k + choice) of each row."""
        ctx.save_for_backward(rows, weights, slots, source, order)
        first, *others = zip(slots.unbind(1), weights.split(1, dim=1), strict=True)
        total = rows.index_select(0, first[0]).mul_(first[1])
        for slot, weight in others:
            total.addcmul_(rows.index_select(0, slot), weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        """For the rows w * g, for the weights the inner products of row and g."""
        rows, weights, slots, source, order = ctx.saved_tensors
        by_row = gradient.index_select(0, source)
        to_weights = (rows * by_row).sum(dim=1)[slots] if ctx.needs_input_grad[1] else None
        by_row *= weights.flatten()[order, None]
        return by_row, to_weights, None, None, None


def dispatch_grouped(
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
    slots = torch.empty_like(order)
    slots[order] = torch.arange(len(order), device=order.device)
    slots, source = slots.view(tokens, top_k), order // top_k
    sizes = torch.bincount(chosen, minlength=n_experts + 1).tolist()

    *slices, padding = DispatchRows.apply(x, slots, source).split(sizes)
    outputs = [f(rows) if len(rows) else rows for f, rows in zip(networks, slices, strict=True)]
    rows = torch.cat([*outputs, torch.zeros_like(padding)])
    return CombineRows.apply(rows, weights.to(rows.dtype), slots, source, order)


def dispatch_masked(
    x: Float[Tensor, "tokens d_model"],
    experts: Int[Tensor, "tokens top_k"],
    weights: Float[Tensor, "tokens top_k"],
    keep: Bool[Tensor, " tokens"] | None,
    networks: Sequence[Expert],
) -> Float[Tensor, "tokens d_model"]:
    """The naive twin of `dispatch_grouped`: a mask for every choice and expert."""
    mixed = torch.zeros_like(x)
    for choice in range(experts.shape[1]):
        for index, network in enumerate(networks):
            mask = experts[:, choice] == index
            if keep is not None:
                mask = mask & keep
            if mask.any():
                mixed[mask] += weights[mask, choice, None].to(x.dtype) * network(x[mask])
    return mixed

"""Dispatch of tokens to their experts and the weighted sum of the results. No token is dropped.

Legend of shapes and indices:
    tokens: tokens of a batch, batch * time.
    top_k: experts of a token.
    d_model: width of the residual stream.
    assignment: one pair (token, chosen expert), numbered token * top_k + choice.
    row: an assignment after sorting by expert.
    slots[t, k]: the row of token t's choice k.
    source[r]: the token of row r.

The two steps have autograd functions of their own. Each is a sum of gathers, and so is its
gradient. Autograd would use slow scatter-adds instead, and would save top_k copies of the input.
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
    """The copy of each token for each of its experts: rows[r] = x[source[r]]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slots: Tensor, source: Tensor) -> Tensor:
        """Return one row for each assignment, (tokens * top_k, d_model)."""
        # The gradient is linear: it needs only the indices, not x.
        ctx.save_for_backward(slots)
        return x.index_select(0, source)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of x: the sum over a token's rows."""
        # A gather for each choice instead of one scatter-add: rows of a token do not collide.
        first, *others = ctx.saved_tensors[0].unbind(1)
        total = gradient.index_select(0, first)
        for slot in others:
            total += gradient.index_select(0, slot)
        return total, None, None


class CombineRows(Function):
    """The weighted sum of a token's rows: out[t] = sum_k weights[t, k] * rows[slots[t, k]]."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weights: Tensor, slots: Tensor, source: Tensor, order: Tensor
    ) -> Tensor:
        """Return the weighted sums (tokens, d_model); `order` has the assignment of each row."""
        ctx.save_for_backward(rows, weights, slots, source, order)
        first, *others = zip(slots.unbind(1), weights.split(1, dim=1), strict=True)
        # The first choice makes the sum; the others are added to it in place.
        total = rows.index_select(0, first[0]).mul_(first[1])
        for slot, weight in others:
            total.addcmul_(rows.index_select(0, slot), weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        """Return the gradients of rows, weight * g, and of weights, the product of row and g."""
        rows, weights, slots, source, order = ctx.saved_tensors
        # g of the token of each row, (tokens * top_k, d_model).
        grad_rows = gradient.index_select(0, source)
        # Before grad_rows is multiplied in place. `slots` puts rows back into the order of weights.
        grad_weights = (rows * grad_rows).sum(dim=1)[slots] if ctx.needs_input_grad[1] else None
        grad_rows *= weights.flatten()[order, None]
        return grad_rows, grad_weights, None, None, None


def dispatch_grouped(
    x: Float[Tensor, "tokens d_model"],
    experts: Int[Tensor, "tokens top_k"],
    weights: Float[Tensor, "tokens top_k"],
    keep: Bool[Tensor, " tokens"] | None,
    networks: Sequence[Expert],
) -> Float[Tensor, "tokens d_model"]:
    """Return sum_k weights[t, k] * networks[experts[t, k]](x[t]) for each token t; 0 at padding.

    Each network runs once, on all tokens that chose it. A network without a token does not run, and
    its parameters get no gradient.

    Args:
        x: the tokens.
        experts: the indices of the experts of each token.
        weights: the weights of these experts.
        keep: False at padding; None without padding.
        networks: the experts, each a map from (rows, d_model) to (rows, d_model).
    """
    n_experts, (tokens, top_k) = len(networks), experts.shape
    # Padding gets the index after the last expert, so it sorts into a slice of its own.
    if keep is not None:
        experts = experts.masked_fill(~keep[:, None], n_experts)
    # Sorting makes the rows of an expert contiguous. It is stable, so that rows of an expert keep
    # the order of tokens and the result is deterministic. order[row] is the row's assignment.
    sorted_experts, order = experts.flatten().sort(stable=True)
    # `slots` is the inverse permutation: from an assignment back to its row.
    slots = torch.empty_like(order)
    slots[order] = torch.arange(len(order), device=order.device)
    slots, source = slots.view(tokens, top_k), order // top_k
    # The number of rows of each expert, and of padding, which comes last.
    sizes = torch.bincount(sorted_experts, minlength=n_experts + 1).tolist()

    *slices, padding = DispatchRows.apply(x, slots, source).split(sizes)
    outputs = [f(rows) if len(rows) else rows for f, rows in zip(networks, slices, strict=True)]
    # Zero rows for padding, so that every slot has a row.
    rows = torch.cat([*outputs, torch.zeros_like(padding)])
    # Under autocast networks may return bfloat16, so weights take the dtype of the rows.
    return CombineRows.apply(rows, weights.to(rows.dtype), slots, source, order)


def dispatch_masked(
    x: Float[Tensor, "tokens d_model"],
    experts: Int[Tensor, "tokens top_k"],
    weights: Float[Tensor, "tokens top_k"],
    keep: Bool[Tensor, " tokens"] | None,
    networks: Sequence[Expert],
) -> Float[Tensor, "tokens d_model"]:
    """Return the result of `dispatch_grouped`, computed with a mask for every choice and expert."""
    mixed = torch.zeros_like(x)
    for choice in range(experts.shape[1]):
        for index, network in enumerate(networks):
            mask = experts[:, choice] == index
            if keep is not None:
                mask = mask & keep
            if mask.any():
                mixed[mask] += weights[mask, choice, None].to(x.dtype) * network(x[mask])
    return mixed

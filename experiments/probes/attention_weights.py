"""Attention weights of a model, which its fast kernels never return: recomputed from the layers' own projections.

Legend: batch, time; n_heads query heads share n_kv_heads key heads of width d_head; rows, a block of queries; keys.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.config import Position
from experiments.nn.attention import Attention
from experiments.nn.position import rotary_tables, rotate
from experiments.tasks.batch import Batch

HIDDEN = torch.finfo(torch.float32).min / 2
"""The logit of a key that a query may not see: finite, so that 0 * logit is 0 and not NaN."""

See = Callable[[int, Attention, Tensor], None]


def attention_layers(model: nn.Module) -> list[Attention]:
    """The attention layers, from the first to the last."""
    return [part for part in model.modules() if isinstance(part, Attention)]


@torch.no_grad()
def watch(model: nn.Module, batch: Batch, see: See) -> None:
    """Run `model` on a batch in eval mode and call see(index, layer, x) with the input x of each attention layer.

    x is what reaches the projections: a norm in front of them has been applied. The model is left as it was.
    """
    was_training = model.training
    model.eval()
    try:
        with listening(model, see):
            model(*batch.inputs, keep=batch.keep)
    finally:
        model.train(was_training)


@contextmanager
def listening(model: nn.Module, see: See) -> Iterator[None]:
    """Hooks on the attention layers, removed at the end.

    Raises:
        ValueError: a layer attends to a memory, to a cache or to later positions.
    """

    def hear(index: int, layer: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        assert isinstance(layer, Attention)
        for name, plain in (("memory", None), ("cache", None), ("causal", True)):
            if options.get(name, plain) is not plain:
                raise ValueError(
                    f"attention layer {index} is called with {name}={type(options[name]).__name__}: heads are "
                    "analysed in causal self-attention only; use a task for a decoder-only model"
                )
        see(index, layer, args[0])

    handles = [
        layer.register_forward_pre_hook(partial(hear, index), with_kwargs=True)
        for index, layer in enumerate(attention_layers(model))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def queries_keys(layer: Attention, x: Tensor) -> tuple[Tensor, Tensor]:
    """Queries (batch, n_heads, time, d_head), scaled and turned, and keys (batch, n_kv_heads, ...), at least in float32."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    query, key = (
        F.linear(x.to(dtype), p.weight.to(dtype), None if p.bias is None else p.bias.to(dtype))
        .unflatten(-1, (-1, layer.d_head))
        .transpose(1, 2)
        for p in (layer.query, layer.key)
    )
    if layer.position is Position.rotary:
        cos, sin = rotary_tables(x.shape[1], layer.d_head, device=x.device)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
    return query * layer.d_head**-0.5, key


def logit_blocks(
    query: Tensor, key: Tensor, keep: Tensor | None, *, block: int
) -> Iterator[tuple[int, Tensor]]:
    """For each block of queries the first of them and its logits (batch, n_heads, rows, keys), as a buffer to be used up.

    keys are 0 to the last query of the block: later ones are seen by none of them. What a query may not see is HIDDEN: later
    keys, and padding other than itself. Memory is that of one block, so it grows with the length and not with its square.
    """
    batch, n_heads, time, d_head = query.shape
    n_kv_heads = key.shape[1]
    grouped = query.view(batch, n_kv_heads, n_heads // n_kv_heads, time, d_head)
    for first in range(0, time, block):
        end = min(first + block, time)
        # The query heads of a group become rows of one product, so that keys are not copied.
        rows = grouped[:, :, :, first:end].flatten(2, 3)
        logits = (rows @ key[:, :, :end].transpose(2, 3)).view(batch, n_heads, end - first, end)
        square = logits[..., first:]
        later = torch.ones(square.shape[2:], dtype=torch.bool, device=query.device).triu(1)
        square.masked_fill_(later, HIDDEN)
        if keep is not None:
            own = torch.arange(first, end, device=query.device)[:, None] == torch.arange(
                end, device=query.device
            )
            logits.masked_fill_((~keep[:, None, :end] & ~own)[:, None], HIDDEN)
        yield first, logits


def weights(query: Tensor, key: Tensor, keep: Tensor | None = None) -> Tensor:
    """All weights (batch, n_heads, time, time): rows are queries and sum to 1."""
    (_, logits), *_ = logit_blocks(query, key, keep, block=query.shape[2])
    return logits.softmax(dim=-1)

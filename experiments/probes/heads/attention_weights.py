"""Attention weights from the projections of the layers, since fast kernels do not return weights.

Legend: batch, time; n_heads query heads share n_kv_heads key heads of width d_head; rows, a block
of queries; keys.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from experiments.nn.attention import Attention
from experiments.nn.position import rotary_tables, rotate
from experiments.tasks.batch import Batch

MASKED_LOGIT = torch.finfo(torch.float32).min / 2
"""The logit of a key that a query may not see: finite, so that 0 * logit is 0 and not NaN."""

QueryKeyCallback = Callable[[int, Tensor, Tensor], None]


def attention_layers(model: nn.Module) -> list[Attention]:
    """Return the attention layers of a model, from the first to the last."""
    return [part for part in model.modules() if isinstance(part, Attention)]


@torch.no_grad()
def visit_queries_keys(model: nn.Module, batch: Batch, callback: QueryKeyCallback) -> None:
    """Run `model` on a batch in eval mode, and call callback(layer, query, key) for each layer.

    The mode of the model is restored. The arguments of the callback are:

    - layer: the index of an attention layer.
    - query: (batch, n_heads, time, d_head), projected and scaled, so that query @ key are logits.
    - key: (batch, n_kv_heads, time, d_head), projected.

    Both have rotary positions if the layer has them, and are in float32 or float64.
    """
    was_training = model.training
    model.eval()
    try:
        with attention_hooks(model, callback):
            model(*batch.inputs, keep=batch.keep)
    finally:
        model.train(was_training)


@contextmanager
def attention_hooks(model: nn.Module, callback: QueryKeyCallback) -> Iterator[None]:
    """Within this context, hook the attention layers, and call `callback` after each of them.

    Raises:
        ValueError: a layer attends to a memory, to a cache or to later positions.
    """
    projected: dict[nn.Module, Tensor] = {}

    def store(part: nn.Module, _: Any, output: Tensor) -> None:
        projected[part] = output

    def after_layer(index: int, layer: Any, _: Any, options: dict[str, Any], __: Any) -> None:
        for name, default in (("memory", None), ("cache", None), ("causal", True)):
            if options.get(name, default) is not default:
                raise ValueError(
                    f"attention layer {index} is called with {name}={options[name]!r:.40}: heads "
                    "are analysed in causal self-attention; use a task for a decoder-only model"
                )
        callback(index, *queries_keys(layer, projected.pop(layer.query), projected.pop(layer.key)))

    handles = []
    for index, layer in enumerate(attention_layers(model)):
        handles += [part.register_forward_hook(store) for part in (layer.query, layer.key)]
        handles.append(layer.register_forward_hook(partial(after_layer, index), with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def queries_keys(layer: Attention, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Return query and key as `visit_queries_keys` describes them.

    The arguments are the projections, (batch, time, heads * d_head).
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    query, key = (
        x.to(dtype).unflatten(-1, (-1, layer.d_head)).transpose(1, 2) for x in (query, key)
    )
    if layer.position == "rotary":
        cos, sin = rotary_tables(query.shape[2], layer.d_head, device=query.device)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
    return query * layer.d_head**-0.5, key


@torch.no_grad()
def logit_blocks(
    query: Tensor, key: Tensor, keep: Tensor | None, *, block: int
) -> Iterator[tuple[int, Tensor]]:
    """Yield, for each block of queries, its first query and its logits.

    - Logits are (batch, n_heads, rows, keys). Keys end at the block's last query, because no query
      of the block sees a later key.
    - The logit of a key that a query may not see is MASKED_LOGIT: a later key, or padding other
      than the query itself.
    - A logit that is not finite, or as large as MASKED_LOGIT, is NaN.

    All blocks share one buffer, so that memory grows linearly with the length. The next block
    overwrites a block; callers may overwrite it, too.
    """
    batch, n_heads, time, d_head = query.shape
    n_kv_heads = key.shape[1]
    # The largest query and key bound all logits; if the bound is small, no logit needs a check.
    bound = query.abs().amax().double() * key.abs().amax().double() * d_head
    is_small = bool(bound < -MASKED_LOGIT)
    # The query heads of a group become rows of one product, so that keys are not copied.
    grouped = query.reshape(batch * n_kv_heads, n_heads // n_kv_heads, time, d_head)
    columns = key.reshape(batch * n_kv_heads, time, d_head).transpose(1, 2)
    buffer = query.new_empty(batch * n_heads * min(block, time) * time)
    position = torch.arange(time, device=query.device)
    for first in range(0, time, block):
        end = min(first + block, time)
        rows = grouped[:, :, first:end].flatten(1, 2)
        size = batch * n_heads * (end - first) * end
        product = buffer[:size].view(*rows.shape[:2], end)
        torch.bmm(rows, columns[:, :, :end], out=product)
        if not is_small:  # otherwise a masked key could have the largest logit, and all the weight
            product.masked_fill_(~(product.abs() < -MASKED_LOGIT), torch.nan)
        logits = product.view(batch, n_heads, end - first, end)
        queries = position[first:end, None]
        logits[..., first:].masked_fill_(position[first:end] > queries, MASKED_LOGIT)
        if keep is not None:
            is_masked = ~keep[:, None, :end] & (position[:end] != queries)
            logits.masked_fill_(is_masked[:, None], MASKED_LOGIT)
        yield first, logits


def self_attention_weights(query: Tensor, key: Tensor, keep: Tensor | None = None) -> Tensor:
    """Return all weights (batch, n_heads, time, time): rows are queries and sum to 1."""
    ((_, logits),) = logit_blocks(query, key, keep, block=query.shape[2])
    return logits.softmax(dim=-1)

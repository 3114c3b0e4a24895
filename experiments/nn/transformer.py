"""A causal, decoder-only Transformer made of parts.

Legend: batch, time, d_model; width is the number of features of a continuous input.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from experiments.nn.decoding.kv_cache import KVCache
from experiments.nn.moe.routing import Routing, adapt_to_routing, total_aux_loss
from experiments.nn.norm import Residual
from experiments.nn.padding import check_padding_mask, position_ids
from experiments.nn.position import sinusoidal


class Output(NamedTuple):
    """What a model returns.

    Attributes:
        prediction: logits over the vocabulary, or values of a continuous target.
        aux_loss: the sum of the layers' auxiliary losses, already weighted; 0 for a dense model.
        routings: of each block, from the first to the last; None where its ffn routes nothing.
    """

    prediction: Float[Tensor, "batch time n_outputs"]
    aux_loss: Float[Tensor, ""]
    routings: tuple[Routing | None, ...]


class Block(nn.Module):
    """Attention, then a feed-forward network, each with a residual stream and norms around it."""

    def __init__(
        self,
        *,
        attention: nn.Module,
        ffn: nn.Module,
        attention_residual: Residual,
        ffn_residual: Residual,
    ) -> None:
        super().__init__()
        self.attention, self.attention_residual = attention, attention_residual
        self.ffn, self.ffn_residual = ffn, ffn_residual

    def forward(
        self,
        x: Float[Tensor, "batch time d_model"],
        keep: Bool[Tensor, "batch time"] | None = None,
        cache: KVCache | None = None,
    ) -> tuple[Float[Tensor, "batch time d_model"], Routing | None]:
        """The next residual stream, and how the feed-forward part routed, if it does."""
        # Not every attention part can be cached: one that cannot is not asked to take a cache.
        cached = {} if cache is None else {"cache": cache}
        change = self.attention(self.attention_residual.before(x), keep, **cached)
        x = self.attention_residual.join(x, change)
        change, routing = self.ffn(self.ffn_residual.before(x), keep)
        return self.ffn_residual.join(x, change), routing


class Transformer(nn.Module):
    """Input projection, blocks, final norm, and an output head of its own (not tied to the input).

    Args:
        embedding: nn.Embedding for token ids, nn.Linear for continuous vectors.
        blocks: the body.
        final_norm: nn.Identity where the last block's own norm ends the stream (post, deepnorm).
        head: d_model -> vocabulary or width.
        sinusoids: add sinusoidal positions to the embedded input; they count kept positions.
    """

    def __init__(
        self,
        *,
        embedding: nn.Module,
        blocks: Iterable[nn.Module],
        final_norm: nn.Module,
        head: nn.Module,
        sinusoids: bool,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.blocks = nn.ModuleList(blocks)
        self.final_norm = final_norm
        self.head = head
        self.sinusoids = sinusoids

    def forward(
        self,
        inputs: Int[Tensor, "batch time"] | Float[Tensor, "batch time width"],
        keep: Bool[Tensor, "batch time"] | None = None,
        *,
        caches: Sequence[KVCache] | None = None,
    ) -> Output:
        """Predict at every position from it and the earlier ones; `keep` is False at padding.

        With `caches`, one for each block, `inputs` are the positions that follow the cached ones.

        Padding may stand on either side: kept positions are predicted as without it.

        Raises:
            ValueError: padding together with caches, a cache too many or too few, or `keep` is not
                of bools or not of the inputs' shape.
        """
        check_padding_mask(keep, (inputs.shape[0], inputs.shape[1]))
        if keep is not None and bool(keep.all()):
            keep = None  # plain causal attention is faster than attention under a mask
        if keep is not None and caches is not None:
            raise ValueError("cached decoding takes no padding: cut the inputs to kept positions")
        x = self.embedding(inputs)
        if self.sinusoids:
            start = caches[0].length if caches else 0
            table = sinusoidal(*x.shape[1:], start=start, device=x.device).to(x.dtype)
            x = x + (table if keep is None else table[position_ids(keep)])
        routings = []
        per_block = caches if caches is not None else [None] * len(self.blocks)
        for block, cache in zip(self.blocks, per_block, strict=True):
            x, routing = block(x, keep, cache)
            routings.append(routing)
        prediction = self.head(self.final_norm(x))
        return Output(prediction, total_aux_loss(routings, x.device), tuple(routings))

    def new_caches(self, batch: int, capacity: int) -> list[KVCache]:
        """An empty cache for each block."""
        attentions: list[Any] = [block.attention for block in self.blocks]
        return [attention.new_cache(batch, capacity) for attention in attentions]

    @torch.no_grad()
    def after_step(self, output: Output) -> None:
        """Let mixture layers adapt to the load of the step just taken; else do nothing."""
        blocks: list[Any] = list(self.blocks)
        for block, routing in zip(blocks, output.routings, strict=True):
            adapt_to_routing(block.ffn, routing)

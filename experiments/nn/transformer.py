"""A causal, decoder-only Transformer, built from interchangeable parts.

Legend of shapes:
    batch: sequences.
    time: positions.
    d_model: width of the residual stream.
    width: features of a continuous input.
    n_outputs: tokens of the vocabulary, or features of a continuous target.
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
    """The result of a model's forward pass.

    Attributes:
        prediction: logits over the vocabulary, or values of a continuous target.
        aux_loss: the weighted sum of the layers' auxiliary losses; 0 for a dense model.
        routings: one entry for each block, in order; None for a block without a router.
    """

    prediction: Float[Tensor, "batch time n_outputs"]
    aux_loss: Float[Tensor, ""]
    routings: tuple[Routing | None, ...]


class Block(nn.Module):
    """Attention, then a feed-forward network, each with norms and a residual connection."""

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
        """Return the next residual stream, and the routing of a feed-forward part with a router."""
        # Attention of a plug-in may have no parameter `cache`, so it is passed only when needed.
        cached = {} if cache is None else {"cache": cache}
        change = self.attention(self.attention_residual.before(x), keep, **cached)
        x = self.attention_residual.join(x, change)
        change, routing = self.ffn(self.ffn_residual.before(x), keep)
        return self.ffn_residual.join(x, change), routing


class Transformer(nn.Module):
    """Embedding, blocks, final norm and an output head that is not tied to the embedding.

    Args:
        embedding: nn.Embedding for token ids, nn.Linear for continuous vectors.
        blocks: the blocks, in order.
        final_norm: the norm after the last block; nn.Identity if that block ends with a norm
            (placements `post` and `deepnorm`).
        head: a linear map from d_model to the vocabulary or width.
        sinusoids: whether sinusoidal positions are added to the embedded input. Padding does not
            count as a position.
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
        """Predict at every position from the inputs up to it.

        Args:
            inputs: token ids, or vectors of a continuous input.
            keep: False at padding, which may be on the left or right. Predictions at kept positions
                do not change by padding.
            caches: one for each block. `inputs` are then the positions after the cached ones.

        Raises:
            ValueError: padding together with caches, the wrong number of caches, or `keep` is not
                a tensor of bools of shape (batch, time).
        """
        check_padding_mask(keep, (inputs.shape[0], inputs.shape[1]))
        if keep is not None and bool(keep.all()):
            keep = None  # causal attention without a mask is faster
        if keep is not None and caches is not None:
            raise ValueError("caches do not support padding; cut the inputs to kept positions")
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
        """Return an empty cache for each block."""
        attentions: list[Any] = [block.attention for block in self.blocks]
        return [attention.new_cache(batch, capacity) for attention in attentions]

    @torch.no_grad()
    def after_step(self, output: Output) -> None:
        """Let mixture layers adapt to the load of this training step; leave other layers as is."""
        blocks: list[Any] = list(self.blocks)
        for block, routing in zip(blocks, output.routings, strict=True):
            adapt_to_routing(block.ffn, routing)

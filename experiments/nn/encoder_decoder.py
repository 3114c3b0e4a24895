"""An encoder-decoder Transformer (Vaswani 2017) made of the parts of the decoder-only one.

Legend: batch; source, positions of the source sentence; time, positions of the target; d_model.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from experiments.nn.decoding.kv_cache import KVCache
from experiments.nn.moe.routing import Routing, adapt_to_routing, total_aux_loss
from experiments.nn.norm import Residual
from experiments.nn.padding import check_padding_mask, position_ids
from experiments.nn.position import sinusoidal
from experiments.nn.transformer import Block, Output

PAD = 0
"""The token id of padding: the model makes the source mask from it, in training and decoding."""


class EncoderBlock(Block):
    """A block that looks both ways."""

    def forward(
        self,
        x: Float[Tensor, "batch source d_model"],
        keep: Bool[Tensor, "batch source"] | None = None,
        cache: KVCache | None = None,  # noqa: ARG002 - all of a source is there at once
    ) -> tuple[Float[Tensor, "batch source d_model"], Routing | None]:
        """The next residual stream, and how the feed-forward part routed, if it does."""
        change = self.attention(self.attention_residual.before(x), keep, causal=False)
        x = self.attention_residual.join(x, change)
        change, routing = self.ffn(self.ffn_residual.before(x), keep)
        return self.ffn_residual.join(x, change), routing


class DecoderBlock(nn.Module):
    """Causal attention, attention to a memory, then a feed-forward network."""

    def __init__(
        self,
        *,
        attention: nn.Module,
        cross: nn.Module,
        ffn: nn.Module,
        attention_residual: Residual,
        cross_residual: Residual,
        ffn_residual: Residual,
    ) -> None:
        super().__init__()
        self.attention, self.attention_residual = attention, attention_residual
        self.cross, self.cross_residual = cross, cross_residual
        self.ffn, self.ffn_residual = ffn, ffn_residual

    def forward(
        self,
        x: Float[Tensor, "batch time d_model"],
        memory: Float[Tensor, "batch source d_model"] | KVCache,
        *,
        keep: Bool[Tensor, "batch time"] | None = None,
        source_keep: Bool[Tensor, "batch source"] | None = None,
        cache: KVCache | None = None,
    ) -> tuple[Float[Tensor, "batch time d_model"], Routing | None]:
        """The next residual stream, and how the feed-forward part routed, if it does."""
        change = self.attention(self.attention_residual.before(x), keep, cache=cache)
        x = self.attention_residual.join(x, change)
        change = self.cross(self.cross_residual.before(x), source_keep, memory=memory)
        x = self.cross_residual.join(x, change)
        change, routing = self.ffn(self.ffn_residual.before(x), keep)
        return self.ffn_residual.join(x, change), routing


@dataclass
class DecodingState:
    """What stays between two steps of a decoding."""

    caches: list[KVCache]  # of the target so far, one a decoder block
    memories: list[KVCache]  # of the encoded source, computed once
    source_keep: Bool[Tensor, "batch source"] | None  # None: nothing is padding
    positions: Float[Tensor, "capacity d_model"] | None  # added to embeddings, where sinusoidal


class EncoderDecoder(nn.Module):
    """Embeddings times sqrt(d_model), encoder blocks, decoder blocks, a head that is not tied.

    Args:
        source_embedding, target_embedding: of token ids; `PAD` is padding in both.
        encoder, decoder: as many blocks each as wanted.
        encoder_norm, decoder_norm: nn.Identity where a block's own norm ends the stream (post).
        head: d_model -> target vocabulary.
        sinusoids: add sinusoidal positions to both embeddings; they count kept positions.
    """

    def __init__(
        self,
        *,
        source_embedding: nn.Embedding,
        target_embedding: nn.Embedding,
        encoder: Iterable[nn.Module],
        decoder: Iterable[nn.Module],
        encoder_norm: nn.Module,
        decoder_norm: nn.Module,
        head: nn.Module,
        sinusoids: bool,
    ) -> None:
        super().__init__()
        self.source_embedding, self.target_embedding = source_embedding, target_embedding
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.encoder_norm, self.decoder_norm = encoder_norm, decoder_norm
        self.head = head
        self.sinusoids = sinusoids

    def forward(
        self,
        source: Int[Tensor, "batch source"],
        target: Int[Tensor, "batch time"],
        keep: Bool[Tensor, "batch time"] | None = None,
    ) -> Output:
        """Predict at every position of the target from it, the earlier ones and the whole source.

        `keep` is False at padding of the target; that of the source is told by `PAD`. Either may
        be padded on either side: kept positions are predicted as without padding.

        Raises:
            ValueError: `keep` is not of bools, or not of the target's shape.
        """
        check_padding_mask(keep, (target.shape[0], target.shape[1]))
        memory, source_keep, routings = self.encode(source)
        keep = none_if_unpadded(keep)
        x = self._embed(self.target_embedding, target, self._positions(target.shape[1], keep))
        for block in self.decoder:
            x, routing = block(x, memory, keep=keep, source_keep=source_keep)
            routings.append(routing)
        prediction = self.head(self.decoder_norm(x))
        return Output(prediction, total_aux_loss(routings, x.device), tuple(routings))

    def encode(
        self, source: Int[Tensor, "batch source"]
    ) -> tuple[
        Float[Tensor, "batch source d_model"],
        Bool[Tensor, "batch source"] | None,
        list[Routing | None],
    ]:
        """The memory, where it is no padding (None: everywhere), and a routing of each block."""
        keep = none_if_unpadded(source != PAD)
        x = self._embed(self.source_embedding, source, self._positions(source.shape[1], keep))
        routings = []
        for block in self.encoder:
            x, routing = block(x, keep)
            routings.append(routing)
        return self.encoder_norm(x), keep, routings

    def start_decoding(
        self, source: Int[Tensor, "batch source"], *, capacity: int
    ) -> DecodingState:
        """Encode a source, for targets of up to `capacity` tokens."""
        memory, keep, _ = self.encode(source)
        blocks: list[Any] = list(self.decoder)
        return DecodingState(
            [block.attention.new_cache(len(source), capacity) for block in blocks],
            [block.cross.new_memory_cache(memory) for block in blocks],
            keep,
            self._positions(capacity),
        )

    def decode_next(
        self, target: Int[Tensor, "batch time"], state: DecodingState
    ) -> Float[Tensor, "batch time n_outputs"]:
        """Logits of the tokens that follow the cached ones, which are cached too."""
        start, positions = state.caches[0].length, state.positions
        if positions is not None:
            positions = positions[start : start + target.shape[1]]
        x = self._embed(self.target_embedding, target, positions)
        for block, memory, cache in zip(self.decoder, state.memories, state.caches, strict=True):
            x, _ = block(x, memory, source_keep=state.source_keep, cache=cache)
        return self.head(self.decoder_norm(x))

    @torch.no_grad()
    def after_step(self, output: Output) -> None:
        """Let mixture layers adapt to the load of the step just taken; else do nothing."""
        blocks: list[Any] = [*self.encoder, *self.decoder]
        for block, routing in zip(blocks, output.routings, strict=True):
            adapt_to_routing(block.ffn, routing)

    def _positions(self, length: int, keep: Tensor | None = None) -> Tensor | None:
        if not self.sinusoids:
            return None
        weight = self.target_embedding.weight
        table = sinusoidal(length, weight.shape[1], device=weight.device).to(weight.dtype)
        return table if keep is None else table[position_ids(keep)]

    def _embed(self, embedding: nn.Module, ids: Tensor, positions: Tensor | None) -> Tensor:
        x = embedding(ids)
        x = x * math.sqrt(x.shape[2])
        return x if positions is None else x + positions


def none_if_unpadded(keep: Bool[Tensor, "batch keys"] | None) -> Bool[Tensor, "batch keys"] | None:
    """None where nothing is padding: attention without a mask is faster."""
    return None if keep is None or bool(keep.all()) else keep

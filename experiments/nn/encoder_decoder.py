"""An encoder-decoder Transformer (Vaswani 2017), built from the same parts as the decoder-only one.

Legend of shapes:
    batch: pairs of sentences.
    source: positions of the source sentence.
    time: positions of the target sentence.
    d_model: width of the residual stream.
    n_outputs: tokens of the target vocabulary.
    capacity: the most target positions that a decoding can have.
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
"""The token id of padding. The model derives the source mask from it, in training and decoding."""


class EncoderBlock(Block):
    """A block whose attention sees earlier and later positions."""

    def forward(
        self,
        x: Float[Tensor, "batch source d_model"],
        keep: Bool[Tensor, "batch source"] | None = None,
        cache: KVCache | None = None,  # noqa: ARG002 - a source is encoded in one call
    ) -> tuple[Float[Tensor, "batch source d_model"], Routing | None]:
        """Return the next residual stream, and the routing of a feed-forward part with a router."""
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
        """Return the next residual stream, and the routing of a feed-forward part with a router."""
        change = self.attention(self.attention_residual.before(x), keep, cache=cache)
        x = self.attention_residual.join(x, change)
        change = self.cross(self.cross_residual.before(x), source_keep, memory=memory)
        x = self.cross_residual.join(x, change)
        change, routing = self.ffn(self.ffn_residual.before(x), keep)
        return self.ffn_residual.join(x, change), routing


@dataclass
class DecodingState:
    """The state that a decoding passes from one step to the next.

    Attributes:
        caches: for each decoder block, keys and values of the target so far.
        memories: for each decoder block, keys and values of the encoded source, computed once.
        source_keep: False at padding of the source; None if it has no padding.
        positions: sinusoids to add to the target embeddings; None without sinusoids.
    """

    caches: list[KVCache]
    memories: list[KVCache]
    source_keep: Bool[Tensor, "batch source"] | None
    positions: Float[Tensor, "capacity d_model"] | None


class EncoderDecoder(nn.Module):
    """Embeddings times sqrt(d_model), encoder blocks, decoder blocks and an untied output head.

    Args:
        source_embedding, target_embedding: embeddings of token ids; `PAD` is padding in both.
        encoder, decoder: the blocks of each side, in order.
        encoder_norm, decoder_norm: the norm after the last block of a side; nn.Identity if that
            block ends with a norm (placements `post` and `deepnorm`).
        head: a linear map from d_model to the target vocabulary.
        sinusoids: whether sinusoidal positions are added to both embeddings. Padding does not
            count as a position.
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
        """Predict the next token at every target position, from the target so far and the source.

        `keep` is False at padding of the target. Padding of the source is found by its id, `PAD`.
        Both may be padded on the left or right; predictions at kept positions do not change.

        Raises:
            ValueError: `keep` is not a tensor of bools, or its shape is not that of the target.
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
        """Return the memory, its padding mask (None without padding), and each block's routing."""
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
        """Encode a source and return the state for decoding up to `capacity` target tokens."""
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
        """Return the logits after each token of `target`, and append these tokens to the caches.

        `target` holds the new tokens only; they follow the cached ones.
        """
        start, positions = state.caches[0].length, state.positions
        if positions is not None:
            positions = positions[start : start + target.shape[1]]
        x = self._embed(self.target_embedding, target, positions)
        for block, memory, cache in zip(self.decoder, state.memories, state.caches, strict=True):
            x, _ = block(x, memory, source_keep=state.source_keep, cache=cache)
        return self.head(self.decoder_norm(x))

    @torch.no_grad()
    def after_step(self, output: Output) -> None:
        """Let mixture layers adapt to the load of this training step; leave other layers as is."""
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
    """Return None for a mask without padding, since attention without a mask is faster."""
    return None if keep is None or bool(keep.all()) else keep

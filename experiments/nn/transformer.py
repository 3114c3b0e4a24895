"""A causal, decoder-only Transformer made of parts.

Legend: batch, time, d_model; width is the number of features of a continuous input.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from experiments.config import Placement
from experiments.nn.position import sinusoidal
from experiments.nn.routing import Routing


class Output(NamedTuple):
    """What a model returns.

    Attributes:
        prediction: logits over the vocabulary, or values of a continuous target.
        aux_loss: the sum of the layers' auxiliary losses, already weighted; 0 for a dense model.
        routings: one for each mixture layer, from the first to the last.
    """

    prediction: Float[Tensor, "batch time n_outputs"]
    aux_loss: Float[Tensor, ""]
    routings: tuple[Routing, ...]


class Block(nn.Module):
    """Attention, then a feed-forward network, each with a residual connection and a norm.

    `pre`: x + f(norm(x)), which needs a final norm behind the last block; `post`: norm(x + f(x)).
    """

    def __init__(
        self,
        *,
        attention: nn.Module,
        ffn: nn.Module,
        attention_norm: nn.Module,
        ffn_norm: nn.Module,
        placement: Placement,
    ) -> None:
        super().__init__()
        self.attention, self.attention_norm = attention, attention_norm
        self.ffn, self.ffn_norm = ffn, ffn_norm
        self.placement = placement

    def forward(
        self, x: Float[Tensor, "batch time d_model"], keep: Bool[Tensor, "batch time"] | None = None
    ) -> tuple[Float[Tensor, "batch time d_model"], Routing | None]:
        """The next residual stream, and how the feed-forward part routed, if it does."""
        if self.placement is Placement.pre:
            x = x + self.attention(self.attention_norm(x), keep)
            change, routing = self.ffn(self.ffn_norm(x), keep)
            return x + change, routing
        x = self.attention_norm(x + self.attention(x, keep))
        change, routing = self.ffn(x, keep)
        return self.ffn_norm(x + change), routing


class Transformer(nn.Module):
    """Input projection, blocks, final norm, and an output head of its own (not tied to the input).

    Args:
        embedding: nn.Embedding for token ids, nn.Linear for continuous vectors.
        blocks: the body.
        final_norm: nn.Identity for post-norm.
        head: d_model -> vocabulary or width.
        sinusoids: add sinusoidal positions to the embedded input.
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
    ) -> Output:
        """Predict at every position from it and the earlier ones; `keep` is False at padding."""
        if keep is not None and bool(keep.all()):
            keep = None  # plain causal attention is faster than attention under a mask
        x = self.embedding(inputs)
        if self.sinusoids:
            x = x + sinusoidal(x.shape[1], x.shape[2], device=x.device).to(x.dtype)
        routings = []
        for block in self.blocks:
            x, routing = block(x, keep)
            if routing is not None:
                routings.append(routing)
        prediction = self.head(self.final_norm(x))
        aux_loss = torch.zeros((), device=x.device)
        for routing in routings:
            aux_loss = aux_loss + routing.aux_loss
        return Output(prediction, aux_loss, tuple(routings))

    @torch.no_grad()
    def after_step(self, output: Output) -> None:
        """Let mixture layers adapt to the load of the step just taken; else do nothing."""
        mixtures: list[Any] = [b.ffn for b in self.blocks if hasattr(b.ffn, "after_step")]
        for mixture, routing in zip(mixtures, output.routings, strict=True):
            mixture.after_step(routing)

"""The construction of a decoder-only Transformer from parts. Imports torch in functions."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from experiments.parts import NormSlots, Part
from experiments.parts.body import count_residual_writers

if TYPE_CHECKING:
    from experiments.nn.norm import DeepNorm, Residual
    from experiments.nn.transformer import Transformer


class TransformerParts(Protocol):
    """The options of an arm that define its Transformer."""

    model: Any
    attention: Any
    ffn: Any
    norm: Any


def build_residual(norm: Part, part: Part, d_model: int, *, constants: "DeepNorm") -> "Residual":
    """Return the norms and the residual connection around `part` of a block.

    `constants` apply if the placement is DeepNorm. A part that does not write into the stream gets
    no norms, so the stream does not change.
    """
    from experiments.nn.norm import Residual

    slots = norm.norm_slots if part.writes_to_residual else NormSlots()
    return Residual(
        partial(norm.build, d_model),
        before=slots.before,
        behind=slots.behind,
        outer=slots.outer,
        alpha=constants.alpha if slots.is_deepnorm else 1.0,
    )


def build_transformer(
    parts: TransformerParts,
    *,
    vocabulary: int | None,
    width: int | None,
    seed: int,
    lengths: Sequence[int] = (),
) -> "Transformer":
    """Return the initialised model of an arm, for token ids or for vectors of `width` features.

    `lengths` are positions of the task's sequences, for plain modules that serve no other length.

    Raises:
        ValueError: both of `vocabulary` and `width` are None, or neither is.
    """
    from torch import nn

    from experiments.nn.initialise import initialise, starting_gains
    from experiments.nn.norm import deepnorm
    from experiments.nn.transformer import Block, Transformer

    if (vocabulary is None) == (width is None):
        raise ValueError(f"give one of vocabulary={vocabulary} and width={width}, the other None")
    d_model, n_layers = parts.model.d_model, parts.model.n_layers
    # At least 1: if no part writes into the stream, no weight has a gain.
    slots, n_parts = (
        parts.norm.norm_slots,
        max(1, count_residual_writers(parts.attention, parts.ffn)),
    )
    residual = partial(
        build_residual, parts.norm, d_model=d_model, constants=deepnorm(n_layers, n_parts=n_parts)
    )
    embedding: nn.Module
    if vocabulary is not None:
        embedding = nn.Embedding(vocabulary, d_model)
        head = nn.Linear(d_model, vocabulary, bias=False)
    else:
        # With a bias: without one, a norm would remove the magnitude of a narrow input.
        assert width is not None
        embedding = nn.Linear(width, d_model)
        head = nn.Linear(d_model, width)
    model = Transformer(
        embedding=embedding,
        blocks=[
            Block(
                attention=parts.attention.build(d_model),
                ffn=parts.ffn.build(d_model),
                attention_residual=residual(parts.attention),
                ffn_residual=residual(parts.ffn),
            )
            for _ in range(n_layers)
        ],
        final_norm=parts.norm.build(d_model) if slots.final else nn.Identity(),
        head=head,
        sinusoids=parts.attention.sinusoids,
    )
    init = parts.model.init.value
    gains = starting_gains(n_layers, n_parts=n_parts, init=init, is_deepnorm=slots.is_deepnorm)
    initialise(model, seed, gains=gains, lengths=lengths)
    return model

"""How a decoder-only Transformer is built from the parts of an arm. Imports torch in functions."""

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from experiments.parts import NormSlots, Part
from experiments.parts.body import count_residual_writers

if TYPE_CHECKING:
    from experiments.nn.norm import DeepNorm, Residual
    from experiments.nn.transformer import Transformer


class TransformerParts(Protocol):
    """The options of one arm that a Transformer is made of."""

    model: Any
    attention: Any
    ffn: Any
    norm: Any


def build_residual(norm: Part, part: Part, d_model: int, *, constants: "DeepNorm") -> "Residual":
    """Return the norms around `part` of a block; `is_deepnorm` are the constants, if it is DeepNorm.

    Around a part that does not write into the stream there are none: the stream passes as it is.
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
    arm: TransformerParts, *, vocabulary: int | None, width: int | None, seed: int
) -> "Transformer":
    """Return the initialised model of an arm, for token ids or continuous vectors of `width`.

    Raises:
        ValueError: where not exactly one of `vocabulary` and `width` is given.
    """
    from torch import nn

    from experiments.nn.initialise import initialise, starting_gains
    from experiments.nn.norm import deepnorm
    from experiments.nn.transformer import Block, Transformer

    if (vocabulary is None) == (width is None):
        raise ValueError(f"give one of vocabulary={vocabulary} and width={width}, the other None")
    d_model, n_layers = arm.model.d_model, arm.model.n_layers
    slots, n_parts = arm.norm.norm_slots, max(1, count_residual_writers(arm.attention, arm.ffn))
    residual = partial(
        build_residual, arm.norm, d_model=d_model, constants=deepnorm(n_layers, n_parts=n_parts)
    )
    embedding: nn.Module
    if vocabulary is not None:
        embedding = nn.Embedding(vocabulary, d_model)
        head = nn.Linear(d_model, vocabulary, bias=False)
    else:
        # The bias matters: without it, a norm would erase the size of a narrow input.
        assert width is not None
        embedding = nn.Linear(width, d_model)
        head = nn.Linear(d_model, width)
    model = Transformer(
        embedding=embedding,
        blocks=[
            Block(
                attention=arm.attention.build(d_model),
                ffn=arm.ffn.build(d_model),
                attention_residual=residual(arm.attention),
                ffn_residual=residual(arm.ffn),
            )
            for _ in range(n_layers)
        ],
        final_norm=arm.norm.build(d_model) if slots.final else nn.Identity(),
        head=head,
        sinusoids=arm.attention.sinusoids,
    )
    init = arm.model.init.value
    gains = starting_gains(n_layers, n_parts=n_parts, init=init, is_deepnorm=slots.is_deepnorm)
    initialise(model, seed, gains=gains)
    return model

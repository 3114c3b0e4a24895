"""From options to modules: one entry per dataclass of `experiments.config`.

A part of one's own registers its dataclass there with `option` and its module here with `builder`.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import nn

from experiments import config
from experiments.nn.attention import Attention
from experiments.nn.encoder_decoder import DecoderBlock, EncoderBlock, EncoderDecoder
from experiments.nn.ffn import FeedForward, NoFeedForward
from experiments.nn.initialise import encoder_decoder_gains, initialise, starting_gains
from experiments.nn.moe import MixtureOfExperts
from experiments.nn.norm import (
    DeepNorm,
    Residual,
    build_norm,
    deepnorm,
    deepnorm_decoder,
    deepnorm_encoder,
)
from experiments.nn.transformer import Block, Transformer

Builder = Callable[[Any, int], nn.Module]
B = TypeVar("B", bound=Builder)
BUILDERS: dict[type, Builder] = {}


@runtime_checkable
class Arm(Protocol):
    """The options of one arm that a Transformer is made of."""

    model: Any
    attention: Any
    ffn: Any
    norm: Any


def builder(schema: type) -> Callable[[B], B]:
    """Register what makes the module of `schema`: a function of the options and d_model."""

    def register(function: B) -> B:
        BUILDERS[schema] = function
        return function

    return register


def build(options: object, d_model: int) -> nn.Module:
    """The module of one part, not yet initialised.

    Raises:
        ValueError: where nothing is registered for this type of options.
    """
    if type(options) not in BUILDERS:
        known = ", ".join(schema.__name__ for schema in BUILDERS)
        raise ValueError(f"no builder for {type(options).__name__}; there are {known}")
    return BUILDERS[type(options)](options, d_model)


def keywords(options: Any) -> dict[str, Any]:
    """The fields that the module takes too: all but `kind`, which only names the option."""
    return {
        f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name != "kind"
    }


@builder(config.Attention)
def _attention(options: config.Attention, d_model: int) -> nn.Module:
    return Attention(d_model, **keywords(options))


@builder(config.FeedForward)
def _feed_forward(options: config.FeedForward, d_model: int) -> nn.Module:
    return FeedForward(d_model, **keywords(options))


@builder(config.NoFeedForward)
def _no_feed_forward(options: config.NoFeedForward, d_model: int) -> nn.Module:  # noqa: ARG001
    return NoFeedForward()


@builder(config.MixtureOfExperts)
def _mixture(options: config.MixtureOfExperts, d_model: int) -> nn.Module:
    return MixtureOfExperts(d_model, **keywords(options))


@builder(config.Norm)
def _norm(options: config.Norm, d_model: int) -> nn.Module:
    return build_norm(d_model, type=options.type, eps=options.eps)


def build_residual(norm: Any, part: object, d_model: int, *, deep: DeepNorm) -> Residual:
    """The norms around `part` of a block; `deep` are the constants, if it is DeepNorm.

    Around no feed-forward network there are none: the stream passes as it is.
    """
    slots = (
        config.Slots() if isinstance(part, config.NoFeedForward) else config.SLOTS[norm.placement]
    )
    alpha = deep.alpha if slots.deep else 1.0
    return Residual(lambda: build(norm, d_model), slots=slots, alpha=alpha)


def parts_of_a_block(arm: Arm, n: int) -> int:
    """How many of the `n` parts that a block can have write into the stream."""
    return n - isinstance(arm.ffn, config.NoFeedForward)


def build_transformer(
    arm: Arm, *, vocabulary: int | None, width: int | None, seed: int
) -> Transformer:
    """The initialised model of an arm, for token ids or continuous vectors of `width`.

    Raises:
        ValueError: where not exactly one of `vocabulary` and `width` is given.
    """
    if (vocabulary is None) == (width is None):
        raise ValueError(f"give one of vocabulary={vocabulary} and width={width}, the other None")
    d_model, n_layers = arm.model.d_model, arm.model.n_layers
    slots = config.SLOTS[arm.norm.placement]
    n_parts = parts_of_a_block(arm, 2)
    residual = partial(
        build_residual, arm.norm, d_model=d_model, deep=deepnorm(n_layers, n_parts=n_parts)
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
                attention=build(arm.attention, d_model),
                ffn=build(arm.ffn, d_model),
                attention_residual=residual(arm.attention),
                ffn_residual=residual(arm.ffn),
            )
            for _ in range(n_layers)
        ],
        final_norm=build(arm.norm, d_model) if slots.final else nn.Identity(),
        head=head,
        sinusoids=getattr(arm.attention, "position", None) is config.Position.sinusoidal,
    )
    gains = starting_gains(n_layers, n_parts=n_parts, init=arm.model.init, deep=slots.deep)
    initialise(model, seed, gains=gains)
    return model


def build_encoder_decoder(
    arm: Arm, *, source_vocabulary: int, target_vocabulary: int, seed: int
) -> EncoderDecoder:
    """The initialised translation model of an arm: n_layers blocks encode, n_layers decode."""
    d_model, n_layers = arm.model.d_model, arm.model.n_layers
    slots = config.SLOTS[arm.norm.placement]

    def parts(deep: DeepNorm, *names: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in names:
            part = arm.ffn if name == "ffn" else arm.attention
            found[name] = build(part, d_model)
            found[f"{name}_residual"] = build_residual(arm.norm, part, d_model, deep=deep)
        return found

    encoding = deepnorm_encoder(n_layers, n_layers)
    decoding = deepnorm_decoder(n_layers, n_parts=parts_of_a_block(arm, 3))
    model = EncoderDecoder(
        source_embedding=nn.Embedding(source_vocabulary, d_model),
        target_embedding=nn.Embedding(target_vocabulary, d_model),
        encoder=[EncoderBlock(**parts(encoding, "attention", "ffn")) for _ in range(n_layers)],
        decoder=[
            DecoderBlock(**parts(decoding, "attention", "cross", "ffn")) for _ in range(n_layers)
        ],
        encoder_norm=build(arm.norm, d_model) if slots.final else nn.Identity(),
        decoder_norm=build(arm.norm, d_model) if slots.final else nn.Identity(),
        head=nn.Linear(d_model, target_vocabulary, bias=False),
        sinusoids=getattr(arm.attention, "position", None) is config.Position.sinusoidal,
    )
    gains = encoder_decoder_gains(
        n_layers,
        n_parts=(parts_of_a_block(arm, 2), parts_of_a_block(arm, 3)),
        init=arm.model.init,
        deep=slots.deep,
    )
    initialise(model, seed, gains=gains)
    with torch.no_grad():
        # The model multiplies embeddings by sqrt(d_model), which has a point only where they start
        # small (Vaswani 2017): else positions of size 1 would drown in words of size sqrt(d_model).
        for embedding in (model.source_embedding, model.target_embedding):
            embedding.weight.mul_(d_model**-0.5)
    return model

"""The construction of an encoder-decoder from parts. Imports torch in functions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.parts.body import count_residual_writers
from experiments.parts.transformer import TransformerParts, build_residual

if TYPE_CHECKING:
    from experiments.nn.encoder_decoder import EncoderDecoder
    from experiments.nn.norm import DeepNorm


def build_encoder_decoder(
    parts: TransformerParts,
    *,
    source_vocabulary: int,
    target_vocabulary: int,
    seed: int,
    lengths: Sequence[int] = (),
) -> "EncoderDecoder":
    """Return the initialised translation model, with n_layers blocks in encoder and in decoder.

    `lengths` are positions of the task's sequences, for plain modules that serve no other length.
    """
    import torch
    from torch import nn

    from experiments.nn.encoder_decoder import DecoderBlock, EncoderBlock, EncoderDecoder
    from experiments.nn.initialise import encoder_decoder_gains, initialise
    from experiments.nn.norm import deepnorm_decoder, deepnorm_encoder

    d_model, n_layers = parts.model.d_model, parts.model.n_layers
    slots = parts.norm.norm_slots
    # At least 1: if no part writes into the stream, no weight has a gain.
    n_encoder_parts = max(1, count_residual_writers(parts.attention, parts.ffn))
    n_decoder_parts = max(1, count_residual_writers(parts.attention, parts.attention, parts.ffn))

    def build_modules(constants: "DeepNorm", *names: str) -> dict[str, Any]:
        modules: dict[str, Any] = {}
        for name in names:
            part = parts.ffn if name == "ffn" else parts.attention
            modules[name] = part.build(d_model)
            modules[f"{name}_residual"] = build_residual(
                parts.norm, part, d_model, constants=constants
            )
        return modules

    encoder_constants = deepnorm_encoder(n_layers, n_layers)
    decoder_constants = deepnorm_decoder(n_layers, n_parts=n_decoder_parts)
    model = EncoderDecoder(
        source_embedding=nn.Embedding(source_vocabulary, d_model),
        target_embedding=nn.Embedding(target_vocabulary, d_model),
        encoder=[
            EncoderBlock(**build_modules(encoder_constants, "attention", "ffn"))
            for _ in range(n_layers)
        ],
        decoder=[
            DecoderBlock(**build_modules(decoder_constants, "attention", "cross", "ffn"))
            for _ in range(n_layers)
        ],
        encoder_norm=parts.norm.build(d_model) if slots.final else nn.Identity(),
        decoder_norm=parts.norm.build(d_model) if slots.final else nn.Identity(),
        head=nn.Linear(d_model, target_vocabulary, bias=False),
        sinusoids=parts.attention.sinusoids,
    )
    gains = encoder_decoder_gains(
        n_layers,
        n_parts=(n_encoder_parts, n_decoder_parts),
        init=parts.model.init.value,
        is_deepnorm=slots.is_deepnorm,
    )
    initialise(model, seed, gains=gains, lengths=lengths)
    with torch.no_grad():
        # The model multiplies embeddings by sqrt(d_model) (Vaswani 2017), so they have to start
        # small: words of size sqrt(d_model) would otherwise hide sinusoids of size 1.
        for embedding in (model.source_embedding, model.target_embedding):
            embedding.weight.mul_(d_model**-0.5)
    return model

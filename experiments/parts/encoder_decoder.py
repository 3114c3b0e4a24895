"""How an encoder-decoder is built from the parts of an arm. Imports torch in functions."""

from typing import TYPE_CHECKING, Any

from experiments.parts.body import count_residual_writers
from experiments.parts.transformer import TransformerParts, build_residual

if TYPE_CHECKING:
    from experiments.nn.encoder_decoder import EncoderDecoder
    from experiments.nn.norm import DeepNorm


def build_encoder_decoder(
    arm: TransformerParts, *, source_vocabulary: int, target_vocabulary: int, seed: int
) -> "EncoderDecoder":
    """Return the initialised translation model: n_layers blocks encode, n_layers decode."""
    import torch
    from torch import nn

    from experiments.nn.encoder_decoder import DecoderBlock, EncoderBlock, EncoderDecoder
    from experiments.nn.initialise import encoder_decoder_gains, initialise
    from experiments.nn.norm import deepnorm_decoder, deepnorm_encoder

    d_model, n_layers = arm.model.d_model, arm.model.n_layers
    slots = arm.norm.norm_slots
    # A block of parts that write nothing has no weights that a gain could change.
    encoded = max(1, count_residual_writers(arm.attention, arm.ffn))
    decoded = max(1, count_residual_writers(arm.attention, arm.attention, arm.ffn))

    def parts(deep: "DeepNorm", *names: str) -> dict[str, Any]:
        modules: dict[str, Any] = {}
        for name in names:
            part = arm.ffn if name == "ffn" else arm.attention
            modules[name] = part.build(d_model)
            modules[f"{name}_residual"] = build_residual(arm.norm, part, d_model, constants=deep)
        return modules

    encoding = deepnorm_encoder(n_layers, n_layers)
    decoding = deepnorm_decoder(n_layers, n_parts=decoded)
    model = EncoderDecoder(
        source_embedding=nn.Embedding(source_vocabulary, d_model),
        target_embedding=nn.Embedding(target_vocabulary, d_model),
        encoder=[EncoderBlock(**parts(encoding, "attention", "ffn")) for _ in range(n_layers)],
        decoder=[
            DecoderBlock(**parts(decoding, "attention", "cross", "ffn")) for _ in range(n_layers)
        ],
        encoder_norm=arm.norm.build(d_model) if slots.final else nn.Identity(),
        decoder_norm=arm.norm.build(d_model) if slots.final else nn.Identity(),
        head=nn.Linear(d_model, target_vocabulary, bias=False),
        sinusoids=arm.attention.sinusoids,
    )
    gains = encoder_decoder_gains(
        n_layers,
        n_parts=(encoded, decoded),
        init=arm.model.init.value,
        is_deepnorm=slots.is_deepnorm,
    )
    initialise(model, seed, gains=gains)
    with torch.no_grad():
        # The model multiplies embeddings by sqrt(d_model), which has a point only where they start
        # small (Vaswani 2017): else positions of size 1 would drown in words of size sqrt(d_model).
        for embedding in (model.source_embedding, model.target_embedding):
            embedding.weight.mul_(d_model**-0.5)
    return model

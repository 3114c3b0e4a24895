"""Blocks without a feed-forward network, `ffn=none`: formulas, norms and starting weights."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from experiments.nn.norm import Residual
from experiments.nn.transformer import Block
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.encoder_decoder import build_encoder_decoder
from experiments.parts.no_ffn import NoFeedForwardPart as NoFeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.parts.transformer import build_transformer

D_MODEL, N_LAYERS = 16, 3
PLACEMENT = pytest.mark.parametrize("placement", list(Placement))


def arm(placement: Placement, init: Init = Init.plain) -> SimpleNamespace:
    return SimpleNamespace(
        model=ModelOptions(D_MODEL, N_LAYERS, init),
        attention=AttentionOptions(
            "multihead", 4, 4, False, 0.0, Position.sinusoidal, Kernel.fused
        ),
        ffn=NoFeedForwardOptions("none"),
        norm=NormOptions("norm", placement, NormType.layer, 1e-5),
    )


def decoder_only(placement: Placement, init: Init = Init.plain) -> nn.Module:
    return build_transformer(arm(placement, init), vocabulary=11, width=None, seed=0)


def both(placement: Placement, init: Init = Init.plain) -> nn.Module:
    return build_encoder_decoder(
        arm(placement, init), source_vocabulary=5, target_vocabulary=6, seed=0
    )


def written_out(block: Block, placement: Placement, x: Tensor) -> Tensor:
    norm = block.attention_residual
    if placement is Placement.pre:
        return x + block.attention(norm.before(x))
    if placement is Placement.peri:
        return x + norm.behind(block.attention(norm.before(x)))
    # Each block has one part that writes into the stream: N_LAYERS in place of 2 N_LAYERS.
    alpha = N_LAYERS**0.25 if placement is Placement.deepnorm else 1.0
    return norm.outer(alpha * x + block.attention(x))


@PLACEMENT
def test_a_block_is_its_formula(placement: Placement) -> None:
    x = torch.randn(2, 5, D_MODEL)
    for block in decoder_only(placement).blocks:
        output, routing = block(x)
        torch.testing.assert_close(output, written_out(block, placement, x))
        assert routing is None


@PLACEMENT
@pytest.mark.parametrize("build", [decoder_only, both])
def test_nothing_stands_around_what_is_not_there(build, placement: Placement) -> None:
    ffn_parts = {name: part for name, part in build(placement).named_modules() if "ffn" in name}
    assert ffn_parts
    assert not [name for name, part in ffn_parts.items() if list(part.parameters())]
    around = [part for part in ffn_parts.values() if isinstance(part, Residual)]
    x = torch.randn(2, 5, D_MODEL)
    assert all(torch.equal(part.join(x, torch.zeros_like(x)), x) for part in around)


def test_scaled_starts_count_attention_alone() -> None:
    for build, writers in (
        (decoder_only, {"blocks": N_LAYERS}),
        (both, {"encoder": N_LAYERS, "decoder": 2 * N_LAYERS}),
    ):
        plain, scaled = (
            build(Placement.pre, init).state_dict() for init in (Init.plain, Init.scaled)
        )
        for name, value in plain.items():
            writes = name.endswith("out.weight")
            n = writers[name.split(".")[0]] if writes else 1
            torch.testing.assert_close(scaled[name], value * n**-0.5)


def test_deepnorm_counts_the_parts_that_there_are() -> None:
    # (4 W)^(-1/4) on values and outputs, where W parts write into a stream: 3, in a decoder 6.
    plain = decoder_only(Placement.post).state_dict()
    deep = decoder_only(Placement.deepnorm).state_dict()
    name = "blocks.1.attention.{}.weight".format
    torch.testing.assert_close(deep[name("out")], 12**-0.25 * plain[name("out")])
    assert torch.equal(deep[name("query")], plain[name("query")])
    alphas = {
        m.alpha
        for name, m in both(Placement.deepnorm).decoder.named_modules()
        if isinstance(m, Residual) and "ffn" not in name
    }
    assert list(alphas) == [pytest.approx(6**0.25)]

"""Starting weights and residual weights (alpha) of an encoder-decoder, against the papers."""

from types import SimpleNamespace

import pytest
import torch

from experiments.nn.encoder_decoder import EncoderDecoder
from experiments.nn.norm import Residual
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.encoder_decoder import build_encoder_decoder
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement

N_LAYERS = 2


def build(
    *,
    n_layers: int = N_LAYERS,
    init: Init = Init.scaled,
    placement: Placement = Placement.pre,
) -> EncoderDecoder:
    arm = SimpleNamespace(
        model=ModelOptions(16, n_layers, init),
        attention=AttentionOptions(
            "multihead", 2, 2, False, 0.0, Position.sinusoidal, Kernel.fused
        ),
        ffn=FeedForwardOptions("dense", 16, Activation.relu, False, False, 0.0),
        norm=NormOptions("norm", placement, NormType.layer, 1e-5),
    )
    return build_encoder_decoder(arm, source_vocabulary=5, target_vocabulary=6, seed=0)


def test_scaled_starts_count_what_writes_into_each_stream() -> None:
    plain, scaled = (build(init=init).state_dict() for init in (Init.plain, Init.scaled))
    writes = {"encoder": 2 * N_LAYERS, "decoder": 3 * N_LAYERS}
    for name, value in plain.items():
        n = writes.get(name.split(".")[0], 1) if name.split(".")[-2] in ("out", "down") else 1
        torch.testing.assert_close(scaled[name], value * n**-0.5)


def test_deepnorm_has_the_constants_of_an_encoder_decoder() -> None:
    # N = M = 12 (Wang 2022, figure 2): encoder 0.81 (N^4 M)^(1/16) and 0.87 (N^4 M)^(-1/16),
    # decoder (3 M)^(1/4) and (12 M)^(-1/4).
    expected = {"encoder": (1.7609, 0.4002), "decoder": (2.4495, 0.2887)}
    model = build(n_layers=12, placement=Placement.deepnorm)
    plain = build(n_layers=12, placement=Placement.post, init=Init.plain).state_dict()
    deep = model.state_dict()
    for side, (alpha, gain) in expected.items():
        blocks = getattr(model, side)
        alphas = {m.alpha for m in blocks.modules() if isinstance(m, Residual)}
        assert list(alphas) == [pytest.approx(alpha, abs=5e-5)]
        for name in (n for n in plain if n.startswith(side) and plain[n].ndim == 2):
            factor = 1.0 if name.split(".")[-2] in ("query", "key") else gain
            torch.testing.assert_close(deep[name], factor * plain[name], rtol=2e-4, atol=0)
    assert torch.equal(deep["head.weight"], plain["head.weight"])

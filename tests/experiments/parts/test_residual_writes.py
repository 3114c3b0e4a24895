"""`writes_to_residual` of attention and feed-forward parts, in norms, gains and costs."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from experiments.nn.norm import Residual
from experiments.parts import Cost, Part
from experiments.parts.activation import Activation
from experiments.parts.body import Init, ModelOptions, body_cost
from experiments.parts.encoder_decoder import build_encoder_decoder
from experiments.parts.ffn import FeedForwardPart
from experiments.parts.no_ffn import NoFeedForwardPart
from experiments.parts.norm import NormPart, NormType, Placement
from experiments.parts.transformer import build_transformer
from experiments.tasks.base import Sizes

D_MODEL, N_LAYERS = 8, 3
DENSE = FeedForwardPart("dense", 12, Activation.relu, gated=False, bias=False, dropout=0.0)
PLACEMENTS = pytest.mark.parametrize("placement", list(Placement))


@dataclass
class NoAttention(Part):
    """A user's attention that changes nothing."""

    writes_to_residual: ClassVar[bool] = False
    crosses: ClassVar[bool] = True

    def cost(self, d_model: int, length: int) -> Cost:  # noqa: ARG002
        return Cost()

    def build(self, d_model: int) -> nn.Module:  # noqa: ARG002
        return Silent()


class Silent(nn.Module):
    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.zeros_like(x)


def arm(placement: Placement, init: Init = Init.plain, ffn: Part = DENSE) -> SimpleNamespace:
    return SimpleNamespace(
        model=ModelOptions(D_MODEL, N_LAYERS, init),
        attention=NoAttention("silent"),
        ffn=ffn,
        norm=NormPart("norm", placement, NormType.layer, 1e-5),
    )


def decoder_only(options: SimpleNamespace) -> nn.Module:
    return build_transformer(options, vocabulary=5, width=None, seed=0)


def both(options: SimpleNamespace) -> nn.Module:
    return build_encoder_decoder(options, source_vocabulary=5, target_vocabulary=6, seed=0)


def body_parameters(model: nn.Module) -> int:
    named = model.named_parameters()
    return sum(p.numel() for name, p in named if "embedding" not in name and "head" not in name)


@PLACEMENTS
@pytest.mark.parametrize("ffn", [DENSE, NoFeedForwardPart("none")])
def test_costs_count_the_norms_that_there_are(placement: Placement, ffn: Part) -> None:
    options = arm(placement, ffn=ffn)
    assert body_cost(vars(options), length=4).parameters == body_parameters(decoder_only(options))
    task = SimpleNamespace(pairs=True, sizes=lambda: Sizes(4, source_length=4))
    counted = body_cost({**vars(options), "task": task}).parameters
    assert counted == body_parameters(both(options))


@pytest.mark.parametrize("build", [decoder_only, both])
def test_starting_weights_count_the_parts_that_write(build) -> None:
    plain = build(arm(Placement.pre)).state_dict()
    scaled = build(arm(Placement.pre, Init.scaled)).state_dict()
    (name, *_) = [name for name in plain if name.endswith("ffn.down.weight")]
    torch.testing.assert_close(scaled[name], plain[name] * N_LAYERS**-0.5)


def test_deepnorm_counts_the_parts_that_write() -> None:
    model = decoder_only(arm(Placement.deepnorm))
    alphas = [m.alpha for m in model.modules() if isinstance(m, Residual)]
    assert alphas == pytest.approx([1.0, N_LAYERS**0.25] * N_LAYERS)

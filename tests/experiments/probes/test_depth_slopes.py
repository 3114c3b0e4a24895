"""Gradients and variance over depth before training: slopes as published."""

import statistics
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from experiments import norm_stability
from experiments.nn.transformer import Transformer
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.parts.transformer import build_transformer
from experiments.probes.gradients import depth_profile
from experiments.tasks.batch import Batch

DEPTHS = (4, 8, 16)


def model(placement: Placement, n_layers: int, seed: int, init: Init = Init.plain) -> Transformer:
    arm = SimpleNamespace(
        model=ModelOptions(64, n_layers, init),
        attention=AttentionOptions("multihead", 4, 4, False, 0.0, Position.rotary, Kernel.fused),
        ffn=FeedForwardOptions("dense", 256, Activation.relu, False, False, 0.0),
        norm=NormOptions("norm", placement, NormType.layer, 1e-5),
    )
    return build_transformer(arm, vocabulary=128, width=None, seed=seed)


def random_tokens(seed: int) -> Batch:
    source = torch.Generator().manual_seed(seed)
    tokens, target = torch.randint(0, 128, (2, 4, 24), generator=source)
    return Batch((tokens,), target, torch.ones(4, 24, dtype=torch.bool), torch.zeros(4).long())


def slopes(placement: Placement, init: Init = Init.plain) -> dict[str, float]:
    """Mean over seeds of `initialisation_metrics`'s slopes, on random tokens."""

    def loss_of(prediction: torch.Tensor, batch: Batch) -> torch.Tensor:
        return F.cross_entropy(prediction.flatten(0, 1), batch.target.flatten())

    found = []
    for seed in range(3):
        profiles = {
            depth: depth_profile(model(placement, depth, seed, init), random_tokens(seed), loss_of)
            for depth in DEPTHS
        }
        found.append(norm_stability.initialisation_metrics(profiles))
    return {name: statistics.fmean(f[name] for f in found) for name in found[0] if "slope" in name}


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("placement", "low", "high", "grows"),
    [
        # Xiong 2020: 1 / sqrt(depth) for Pre-LN, level for Post-LN; the stream's variance grows
        # in proportion to depth where no norm stands on it.
        (Placement.pre, -0.6, -0.35, True),
        (Placement.peri, -0.6, -0.35, True),
        (Placement.deepnorm, -0.6, -0.35, False),
        (Placement.post, -0.2, 0.25, False),
    ],
)
def test_gradients_over_depth_as_published(placement, low, high, grows) -> None:
    found = slopes(placement)
    assert low < found["norm/grad_slope"] < high
    assert found["norm/variance_slope"] == pytest.approx(1.0 if grows else 0.0, abs=0.15)


def test_a_scaled_start_would_hide_it() -> None:
    assert slopes(Placement.pre, Init.scaled)["norm/grad_slope"] > -0.2


def test_metrics_at_initialisation() -> None:
    net, batch = model(Placement.pre, 2, 0), random_tokens(0)
    profile = depth_profile(net, batch, lambda p, b: F.cross_entropy(p.mT, b.target))
    found = norm_stability.initialisation_metrics({2: profile, 4: profile})
    assert found["norm/grad_last/depth2"] == profile.grad_down[1]
    assert found["norm/grad_first_last/depth2"] == profile.grad[0] / profile.grad[1]
    assert found["norm/variance_last/depth4"] == found["norm/variance/depth4/layer2"]
    assert found["norm/grad_slope"] == pytest.approx(0.0)
    twice = norm_stability.mean_profile([profile, profile])
    assert twice.grad_stream == pytest.approx(profile.grad_stream)

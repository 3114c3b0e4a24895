"""Gradient norms per layer against a loop over parameters, profiles over depth against autograd."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from experiments.nn.transformer import Transformer
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.moe import Balance
from experiments.parts.moe import MixturePart as MixtureOfExpertsOptions
from experiments.parts.no_ffn import NoFeedForwardPart as NoFeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.parts.transformer import build_transformer
from experiments.probes.gradients import (
    GradientNorms,
    depth_profile,
    group_norms,
    log_slope,
    norm_by_parameter,
    residual_stream,
)
from experiments.tasks.batch import Batch

DENSE = FeedForwardOptions("dense", 24, Activation.relu, False, False, 0.0)
# With sixteen experts and twelve tokens, some expert is chosen by none and has no gradient.
MOE = MixtureOfExpertsOptions(
    "moe", 16, 1, 24, Activation.relu, False, False, 0.0, Balance.aux, 0.01, 0.0, 0.0
)
FFN = pytest.mark.parametrize("ffn", [DENSE, MOE], ids=["dense", "moe"])


def model(ffn=DENSE, placement=Placement.pre, n_layers=3) -> Transformer:
    arm = SimpleNamespace(
        model=ModelOptions(16, n_layers, Init.plain),
        attention=AttentionOptions("multihead", 4, 4, False, 0.0, Position.rotary, Kernel.fused),
        ffn=ffn,
        norm=NormOptions("norm", placement, NormType.layer, 1e-5),
    )
    return build_transformer(arm, vocabulary=11, width=None, seed=0)


def batch() -> Batch:
    source = torch.Generator().manual_seed(0)
    tokens, target = torch.randint(0, 11, (2, 2, 6), generator=source)
    keep = torch.ones(2, 6, dtype=torch.bool)
    keep[1, 4:] = False
    return Batch((tokens,), target, keep, torch.zeros(2, dtype=torch.int64))


def loss_of(prediction: torch.Tensor, of: Batch) -> torch.Tensor:
    return F.cross_entropy(prediction[of.keep], of.target[of.keep])


def backward(net: Transformer) -> None:
    seen = batch()
    output = net(*seen.inputs, keep=seen.keep)
    (loss_of(output.prediction, seen) + output.aux_loss).backward()


@FFN
def test_norms_are_those_of_the_loop_over_parameters(ffn) -> None:
    net = model(ffn)
    backward(net)
    if ffn is MOE:
        assert any(p.grad is None for p in net.blocks.parameters())
    found = GradientNorms()(net)
    assert list(found) == [f"norm/grad/layer{index}" for index in range(3)]
    assert found == pytest.approx(norm_by_parameter(net), rel=1e-5)
    assert min(found.values()) > 0


def test_watching_changes_no_gradient() -> None:
    net = model()
    backward(net)
    before = {name: p.grad.clone() for name, p in net.named_parameters()}
    GradientNorms()(net)
    assert all(torch.equal(p.grad, before[name]) for name, p in net.named_parameters())


def test_norms_without_gradients_and_with_bad_ones() -> None:
    assert GradientNorms()(model()) == {f"norm/grad/layer{index}": 0.0 for index in range(3)}
    assert group_norms([[torch.tensor([3.0]), torch.tensor([4.0])], []]) == [5.0, 0.0]
    bad = group_norms([[torch.tensor([torch.nan])], [torch.tensor([torch.inf])]])
    assert bad[0] != bad[0]
    assert bad[1] == torch.inf


@FFN
def test_profile_is_that_of_a_backward(ffn) -> None:
    net = model(ffn)
    profile = depth_profile(net, batch(), loss_of)
    assert all(p.grad is None for p in net.parameters())
    assert all(not block._forward_hooks and not block._forward_pre_hooks for block in net.blocks)
    backward(net)
    assert profile.grad == pytest.approx(list(norm_by_parameter(net).values()), rel=1e-5)
    for index, block in enumerate(net.blocks):
        ends = [p.grad for n, p in block.ffn.named_parameters() if n.endswith("down.weight")]
        square = sum(g.square().sum().item() for g in ends if g is not None)
        assert profile.grad_down[index] == pytest.approx(square**0.5, rel=1e-5)


def test_attention_ends_a_block_that_has_nothing_else() -> None:
    net = model(NoFeedForwardOptions("none"))
    profile = depth_profile(net, batch(), loss_of)
    backward(net)
    for found, block in zip(profile.grad_down, net.blocks, strict=True):
        assert found == pytest.approx(block.attention.out.weight.grad.norm().item(), rel=1e-5)


def test_profile_of_the_stream() -> None:
    net, seen = model(), batch()
    profile = depth_profile(net, seen, loss_of)
    x = [net.embedding(seen.inputs[0]).detach().requires_grad_()]
    for block in net.blocks:
        x.append(block(x[-1], seen.keep)[0])
        x[-1].retain_grad()
    loss_of(net.head(net.final_norm(x[-1])), seen).backward()
    for index, stream in enumerate(x):
        assert profile.grad_stream[index] == pytest.approx(stream.grad.norm().item(), rel=1e-5)
        kept = stream[seen.keep]  # padding counts nowhere
        variance = (kept - kept.mean(1, keepdim=True)).square().mean().item()
        assert profile.variance[index] == pytest.approx(variance, rel=1e-5)
    assert len(profile.variance) == len(profile.grad_stream) == 4


def test_stream_is_the_input_and_each_blocks_output() -> None:
    net, seen = model(), batch()
    with residual_stream(net) as stream:
        net(*seen.inputs)
    assert torch.equal(stream[0], net.embedding(seen.inputs[0]))
    assert torch.equal(stream[1], net.blocks[0](stream[0])[0])
    net(*seen.inputs)
    assert len(stream) == 4  # no hook is left behind


def test_slope_of_a_power_law() -> None:
    assert log_slope({n: 3 * n**-0.5 for n in (4, 8, 16, 32)}) == pytest.approx(-0.5)
    # Symmetric noise in the logarithms leaves the slope of this symmetric design as it is.
    assert log_slope({1: 2.0, 2: 1.0, 4: 2.0}) == pytest.approx(0.0)


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_no_slope_of_what_has_no_logarithm(bad: float) -> None:
    assert math.isnan(log_slope({2: 1.0, 4: bad, 8: 1.0}))

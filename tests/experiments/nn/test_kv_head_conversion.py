"""Pooling heads of keys and values: invariants, expected changes, and the order of heads."""

from types import SimpleNamespace

import pytest
import torch

from experiments.gqa_vs_mha import Conversion
from experiments.nn.attention import Attention
from experiments.nn.kv_head_conversion import convert_kv_heads
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

CONVERSIONS = [how for how in Conversion if how is not Conversion.none]


def model(n_kv_heads: int = 8, *, bias: bool = False) -> Transformer:
    arm = SimpleNamespace(
        model=ModelOptions(32, 2, Init.scaled),
        attention=AttentionOptions(
            "multihead", 8, n_kv_heads, bias, 0.0, Position.rotary, Kernel.fused
        ),
        ffn=FeedForwardOptions("dense", 24, Activation.gelu, False, False, 0.0),
        norm=NormOptions("norm", Placement.pre, NormType.layer, 1e-5),
    )
    net = build_transformer(arm, vocabulary=11, width=None, seed=0)
    if bias:
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    return net


def attentions(net: Transformer) -> list[Attention]:
    return [block.attention for block in net.blocks]


@torch.no_grad()
def make_groups_equal(net: Transformer, n_kv_heads: int) -> None:
    for part in attentions(net):
        for layer in (part.key, part.value):
            for parameter in layer.parameters():
                heads = parameter.view(n_kv_heads, 8 // n_kv_heads, 4, *parameter.shape[1:])
                heads.copy_(heads[:, :1].clone().expand_as(heads))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("how", [Conversion.mean, Conversion.first])
@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
def test_a_group_of_equal_heads_leaves_the_output_unchanged(n_kv_heads, how, bias) -> None:
    net, tokens = model(bias=bias), torch.arange(10).view(2, 5)
    make_groups_equal(net, n_kv_heads)
    converted = convert_kv_heads(net, n_kv_heads=n_kv_heads, pooling=how, seed=0)
    before, after = net(tokens).prediction, converted(tokens).prediction
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)


def test_equal_neighbours_and_not_equal_strides() -> None:
    # Heads j and j + 4 are equal, as grouping by stride would need.
    net, tokens = model(), torch.arange(10).view(2, 5)
    with torch.no_grad():
        for part in attentions(net):
            for layer in (part.key, part.value):
                heads = layer.weight.view(2, 4, 4, 32)
                heads[1] = heads[0]
    converted = convert_kv_heads(net, n_kv_heads=4, pooling=Conversion.mean, seed=0)
    assert not torch.allclose(converted(tokens).prediction, net(tokens).prediction, atol=1e-3)


@pytest.mark.parametrize("how", [Conversion.mean, Conversion.first])
def test_as_many_heads_as_before_changes_nothing(how: Conversion) -> None:
    net = model()
    converted = convert_kv_heads(net, n_kv_heads=8, pooling=how, seed=0)
    for one, other in zip(net.parameters(), converted.parameters(), strict=True):
        assert torch.equal(one, other)


def test_heads_by_hand() -> None:
    net = model(bias=True)
    before = attentions(net)[1].key
    groups = before.weight.view(2, 4, 4, 32), before.bias.view(2, 4, 4)
    for how, expected in {
        Conversion.mean: [sum(g[:, j] for j in range(4)) / 4 for g in groups],
        Conversion.first: [g[:, 0] for g in groups],
    }.items():
        after = attentions(convert_kv_heads(net, n_kv_heads=2, pooling=how, seed=0))[1].key
        torch.testing.assert_close(after.weight.view(2, 4, 32), expected[0])
        torch.testing.assert_close(after.bias.view(2, 4), expected[1])


def test_random_heads_are_fresh_and_follow_the_seed() -> None:
    net = model(bias=True)
    one, same, other = (
        convert_kv_heads(net, n_kv_heads=2, pooling=Conversion.random, seed=seed)
        for seed in (0, 0, 1)
    )
    weight = attentions(one)[0].key.weight
    assert torch.equal(weight, attentions(same)[0].key.weight)
    assert not torch.equal(weight, attentions(other)[0].key.weight)
    assert not torch.equal(weight, attentions(one)[1].key.weight)
    assert not torch.equal(weight, attentions(one)[0].value.weight)
    # 256 values of the starting scheme, std 32 ** -0.5: known to 4.4 %.
    assert weight.std().item() == pytest.approx(32**-0.5, rel=0.2)
    assert attentions(one)[0].key.bias.count_nonzero() == 0


@pytest.mark.parametrize("how", CONVERSIONS)
def test_only_keys_and_values_change_and_the_original_stays(how: Conversion) -> None:
    net = model()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    converted = convert_kv_heads(net, n_kv_heads=2, pooling=how, seed=0)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
    for name, value in converted.state_dict().items():
        pooled = ".key." in name or ".value." in name
        assert value.shape == before[name].shape or pooled
        assert pooled or torch.equal(value, before[name])
    assert converted.new_caches(1, 4)[0].keys.shape == (1, 2, 4, 4)
    expected = model(2).state_dict()
    assert {n: v.shape for n, v in converted.state_dict().items()} == {
        n: v.shape for n, v in expected.items()
    }


def test_it_goes_on_training() -> None:
    converted = convert_kv_heads(model(), n_kv_heads=1, pooling=Conversion.mean, seed=0)
    converted(torch.arange(10).view(2, 5)).prediction.sum().backward()
    assert all(p.grad is not None for p in converted.parameters())


def test_numbers_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"2 heads.*n_kv_heads=4"):
        convert_kv_heads(model(2), n_kv_heads=4, pooling=Conversion.mean, seed=0)
    with pytest.raises(ValueError, match=r"none.*mean, first, random"):
        convert_kv_heads(model(), n_kv_heads=2, pooling=Conversion.none, seed=0)

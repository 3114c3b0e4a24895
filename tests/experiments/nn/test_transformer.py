"""The assembled model: causality, padding, placement of norms, shapes, starting weights."""

from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from experiments.nn.initialise import initialise
from experiments.nn.padding import position_ids
from experiments.nn.position import sinusoidal
from experiments.nn.transformer import Transformer
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.moe import Balance
from experiments.parts.moe import MixturePart as MixtureOfExpertsOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.parts.transformer import build_transformer

VOCABULARY = 11
DENSE = FeedForwardOptions("dense", 24, Activation.gelu, False, False, 0.0)
MOE = MixtureOfExpertsOptions(
    "moe", 4, 2, 24, Activation.gelu, False, False, 0.0, Balance.aux, 0.01, 0.001, 0.001
)


def arm(*, ffn=DENSE, n_kv_heads=2, position=Position.rotary, placement=Placement.pre, n_layers=2):
    return SimpleNamespace(
        model=ModelOptions(16, n_layers, Init.scaled),
        attention=AttentionOptions("multihead", 4, n_kv_heads, False, 0.0, position, Kernel.fused),
        ffn=ffn,
        norm=NormOptions("norm", placement, NormType.layer, 1e-5),
    )


def model(*, vocabulary=VOCABULARY, width=None, seed=0, **parts) -> Transformer:
    return build_transformer(arm(**parts), vocabulary=vocabulary, width=width, seed=seed)


def tokens(seed: int = 0) -> torch.Tensor:
    return torch.randint(VOCABULARY, (3, 8), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ffn", [DENSE, MOE], ids=["dense", "moe"])
@pytest.mark.parametrize(("position", "placement"), list(product(Position, Placement)))
@pytest.mark.parametrize("padded", [False, True])
def test_later_tokens_change_nothing_earlier(ffn, position, placement, padded) -> None:
    net, inputs = model(ffn=ffn, position=position, placement=placement), tokens()
    keep = torch.ones(3, 8, dtype=torch.bool)
    keep[1, 2] = not padded
    before = net(inputs, keep).prediction
    changed = inputs.clone()
    changed[:, 5] = (changed[:, 5] + 1) % VOCABULARY
    after = net(changed, keep).prediction
    torch.testing.assert_close(after[:, :5], before[:, :5], rtol=1e-5, atol=1e-6)
    assert (after[:, 5:] - before[:, 5:]).abs().amax(dim=(0, 2)).min() > 1e-4


@pytest.mark.parametrize("ffn", [DENSE, MOE], ids=["dense", "moe"])
def test_padding_changes_nothing_kept(ffn) -> None:
    net, inputs = model(ffn=ffn), tokens()
    keep = torch.ones(3, 8, dtype=torch.bool)
    keep[0, 2:4] = False
    changed = inputs.clone()
    changed[0, 2:4] = (changed[0, 2:4] + 3) % VOCABULARY
    one, other = net(inputs, keep), net(changed, keep)
    torch.testing.assert_close(one.prediction[keep], other.prediction[keep])
    torch.testing.assert_close(one.aux_loss, other.aux_loss)
    assert not torch.allclose(net(inputs).prediction[keep], one.prediction[keep])


@pytest.mark.parametrize("ffn", [DENSE, MOE], ids=["dense", "moe"])
@pytest.mark.parametrize("position", list(Position))
def test_padding_on_the_left_is_as_none(ffn, position) -> None:
    net, inputs = model(ffn=ffn, position=position), tokens()
    padded = torch.cat([torch.zeros(3, 3, dtype=torch.long), inputs], dim=1)
    keep = torch.ones(3, 11, dtype=torch.bool)
    keep[:, :3] = False
    keep[2, :3] = torch.tensor([False, True, True])  # a longer one in the same batch
    longer = net(padded[2:, 1:]).prediction
    prediction = net(padded, keep).prediction
    torch.testing.assert_close(prediction[:2, 3:], net(inputs).prediction[:2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(prediction[2:, 1:], longer, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("position", list(Position))
def test_padding_on_the_right_gives_the_same_bits_as_before(position) -> None:
    net, inputs = model(position=position), tokens()
    keep = torch.ones(3, 8, dtype=torch.bool)
    keep[1, 5:] = False
    table = net.embedding(inputs)
    if position is Position.sinusoidal:
        table = table + sinusoidal(8, 16)
        placed = net.embedding(inputs) + sinusoidal(8, 16)[position_ids(keep)]
        assert torch.equal(table[keep], placed[keep])
    plain = net(inputs[1:2, :5]).prediction
    torch.testing.assert_close(net(inputs, keep).prediction[1:2, :5], plain, rtol=1e-5, atol=1e-5)


def test_keep_must_be_of_bools_and_cover_the_inputs() -> None:
    net, inputs = model(), tokens()
    with pytest.raises((ValueError, TypeError)):
        net(inputs, torch.ones(3, 8))
    with pytest.raises((ValueError, TypeError)):
        net(inputs, torch.ones(3, 7, dtype=torch.bool))


@pytest.mark.parametrize("position", list(Position))
def test_order_matters_only_with_positions(position) -> None:
    # With one layer and no position the last output sees a set of tokens.
    net, inputs = model(position=position, n_layers=1), tokens()
    swapped = inputs.clone()
    swapped[:, [1, 3]] = inputs[:, [3, 1]]
    same = torch.allclose(net(inputs).prediction[:, -1], net(swapped).prediction[:, -1], atol=1e-5)
    assert same is (position is Position.none)


def test_output_of_a_dense_and_a_mixture_model() -> None:
    dense, mixed = model()(tokens()), model(ffn=MOE)(tokens())
    assert dense.prediction.shape == mixed.prediction.shape == (3, 8, VOCABULARY)
    assert dense.routings == (None, None)
    assert dense.aux_loss.item() == 0
    assert len(mixed.routings) == 2
    torch.testing.assert_close(mixed.aux_loss, sum(r.aux_loss for r in mixed.routings))
    assert mixed.routings[0].keep.all()


def test_continuous_inputs() -> None:
    net = model(vocabulary=None, width=5)
    assert net(torch.randn(2, 7, 5)).prediction.shape == (2, 7, 5)


@pytest.mark.parametrize("sizes", [(None, None), (11, 5)])
def test_tokens_or_vectors(sizes) -> None:
    with pytest.raises(ValueError, match=f"{sizes[0]}.*{sizes[1]}"):
        build_transformer(arm(), vocabulary=sizes[0], width=sizes[1], seed=0)


def test_after_step_updates_each_layer_from_its_own_load() -> None:
    options = MOE.__class__(**{**vars(MOE), "balance": Balance.bias, "bias_rate": 0.5})
    net = model(ffn=options)
    output = net(tokens())
    net.after_step(output)
    for block, routing in zip(net.blocks, output.routings, strict=True):
        load = torch.bincount(routing.experts.flatten(), minlength=4).float()
        expected = 0.5 * (load.mean() - load).sign()
        assert torch.equal(block.ffn.selection_bias, expected)
        assert expected.any()


class RoutesOnly(nn.Module):
    """A user's feed-forward part that routes and has no `after_step`."""

    def __init__(self, mixture: nn.Module) -> None:
        super().__init__()
        self.mixture = mixture

    def forward(self, x, keep=None):
        return self.mixture(x, keep)


def test_each_layer_adapts_to_its_own_routing_and_one_that_cannot_is_left_alone() -> None:
    options = MOE.__class__(**{**vars(MOE), "balance": Balance.bias, "bias_rate": 0.5})
    net = model(ffn=options)
    net.blocks[0].ffn = RoutesOnly(net.blocks[0].ffn)
    output = net(tokens())
    assert len(output.routings) == 2
    net.after_step(output)
    assert not net.blocks[0].ffn.mixture.selection_bias.any()
    load = torch.bincount(output.routings[1].experts.flatten(), minlength=4).float()
    assert torch.equal(net.blocks[1].ffn.selection_bias, 0.5 * (load.mean() - load).sign())


def test_after_step_of_a_dense_model_does_nothing() -> None:
    net = model()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.after_step(net(tokens()))
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


def test_equal_names_and_shapes_start_equal() -> None:
    one, other = model(n_kv_heads=2).state_dict(), model(n_kv_heads=4, ffn=MOE).state_dict()
    shared = [name for name in one if name in other and one[name].shape == other[name].shape]
    assert "blocks.1.attention.query.weight" in shared
    assert "blocks.1.attention.key.weight" not in shared
    assert all(torch.equal(one[name], other[name]) for name in shared)


def test_names_and_seeds_start_apart() -> None:
    one, other = model(seed=0).state_dict(), model(seed=1).state_dict()
    query = "blocks.{}.attention.query.weight".format
    assert not torch.equal(one[query(0)], one[query(1)])
    assert not torch.equal(one[query(0)], other[query(0)])
    mixed = model(ffn=MOE).blocks[0].ffn.experts
    assert not torch.equal(mixed[0].up.weight, mixed[1].up.weight)


def test_scale_of_the_starting_weights() -> None:
    wide = FeedForwardOptions("dense", 4096, Activation.relu, False, True, 0.0)
    net = model(ffn=wide, n_layers=2)
    ffn = net.blocks[0].ffn
    # 65 536 values: the standard deviation is known to 0.3 %.
    assert ffn.up.weight.std().item() == pytest.approx(16**-0.5, rel=0.02)
    assert ffn.down.weight.std().item() == pytest.approx(4096**-0.5 / 4**0.5, rel=0.02)
    assert ffn.up.bias.count_nonzero() == 0
    assert (net.final_norm.weight == 1).all()


def test_global_random_state_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    part = nn.Linear(3, 3)
    torch.manual_seed(0)
    initialise(part, 5)
    assert torch.equal(torch.rand(3), expected)

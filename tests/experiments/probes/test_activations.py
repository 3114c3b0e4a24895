"""The activation probe on known hidden values."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from experiments.nn.ffn import FeedForward
from experiments.parts.activation import Activation
from experiments.parts.moe import Balance
from experiments.parts.moe import MixturePart as MixtureOfExpertsOptions
from experiments.probes.activations import ActivationProbe, InputSparsity, is_small
from experiments.tasks.batch import Batch

D_MODEL, D_FF = 4, 6


class Model(nn.Module):
    """Nothing but feed-forward networks one behind the other."""

    def __init__(self, *ffns: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for ffn in ffns:
            block = nn.Module()
            block.ffn = ffn
            self.blocks.append(block)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> SimpleNamespace:
        for block in self.blocks:
            x, _ = block.ffn(x, keep)
        return SimpleNamespace(prediction=x)


def batch_of(x: Tensor, keep: Tensor | None = None) -> Batch:
    keep = torch.ones(x.shape[:2], dtype=torch.bool) if keep is None else keep
    return Batch((x,), x, keep, torch.zeros(len(x), dtype=torch.int64))


def measured(model: Model, *batches: Batch, eps: float = 0.01) -> dict[str, float]:
    probe = ActivationProbe(model, eps=eps)
    for batch in batches:
        probe.update(batch, model(batch.inputs[0], batch.keep))
    return probe.metrics()


def network(activation: Activation, up: Tensor, *, gate: Tensor | None = None) -> FeedForward:
    """A network with given first matrices (d_ff, d_model)."""
    part = FeedForward(
        up.shape[1], d_ff=len(up), activation=activation, gated=gate is not None, bias=False
    )
    with torch.no_grad():
        part.up.weight.copy_(up)
        if gate is not None:
            part.gate.weight.copy_(gate)
    return part


def test_zeros_of_relu_on_known_inputs() -> None:
    # up(x) = (x, -x) of one positive feature: three of six hidden values are 0 at each position.
    up = torch.tensor([[1.0], [2.0], [3.0], [-1.0], [-2.0], [-3.0]])
    x = torch.tensor([[[1.0], [2.0], [0.5]]])
    found = measured(Model(network(Activation.relu, up)), batch_of(x))
    assert found["ffn/zero_share"] == found["ffn/zero_share/layer0"] == 0.5
    assert found["ffn/small_share"] == 0.5
    # At x = 0 all six are 0: (3 + 3 + 6) / 18.
    x = torch.tensor([[[1.0], [2.0], [0.0]]])
    found = measured(Model(network(Activation.relu, up)), batch_of(x))
    assert found["ffn/zero_share"] == pytest.approx(12 / 18)
    assert found["ffn/small_share"] == pytest.approx(12 / 18)


def test_gelu_has_small_values_and_no_zeros() -> None:
    # GELU(-4) = -4 Phi(-4) = -1.3e-4, which is below 1 % of the RMS of (4, -1.3e-4), 2.83.
    up = torch.tensor([[1.0], [-1.0]])
    found = measured(Model(network(Activation.gelu, up)), batch_of(torch.full((1, 2, 1), 4.0)))
    assert found["ffn/zero_share"] == 0
    assert found["ffn/small_share"] == 0.5


def test_gated_values_are_seen_after_the_product() -> None:
    # gate = (1, -1) x, up = (1, 1) x: ReGLU keeps the first, and zeroes the second.
    part = network(
        Activation.relu, torch.tensor([[1.0], [1.0]]), gate=torch.tensor([[1.0], [-1.0]])
    )
    assert measured(Model(part), batch_of(torch.ones(1, 3, 1)))["ffn/zero_share"] == 0.5
    # A zero of the other branch counts as well: the product decides.
    part = network(Activation.silu, torch.tensor([[0.0], [1.0]]), gate=torch.tensor([[1.0], [1.0]]))
    assert measured(Model(part), batch_of(torch.ones(1, 3, 1)))["ffn/zero_share"] == 0.5


def test_small_is_relative_to_the_token_and_contains_zeros() -> None:
    hidden = torch.tensor([[3.0, 0.02, 0.04, 0.0], [300.0, 2.0, 4.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    # RMS is 1.5 (up to 1e-4) in the first row and 150 in the second: bounds 0.03 and 3 at 2 %.
    assert is_small(hidden, 0.02).tolist() == [
        [False, True, False, True],
        [False, True, False, True],
        [True] * 4,
    ]


def test_layers_are_apart_and_their_mean_is_the_metric() -> None:
    model = Model(
        network(Activation.relu, -torch.ones(D_FF, 1).expand(D_FF, D_MODEL)),
        network(Activation.identity, torch.ones(D_FF, D_MODEL)),
    )
    with torch.no_grad():
        model.blocks[0].ffn.down.weight.copy_(torch.ones(D_MODEL, D_FF))
    x = torch.rand(2, 3, D_MODEL)  # positive, so the first layer is silent and gives 0 to the next
    found = measured(model, batch_of(x))
    assert found["ffn/zero_share/layer0"] == found["ffn/zero_share/layer1"] == 1
    found = measured(model, batch_of(-x))
    assert (found["ffn/zero_share/layer0"], found["ffn/zero_share/layer1"]) == (0, 0)
    mean = (found["ffn/output_rms/layer0"] + found["ffn/output_rms/layer1"]) / 2
    assert found["ffn/output_rms"] == pytest.approx(mean)
    first = model.blocks[0].ffn(-x)[0].detach().square().mean().sqrt()
    assert found["ffn/output_rms/layer0"] == pytest.approx(float(first), rel=1e-6)


def test_padding_counts_nowhere_and_batches_add_up() -> None:
    torch.manual_seed(0)
    model = Model(FeedForward(D_MODEL, d_ff=D_FF, activation=Activation.relu))
    x, keep = torch.randn(4, 5, D_MODEL), torch.rand(4, 5) > 0.4
    padded = measured(model, batch_of(x, keep))
    kept = measured(model, batch_of(x[keep][None]))
    assert padded == pytest.approx(kept)
    halves = measured(model, batch_of(x[:1], keep[:1]), batch_of(x[1:], keep[1:]))
    assert halves == pytest.approx(padded)


def test_experts_count_together_on_the_tokens_they_were_sent() -> None:
    options = MixtureOfExpertsOptions(
        *("moe", 3, 2, D_FF, Activation.relu, False, False, 0.0, Balance.none, 0.0, 0.0, 0.0)
    )
    torch.manual_seed(0)
    mixture = options.build(D_MODEL)
    x, keep = torch.randn(2, 4, D_MODEL), torch.tensor([[True] * 4, [True, True, False, False]])
    found = measured(Model(mixture), batch_of(x, keep))
    routing = mixture.route(x[keep])
    zeros = [
        (torch.relu(mixture.experts[e].up(token)) == 0).float().mean()
        for token, chosen in zip(x[keep], routing.experts, strict=True)
        for e in chosen
    ]
    assert found["ffn/zero_share"] == pytest.approx(float(torch.stack(zeros).mean()))


def test_the_probe_does_not_change_the_model() -> None:
    torch.manual_seed(0)
    model = Model(*(FeedForward(D_MODEL, d_ff=D_FF, gated=True) for _ in range(2)))
    x = torch.randn(2, 3, D_MODEL)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before, random_state = model(x).prediction, torch.get_rng_state()
    by_activation, by_input = ActivationProbe(model, eps=0.01), InputSparsity(model, eps=0.01)
    during = model(x).prediction
    for probe in (by_activation, by_input):
        probe.update(batch_of(x), None)
        probe.metrics()
    assert torch.equal(before, during)
    assert torch.equal(before, model(x).prediction)
    assert torch.equal(random_state, torch.get_rng_state())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    assert not any(hooks)
    during.sum().backward()  # hooks keep values, not the graph, and leave it whole
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_values_that_are_not_finite_have_no_share() -> None:
    model = Model(FeedForward(D_MODEL, d_ff=D_FF))
    found = measured(model, batch_of(torch.full((1, 1, D_MODEL), math.nan)))
    assert math.isnan(found["ffn/zero_share"])
    assert math.isnan(found["ffn/small_share"])


def test_sparsity_by_input_of_relu_is_a_step() -> None:
    part = network(Activation.relu, torch.eye(2))
    model, x = Model(part), 3.5 * (2 * torch.rand(50, 20, 2) - 1)
    probe = InputSparsity(model, eps=0.0, limit=3.0, bins=6)
    probe.update(batch_of(x), model(x))
    rows = probe.rows(least=1)
    shares = {row["x"]: row["value"] for row in rows if row["kind"] == "small_share"}
    assert shares == {-2.5: 1, -1.5: 1, -0.5: 1, 0.5: 0, 1.5: 0, 2.5: 0}
    # Uniform on [-3.5, 3.5]: density 1/7 everywhere, 6/7 of it inside.
    density = [row["value"] for row in rows if row["kind"] == "density"]
    assert density == pytest.approx([1 / 7] * 6, rel=0.25)
    assert sum(density) == pytest.approx(float((x.abs() < 3).float().mean()), abs=1e-6)
    assert all(row["kind"] == "density" for row in probe.rows(least=10**6))


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
def test_hidden_values_that_are_no_numbers_have_no_shares(bad: float) -> None:
    # 1e30 is finite and its square is not, so that nobody knows what is small beside it.
    up = torch.tensor([[1.0], [-1.0]])
    model, x = Model(network(Activation.relu, up)), torch.tensor([[[1.0], [bad]]])
    found = measured(model, batch_of(x))
    assert all(map(math.isnan, found.values())), found
    sparsity = InputSparsity(model, eps=0.01)
    sparsity.update(batch_of(x), model(x, keep=None))
    sparsity.metrics()
    rows = sparsity.rows(least=0)
    assert {row["kind"] for row in rows} == {"density"}
    assert all(math.isnan(row["value"]) for row in rows)

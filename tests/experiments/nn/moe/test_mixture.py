"""The mixture layer: its limits are known networks, its choices are the router's."""

import pytest
import torch

from experiments.nn.ffn import FeedForward
from experiments.nn.moe.mixture import (
    MixtureOfExperts,
    balance_loss,
    expert_load,
    max_violation,
    z_loss,
)
from experiments.parts.moe import Balance
from runner.trial.training import join_outputs

D_MODEL, D_FF = 8, 12


def mixture(n_experts: int, top_k: int, **options) -> MixtureOfExperts:
    torch.manual_seed(0)
    return MixtureOfExperts(D_MODEL, n_experts=n_experts, top_k=top_k, d_ff=D_FF, **options)


def test_one_expert_is_the_dense_network() -> None:
    moe, dense = mixture(1, 1, bias=True), FeedForward(D_MODEL, d_ff=D_FF, bias=True)
    dense.load_state_dict(moe.experts[0].state_dict())
    x = torch.randn(2, 5, D_MODEL)
    torch.testing.assert_close(moe(x)[0], dense(x)[0])


def test_all_experts_is_the_softmax_mixture() -> None:
    moe, x = mixture(3, 3), torch.randn(2, 5, D_MODEL)
    probabilities = moe.router(x).softmax(dim=-1)
    outputs = torch.stack([expert.transform(x) for expert in moe.experts], dim=-1)
    torch.testing.assert_close(moe(x)[0], (outputs * probabilities[..., None, :]).sum(-1))


def test_weights_are_the_softmax_over_the_chosen_logits() -> None:
    routing = mixture(4, 2).route(torch.randn(6, D_MODEL))
    top = routing.logits.topk(2)
    assert torch.equal(routing.experts, top.indices)
    torch.testing.assert_close(routing.weights, top.values.softmax(dim=1))
    torch.testing.assert_close(routing.probabilities, routing.logits.softmax(dim=1))


@pytest.mark.parametrize("top_k", [1, 2])
def test_the_router_learns_from_the_task(top_k: int) -> None:
    moe = mixture(4, top_k)
    moe(torch.randn(2, 5, D_MODEL))[0].square().sum().backward()
    assert moe.router.weight.grad.abs().max() > 0


def test_padding_is_neither_computed_nor_counted() -> None:
    moe = mixture(4, 2, balance=Balance.aux, aux_weight=0.1, z_weight=0.01)
    x, keep = (
        torch.randn(2, 5, D_MODEL),
        torch.tensor([[True] * 5, [True, True, False, False, False]]),
    )
    out, routing = moe(x, keep)
    assert out[~keep].count_nonzero() == 0
    torch.testing.assert_close(out[keep], moe(x)[0][keep])
    expected = 0.1 * balance_loss(routing.probabilities, routing.experts, keep.flatten())
    expected = expected + 0.01 * z_loss(routing.logits, keep.flatten())
    torch.testing.assert_close(routing.aux_loss, expected)


@pytest.mark.parametrize("balance", [Balance.none, Balance.bias])
def test_no_auxiliary_loss_unless_asked(balance: Balance) -> None:
    _, routing = mixture(4, 2, balance=balance, aux_weight=0.1)(torch.randn(1, 5, D_MODEL))
    assert routing.aux_loss.item() == 0


def test_the_bias_changes_the_choice_and_not_the_weights() -> None:
    moe, x = mixture(4, 2, balance=Balance.bias, bias_rate=0.1), torch.randn(6, D_MODEL)
    moe.selection_steps[3] = 100
    routing = moe.route(x)
    assert (routing.experts == 3).any(dim=1).all()
    chosen = routing.logits.gather(1, routing.experts)
    torch.testing.assert_close(routing.weights, chosen.softmax(dim=1))


def test_after_step_moves_the_bias_by_the_rate_towards_the_idle() -> None:
    moe = mixture(4, 2, balance=Balance.bias, bias_rate=0.1)
    routing = moe.route(torch.randn(6, D_MODEL))
    experts = torch.tensor([[0, 1], [0, 1], [0, 2], [0, 3], [2, 3], [1, 0]])
    keep = torch.tensor([True] * 4 + [False, True])
    moe.after_step(routing._replace(experts=experts, keep=keep))
    # Loads of kept tokens: 5, 3, 1, 1 around a mean of 2.5.
    torch.testing.assert_close(moe.selection_bias, torch.tensor([-0.1, -0.1, 0.1, 0.1]))


def test_the_bias_survives_a_change_of_precision() -> None:
    moe = mixture(4, 2, balance=Balance.bias, bias_rate=0.001)
    moe.selection_steps += 501  # bfloat16 cannot represent 0.501
    assert moe.bfloat16().selection_bias.tolist() == pytest.approx([0.501] * 4, abs=1e-6)
    out, routing = moe(torch.randn(1, 5, D_MODEL, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
    assert routing.logits.dtype == torch.float32


def test_the_bias_balances_a_skewed_router() -> None:
    moe = mixture(4, 1, balance=Balance.bias, bias_rate=0.003)
    x = torch.randn(256, D_MODEL) + 1
    with torch.no_grad():
        moe.router.weight[0] += 0.15

    def violation() -> float:
        routing = moe.route(x)
        return max_violation(expert_load(routing.experts, routing.keep, 4)).item()

    before = violation()
    for _ in range(100):
        moe.after_step(moe.route(x))
    assert violation() < 0.3 < 1 < before


def test_forward_has_no_side_effects() -> None:
    moe = mixture(4, 2, balance=Balance.bias, bias_rate=0.1)
    before = {name: value.clone() for name, value in moe.state_dict().items()}
    attributes = set(vars(moe))
    moe(torch.randn(2, 5, D_MODEL))
    assert set(vars(moe)) == attributes
    assert all(torch.equal(value, moe.state_dict()[name]) for name, value in before.items())


def test_the_router_stays_in_float32() -> None:
    moe, x = mixture(4, 2), torch.randn(1, 6, D_MODEL)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, routing = moe(x)
    assert routing.logits.dtype == torch.float32
    assert torch.equal(routing.logits, moe.route(x[0]).logits)


def test_sizes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"5.*4"):
        mixture(4, 5)


@pytest.mark.parametrize("balance", [Balance.bias, Balance.none])
def test_the_bias_moves_once_a_step_by_the_load_of_the_whole_batch(balance: Balance) -> None:
    # Each part of the batch has one token; with all parts together the load is 3 to 1.
    moe = mixture(2, 1, balance=balance, bias_rate=0.1)
    x = torch.randn(1, 4, D_MODEL)
    whole = moe.route(x.flatten(0, 1))
    experts = torch.tensor([[0], [0], [1], [0]])
    parts = [
        whole._replace(
            logits=whole.logits[i : i + 1],
            probabilities=whole.probabilities[i : i + 1],
            weights=whole.weights[i : i + 1],
            experts=experts[i : i + 1],
            keep=whole.keep[i : i + 1],
        )
        for i in range(4)
    ]
    together = join_outputs(parts)
    assert torch.equal(together.experts, experts)
    moe.after_step(together)
    steps = [-1, 1] if balance is Balance.bias else None
    assert (moe.selection_steps if steps is None else moe.selection_steps.tolist()) == steps


@pytest.mark.parametrize("keep", [torch.ones(2, 3), torch.ones(2, 3).long()])
def test_keep_must_be_of_bools(keep: torch.Tensor) -> None:
    x = torch.randn(2, 3, D_MODEL)
    for part in (mixture(2, 1), FeedForward(D_MODEL, d_ff=D_FF)):
        with pytest.raises((ValueError, TypeError)):
            part(x, keep)

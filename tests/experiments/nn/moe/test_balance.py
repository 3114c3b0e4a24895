"""Loads and auxiliary losses against numbers that can be worked out by hand."""

import math

import pytest
import torch

from experiments.nn.moe.routing import balance_loss, expert_load, max_violation, z_loss

N = 4


def all_kept(tokens: int) -> torch.Tensor:
    return torch.ones(tokens, dtype=torch.bool)


def turns(tokens: int, top_k: int) -> torch.Tensor:
    """Return each expert in turn, so that the load is even."""
    return torch.arange(tokens * top_k).view(tokens, top_k) % N


@pytest.mark.parametrize("top_k", [1, 2])
def test_balance_loss_is_one_at_balance(top_k: int) -> None:
    # f is counted per assignment; without the division by top_k the loss would be top_k.
    uniform = torch.full((8, N), 1 / N)
    assert balance_loss(uniform, turns(8, top_k), all_kept(8)).item() == pytest.approx(1.0)


def test_balance_loss_is_n_when_collapsed() -> None:
    certain = torch.zeros(8, N)
    certain[:, 0] = 1
    collapsed = torch.zeros(8, 1, dtype=torch.long)
    assert balance_loss(certain, collapsed, all_kept(8)).item() == pytest.approx(N)


def test_layers_that_cancel_out_still_cost() -> None:
    # Layer 0 uses experts 0, 1 and layer 1 the others: only the sum over layers is even.
    losses = []
    for chosen in ((0, 1), (2, 3)):
        probabilities = torch.zeros(8, N)
        probabilities[:, list(chosen)] = 0.5
        experts = torch.tensor([chosen] * 8)
        losses.append(balance_loss(probabilities, experts, all_kept(8)).item())
    assert losses == pytest.approx([2.0, 2.0])  # N * (1/2 * 1/2 + 1/2 * 1/2)


def test_balance_loss_reaches_the_router_through_probabilities_only() -> None:
    logits = torch.randn(6, N, requires_grad=True)
    probabilities = logits.softmax(dim=1)
    experts = probabilities.topk(2).indices
    probabilities.retain_grad()
    balance_loss(probabilities, experts, all_kept(6)).backward()
    # d(N sum f P) / d p[t, i] = N f_i / T, the same for every token: f itself is constant.
    share = torch.bincount(experts.flatten(), minlength=N) / 12
    torch.testing.assert_close(probabilities.grad, (N * share / 6).expand(6, N))
    assert not expert_load(experts, all_kept(6), N).requires_grad


def test_padding_counts_nowhere() -> None:
    logits = torch.randn(6, N)
    experts = logits.topk(2).indices
    keep = torch.tensor([True, True, False, True, False, True])
    p = logits.softmax(dim=1)
    no_padding = all_kept(4)
    torch.testing.assert_close(
        balance_loss(p, experts, keep), balance_loss(p[keep], experts[keep], no_padding)
    )
    torch.testing.assert_close(z_loss(logits, keep), z_loss(logits[keep], no_padding))
    assert torch.equal(expert_load(experts, keep, N), expert_load(experts[keep], no_padding, N))
    assert not torch.equal(expert_load(experts, keep, N), expert_load(experts, all_kept(6), N))


def test_a_batch_of_padding_costs_nothing() -> None:
    logits, keep = torch.randn(3, N), torch.zeros(3, dtype=torch.bool)
    assert balance_loss(logits.softmax(1), turns(3, 1), keep).item() == 0
    assert z_loss(logits, keep).item() == 0


def test_max_violation_by_hand() -> None:
    assert max_violation(torch.tensor([4.0, 2.0, 1.0, 1.0])).item() == 1.0  # (4 - 2) / 2
    assert max_violation(torch.ones(N)).item() == 0


def test_z_loss_of_equal_logits() -> None:
    assert z_loss(torch.zeros(5, N), all_kept(5)).item() == pytest.approx(math.log(N) ** 2)

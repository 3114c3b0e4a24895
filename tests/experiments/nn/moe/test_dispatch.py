"""The fast dispatch against its naive twin."""

import pytest
import torch

from experiments.nn.ffn import FeedForward
from experiments.nn.moe.dispatch import dispatch_grouped, dispatch_masked
from experiments.parts.activation import Activation

TOKENS, D_MODEL, N_EXPERTS = 23, 6, 5


def run(dispatch, *, top_k: int, padded: bool, gated: bool, used: int) -> list[torch.Tensor]:
    """Return output and all gradients, with the routing fixed to `used` of the experts."""
    source = torch.Generator().manual_seed(0)
    torch.manual_seed(1)
    networks = [
        FeedForward(D_MODEL, d_ff=9, activation=Activation.silu, gated=gated, bias=True).double()
        for _ in range(N_EXPERTS)
    ]
    x = torch.randn(TOKENS, D_MODEL, generator=source, dtype=torch.float64, requires_grad=True)
    experts = torch.rand(TOKENS, used, generator=source).topk(top_k).indices
    weights = torch.rand(TOKENS, top_k, generator=source, dtype=torch.float64, requires_grad=True)
    keep = torch.rand(TOKENS, generator=source) < 0.7 if padded else None
    out = dispatch(x, experts, weights, keep, [network.transform for network in networks])
    (out * torch.randn(out.shape, generator=source, dtype=torch.float64)).sum().backward()
    parameters = [p for network in networks for p in network.parameters()]
    zero_if_unused = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    return [out.detach(), x.grad, weights.grad, *zero_if_unused]


@pytest.mark.parametrize("top_k", [1, 2, 3])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("used", [N_EXPERTS, 3])
def test_grouped_is_masked(top_k: int, padded: bool, gated: bool, used: int) -> None:
    options = {"top_k": top_k, "padded": padded, "gated": gated, "used": used}
    for ours, naive in zip(
        run(dispatch_grouped, **options), run(dispatch_masked, **options), strict=True
    ):
        torch.testing.assert_close(ours, naive, rtol=1e-10, atol=1e-12)


def test_an_expert_runs_once_and_only_for_its_tokens() -> None:
    calls: list[tuple[int, int]] = []

    def network(index: int):
        def scale(x: torch.Tensor) -> torch.Tensor:
            calls.append((index, len(x)))
            return index * x

        return scale

    experts = torch.tensor([[2, 0], [0, 2], [2, 0]])
    weights = torch.full((3, 2), 0.5)
    x = torch.ones(3, 4)
    out = dispatch_grouped(
        x, experts, weights, torch.tensor([True, True, False]), [network(i) for i in range(3)]
    )
    assert calls == [(0, 2), (2, 2)]
    assert out[:, 0].tolist() == [1.0, 1.0, 0.0]  # (0 + 2) / 2, and padding


def test_only_padding() -> None:
    out = dispatch_grouped(
        torch.ones(2, 3),
        torch.zeros(2, 1, dtype=torch.long),
        torch.ones(2, 1),
        torch.zeros(2, dtype=torch.bool),
        [lambda x: x],
    )
    assert out.count_nonzero() == 0

"""Norms and feed-forward networks against torch's own and against formulas."""

import pytest
import torch
from torch.nn import functional as F

from experiments.config import Activation, NormType
from experiments.nn.ffn import FeedForward
from experiments.nn.norm import build_norm

FORMULAS = {
    Activation.relu: lambda x: x.clamp(min=0),
    Activation.gelu: lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    Activation.silu: lambda x: x / (1 + torch.exp(-x)),
}


@pytest.mark.parametrize("kind", list(NormType))
def test_norm_is_its_formula_and_torchs(kind: NormType) -> None:
    x = 3 + 2 * torch.randn(4, 16)
    norm = build_norm(16, type=kind, eps=0.1)
    gain = torch.rand(16)
    with torch.no_grad():
        norm.weight.copy_(gain)
    if kind is NormType.layer:
        expected = (x - x.mean(-1, keepdim=True)) / (
            x.var(-1, keepdim=True, correction=0) + 0.1
        ).sqrt()
        theirs = F.layer_norm(x, (16,), gain, torch.zeros(16), eps=0.1)
    else:
        expected = x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt()
        theirs = F.rms_norm(x, (16,), gain, eps=0.1)
    torch.testing.assert_close(norm(x), expected * gain)
    assert torch.equal(norm(x), theirs)


@pytest.mark.parametrize("activation", list(Activation))
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_feed_forward_is_its_formula(activation: Activation, gated: bool, bias: bool) -> None:
    part = FeedForward(8, d_ff=12, activation=activation, gated=gated, bias=bias)
    x = torch.randn(2, 3, 8)
    act = FORMULAS[activation]
    up = x @ part.up.weight.T + (part.up.bias if bias else 0)
    if gated:
        hidden = act(x @ part.gate.weight.T + (part.gate.bias if bias else 0)) * up
    else:
        hidden = act(up)
    expected = hidden @ part.down.weight.T + (part.down.bias if bias else 0)
    out, routing = part(x, None)
    assert routing is None
    torch.testing.assert_close(out, expected)


def test_dropout_only_in_training() -> None:
    part, x = FeedForward(8, d_ff=64, dropout=0.5), torch.randn(1, 2, 8)
    assert not torch.equal(part.transform(x), part.transform(x))
    part.eval()
    assert torch.equal(part.transform(x), part.transform(x))

"""Feed-forward networks and their activations against formulas."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from experiments.nn.ffn import ACTIVATIONS, FeedForward
from experiments.parts.activation import Activation
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions

Function = Callable[[Tensor], Tensor]


def phi(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(x / 2**0.5))


def logistic(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


# Each activation and its derivative, worked out by hand.
FORMULAS: dict[Activation, tuple[Function, Function]] = {
    Activation.relu: (lambda x: x.clamp(min=0), lambda x: (x > 0).to(x.dtype)),
    Activation.gelu: (
        lambda x: x * phi(x),
        lambda x: phi(x) + x * torch.exp(-x.square() / 2) / (2 * torch.pi) ** 0.5,
    ),
    Activation.silu: (
        lambda x: x * logistic(x),
        lambda x: logistic(x) * (1 + x * (1 - logistic(x))),
    ),
    Activation.relu2: (lambda x: x.clamp(min=0) ** 2, lambda x: 2 * x.clamp(min=0)),
    Activation.sigmoid: (logistic, lambda x: logistic(x) * logistic(-x)),
    Activation.identity: (lambda x: x, torch.ones_like),
}
EVERY = pytest.mark.parametrize("activation", list(Activation))


@EVERY
def test_activation_and_derivative_are_their_formulas(activation: Activation) -> None:
    x = torch.linspace(-3, 3, 61, dtype=torch.float64, requires_grad=True)
    value, derivative = FORMULAS[activation]
    ours = ACTIVATIONS[activation](x)
    torch.testing.assert_close(ours, value(x))
    (by_autograd,) = torch.autograd.grad(ours.sum(), x)
    torch.testing.assert_close(by_autograd, derivative(x))


@EVERY
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_network_is_its_formula(activation: Activation, gated: bool, bias: bool) -> None:
    part = FeedForward(8, d_ff=12, activation=activation, gated=gated, bias=bias)
    x = torch.randn(2, 3, 8)
    act, _ = FORMULAS[activation]
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


@pytest.mark.parametrize(
    ("d_ff", "gated", "parameters"),
    [
        (3072, False, 2 * 768 * 3072),  # 4 718 592
        (2048, True, 3 * 768 * 2048),  # the same, at 2/3 of the width
        (3072, True, 7_077_888),  # unmatched: 1.5 * 4 718 592
    ],
)
def test_parameters(d_ff: int, gated: bool, parameters: int) -> None:
    options = FeedForwardOptions("dense", d_ff, Activation.silu, gated, bias=False, dropout=0.0)
    with torch.device("meta"):
        part = options.build(768)
    assert sum(p.numel() for p in part.parameters()) == parameters
    assert 2 * 768 * 3072 == 3 * 768 * 2048 == 4_718_592
    assert 1.5 * 4_718_592 == 7_077_888

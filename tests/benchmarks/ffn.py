"""Time of a feed-forward network, against its matrix products alone.

python -m tests.benchmarks.ffn [--rounds 30] [--threads 1] [--json FILE] [--quick]  about 1 minute

Forward and forward+backward of ReLU, GELU and SwiGLU (at 2/3 of the width, so equal FLOPs), for
1024 tokens, d_model 512, d_ff 2048. Their limit is the products of an ungated network alone, into
memory that exists already. 2/3 of 2048 is 1365, whose odd rows make the products themselves slow
(`limit_1365` times these products). 1368, the next multiple of 8, costs 0.2 % more FLOPs.

Goal: limit / network >= 0.90.
"""

from collections.abc import Callable

import torch
from side_by_side import SideBySide, arguments
from torch import Tensor

from experiments.nn.ffn import FeedForward
from experiments.nn.initialise import initialise
from experiments.parts.activation import Activation

TOKENS, D_MODEL, D_FF = 1024, 512, 2048
EXACT, EVEN = 1365, 1368  # 2/3 of D_FF, and the next multiple of 8
NETWORKS = {
    "relu": FeedForward(D_MODEL, d_ff=D_FF, activation=Activation.relu),
    "gelu": FeedForward(D_MODEL, d_ff=D_FF, activation=Activation.gelu),
    **{
        f"swiglu_{d_ff}": FeedForward(D_MODEL, d_ff=d_ff, activation=Activation.silu, gated=True)
        for d_ff in (EXACT, EVEN)
    },
}


class Limit:
    """The products of an ungated network (`n_up` 1) or a gated one (2), and of their gradients."""

    def __init__(self, d_ff: int, n_up: int) -> None:
        self.up = torch.randn(n_up, d_ff, D_MODEL)
        self.down = torch.randn(D_MODEL, d_ff)
        self.up_grad, self.down_grad = torch.empty_like(self.up), torch.empty_like(self.down)
        self.x, self.y = torch.randn(2, TOKENS, D_MODEL)
        self.hidden = torch.randn(n_up, TOKENS, d_ff)

    def forward(self) -> None:
        for up, hidden in zip(self.up, self.hidden, strict=True):
            torch.mm(self.x, up.t(), out=hidden)
        torch.mm(self.hidden[0], self.down.t(), out=self.y)

    def both(self) -> None:
        self.forward()
        torch.mm(self.y.t(), self.hidden[0], out=self.down_grad)
        torch.mm(self.y, self.down, out=self.hidden[0])
        for up, up_grad, hidden in zip(self.up, self.up_grad, self.hidden, strict=True):
            torch.mm(hidden.t(), self.x, out=up_grad)
            torch.mm(hidden, up, out=self.y)


def forward_of(network: FeedForward, x: Tensor) -> Callable[[], object]:
    @torch.no_grad()
    def run() -> Tensor:
        return network.transform(x)

    return run


def both_of(network: FeedForward, x: Tensor) -> Callable[[], object]:
    gradient = torch.randn_like(x)

    def run() -> None:
        network.zero_grad()
        x.grad = None
        network.transform(x).backward(gradient)

    return run


def contenders() -> dict[str, dict[str, Callable[[], object]]]:
    """Functions by name, of forward and of forward+backward."""
    x = torch.randn(TOKENS, D_MODEL)
    needs_gradient = torch.randn(TOKENS, D_MODEL, requires_grad=True)  # as inside a model
    limits = {"limit": Limit(D_FF, 1), "limit_1365": Limit(EXACT, 2)}
    forward: dict[str, Callable[[], object]] = {name: of.forward for name, of in limits.items()}
    both: dict[str, Callable[[], object]] = {name: of.both for name, of in limits.items()}
    for name, network in NETWORKS.items():
        initialise(network, 0)
        forward[name] = forward_of(network, x)
        both[name] = both_of(network, needs_gradient)
    return {"forward": forward, "forward+backward": both}


def main() -> None:
    bench = SideBySide(arguments(__doc__, rounds=30))
    for what, functions in contenders().items():
        bench.compare(f"{TOKENS} tokens, {D_MODEL} x {D_FF}, {what}", functions, "limit / it")
    bench.write()


if __name__ == "__main__":
    main()

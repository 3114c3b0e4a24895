"""How close a feed-forward network comes to its matrix products.

python -m tests.benchmarks.ffn [--rounds 30] [--threads 1] [--json FILE]      about 1 minute

Forward and forward+backward of ReLU, GELU and SwiGLU (at 2/3 of the width, so equal FLOPs), 1024
tokens, d_model 512, d_ff 2048, beside their limit: the products of an ungated network alone, into
memory that exists already. 2/3 of 2048 is 1365, whose odd rows make the products themselves slow
(`limit_1365` is theirs alone); 1368, the next multiple of 8, costs 0.2 % more FLOPs.

Contenders run interleaved in a new random order each round; the table has medians over rounds and
ratios of medians, the JSON file every sample in seconds. A shared machine changes its speed from
minute to minute: only ratios within one run hold. Goal: limit / network >= 0.90.
"""

import argparse
import json
import platform
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from experiments.config import Activation
from experiments.nn.ffn import FeedForward
from experiments.nn.initialise import initialise
from runner.measure import interleaved

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


def show(console: Console, title: str, samples: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(values) for name, values in samples.items()}
    table = Table("", "median ms", "min ms", "limit / it", title=title)
    for name, median in medians.items():
        least, ratio = min(samples[name]), medians["limit"] / median
        table.add_row(name, f"{median * 1e3:.1f}", f"{least * 1e3:.1f}", f"{ratio:.2f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write every sample here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    console = Console()
    seconds = {}
    for what, functions in contenders().items():
        seconds[what] = interleaved(functions, rounds=options.rounds)
        show(console, f"{TOKENS} tokens, {D_MODEL} x {D_FF}, {what}", seconds[what])
    if options.json:
        machine = {
            "torch": torch.__version__,
            "threads": options.threads,
            "processor": platform.processor() or platform.machine(),
        }
        options.json.write_text(json.dumps({"machine": machine, "seconds": seconds}, indent=1))


if __name__ == "__main__":
    main()

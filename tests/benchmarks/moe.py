"""How fast is the mixture layer? Beside its naive twin, a peer, and the GEMMs nobody can avoid.

python -m tests.benchmarks.moe [--rounds 15] [--threads 1] [--json FILE]      about 3 minutes

Contenders run interleaved, in a new random order each round, on inputs drawn fresh; the table has
medians over rounds and ratios of medians, the JSON file every sample in seconds. A shared machine
changes its speed from minute to minute: only ratios within one run hold.

- limit: the products of the active FLOPs alone, at even load, into memory that exists already:
  2 a matrix forward, 6 with backward (the input needs a gradient, as inside a model).
- ours: the whole layer, router included.
- naive: the same layer, with a mask for each choice and expert.
- peer: sort, torch's grouped_mm over stacked weights, put back.
"""

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from experiments import config
from experiments.nn.build import build_transformer
from experiments.nn.dispatch import Combine, Scatter, masked
from experiments.nn.moe import MixtureOfExperts

D_MODEL, D_FF, TOP_K = 512, 2048, 2
SIZES = ((8, 1024), (64, 2048))  # n_experts, tokens
WARM_UP = 2

Samples = dict[str, list[float]]


class Limit:
    """The matrix products of one layer, every expert with an even share of the assignments."""

    def __init__(self, n_experts: int, tokens: int) -> None:
        rows = tokens * TOP_K // n_experts
        self.up, self.down = torch.randn(2, n_experts, D_FF, D_MODEL)
        self.up_grad, self.down_grad = torch.empty(2, n_experts, D_FF, D_MODEL)
        self.x, self.y = torch.randn(2, rows, D_MODEL)
        self.hidden = torch.empty(rows, D_FF)

    def forward(self, _: Tensor) -> None:
        for up, down in zip(self.up, self.down, strict=True):
            torch.mm(self.x, up.t(), out=self.hidden)
            torch.mm(self.hidden, down, out=self.y)

    def both(self, x: Tensor) -> None:
        self.forward(x)
        everything = zip(self.up, self.down, self.up_grad, self.down_grad, strict=True)
        for up, down, up_grad, down_grad in everything:
            torch.mm(self.hidden.t(), self.y, out=down_grad)
            torch.mm(self.y, down.t(), out=self.hidden)
            torch.mm(self.hidden.t(), self.x, out=up_grad)
            torch.mm(self.hidden, up, out=self.y)


class Naive(MixtureOfExperts):
    """The mixture with the naive dispatch."""

    def forward(self, x: Tensor, keep: Tensor | None = None) -> tuple[Tensor, None]:
        tokens = x.flatten(0, 1)
        routing = self.route(tokens, keep)
        networks = [expert.transform for expert in self.experts]
        mixed = masked(tokens, routing.experts, routing.weights, keep, networks)
        return mixed.view_as(x), None


class Peer(nn.Module):
    """The same layer on torch's grouped_mm."""

    def __init__(self, n_experts: int) -> None:
        super().__init__()
        self.router = nn.Linear(D_MODEL, n_experts, bias=False)
        self.up = nn.Parameter(torch.randn(n_experts, D_MODEL, D_FF) * D_MODEL**-0.5)
        self.down = nn.Parameter(torch.randn(n_experts, D_FF, D_MODEL) * D_FF**-0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        tokens = x.flatten(0, 1)
        top = self.router(tokens).topk(TOP_K)
        chosen, order = top.indices.flatten().sort(stable=True)
        ends = torch.bincount(chosen, minlength=len(self.up)).cumsum(0).to(torch.int32)
        slots, source = order.argsort().view(-1, TOP_K), order // TOP_K
        rows = Scatter.apply(tokens, slots, source)
        hidden = F.gelu(F.grouped_mm(rows, self.up, offs=ends))
        back = F.grouped_mm(hidden, self.down, offs=ends)
        weights = top.values.softmax(dim=1)
        return Combine.apply(back, weights, slots, source, order).view_as(x), None


def forward_of(layer: nn.Module) -> Callable[[Tensor], None]:
    def run(x: Tensor) -> None:
        with torch.no_grad():
            layer(x)

    return run


def both_of(layer: nn.Module) -> Callable[[Tensor], None]:
    def run(x: Tensor) -> None:
        layer.zero_grad()
        x.grad = None
        layer(x)[0].backward(torch.ones_like(x))

    return run


def interleave(contenders: dict[str, Callable[[Tensor], None]], shape, rounds: int) -> Samples:
    """Seconds of every round and contender."""
    samples: Samples = {name: [] for name in contenders}
    names = list(contenders)
    for index in range(WARM_UP + rounds):
        random.shuffle(names)
        x = torch.randn(shape, requires_grad=True)
        for name in names:
            started = time.perf_counter()
            contenders[name](x)
            if index >= WARM_UP:
                samples[name].append(time.perf_counter() - started)
    return samples


def layers(n_experts: int, tokens: int, rounds: int) -> dict[str, Samples]:
    options = {"n_experts": n_experts, "top_k": TOP_K, "d_ff": D_FF}
    ours, naive = MixtureOfExperts(D_MODEL, **options), Naive(D_MODEL, **options)
    naive.load_state_dict(ours.state_dict())
    limit, parts = Limit(n_experts, tokens), {"ours": ours, "naive": naive, "peer": Peer(n_experts)}
    forward = {"limit": limit.forward} | {name: forward_of(part) for name, part in parts.items()}
    both = {"limit": limit.both} | {name: both_of(part) for name, part in parts.items()}
    shape = (1, tokens, D_MODEL)
    return {
        "forward": interleave(forward, shape, rounds),
        "forward+backward": interleave(both, shape, rounds),
    }


def small_models(rounds: int) -> Samples:
    """Forward and backward of two layers of width 64 on 16 x 64 bytes: overhead counts here.

    `dense` has the active width of the mixture, 256 = top_k * 128.
    """
    rest = (config.Activation.gelu, False, False, 0.0)
    balance = (config.Balance.aux, 0.01, 0.0, 0.001)
    ffns = {
        "dense": config.FeedForward("dense", 256, *rest),
        "moe 8 experts": config.MixtureOfExperts("moe", 8, 2, 128, *rest, *balance),
        "moe 32 experts": config.MixtureOfExperts("moe", 32, 2, 128, *rest, *balance),
    }

    def step_of(ffn: object) -> Callable[[Tensor], None]:
        arm = SimpleNamespace(
            model=config.Model(64, 2),
            attention=config.Attention(
                "multihead", 4, 4, False, 0.0, config.Position.rotary, config.Kernel.fused
            ),
            ffn=ffn,
            norm=config.Norm("norm", config.Placement.pre, config.NormType.layer, 1e-5),
        )
        model = build_transformer(arm, vocabulary=256, width=None, seed=0)
        keep = torch.ones(16, 64, dtype=torch.bool)

        def step(x: Tensor) -> None:
            tokens = x.detach().abs().mul(100).long() % 256
            model.zero_grad()
            output = model(tokens, keep)
            loss = F.cross_entropy(output.prediction.flatten(0, 1), tokens.flatten())
            (loss + output.aux_loss).backward()

        return step

    return interleave({name: step_of(ffn) for name, ffn in ffns.items()}, (16, 64), 4 * rounds)


def show(console: Console, title: str, samples: Samples, reference: str) -> None:
    medians = {name: statistics.median(values) for name, values in samples.items()}
    table = Table("", "median ms", "min ms", f"{reference} / it", "it / ours", title=title)
    for name, median in medians.items():
        to_ours = f"{median / medians['ours']:.2f}" if "ours" in medians else ""
        ratio = f"{medians[reference] / median:.2f}"
        table.add_row(
            name, f"{median * 1e3:.1f}", f"{min(samples[name]) * 1e3:.1f}", ratio, to_ours
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write every sample here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    console = Console()
    small = "small models, forward+backward"
    samples: dict[str, Samples] = {small: small_models(options.rounds)}
    show(console, small, samples[small], reference="dense")
    for n_experts, tokens in SIZES:
        for what, values in layers(n_experts, tokens, options.rounds).items():
            title = f"{n_experts} experts, {tokens} tokens, {what}"
            samples[title] = values
            show(console, title, values, reference="limit")
    if options.json:
        machine = {
            "torch": torch.__version__,
            "threads": options.threads,
            "processor": platform.processor() or platform.machine(),
        }
        options.json.write_text(json.dumps({"machine": machine, "seconds": samples}, indent=1))


if __name__ == "__main__":
    main()

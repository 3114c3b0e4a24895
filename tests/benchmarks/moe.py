"""Time of the mixture layer, against its naive twin, a peer, and the unavoidable products.

python -m tests.benchmarks.moe [--rounds 15] [--threads 1] [--json FILE] [--quick]

About 3 minutes; --quick: the small models and 8 experts alone. Every round has other inputs, and
in a round all contenders have the same.

- `limit`: the products of the active FLOPs alone, at even load, into memory that exists already:
  2 a matrix forward, 6 with backward (the input needs a gradient, as inside a model).
- `ours`: the whole layer, router included.
- `naive`: the same layer, with a mask for each choice and expert.
- `peer`: sort, torch's grouped_mm over stacked weights, put back.
"""

from collections.abc import Callable
from itertools import cycle
from types import SimpleNamespace

import torch
from side_by_side import SideBySide, arguments
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.nn.moe.dispatch import CombineRows, DispatchRows, dispatch_masked
from experiments.nn.moe.mixture import MixtureOfExperts
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

D_MODEL, D_FF, TOP_K = 512, 2048, 2
SIZES = ((8, 1024), (64, 2048))  # n_experts, tokens
N_INPUTS = 8


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
        mixed = dispatch_masked(tokens, routing.experts, routing.weights, keep, networks)
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
        rows = DispatchRows.apply(tokens, slots, source)
        hidden = F.gelu(F.grouped_mm(rows, self.up, offs=ends))
        back = F.grouped_mm(hidden, self.down, offs=ends)
        weights = top.values.softmax(dim=1)
        return CombineRows.apply(back, weights, slots, source, order).view_as(x), None


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


def on_inputs(
    contenders: dict[str, Callable[[Tensor], None]], shape: tuple[int, ...]
) -> dict[str, Callable[[], None]]:
    """The contenders, each going through the same inputs in turn, one a call."""
    inputs = [torch.randn(shape, requires_grad=True) for _ in range(N_INPUTS)]

    def of(run: Callable[[Tensor], None]) -> Callable[[], None]:
        turn = cycle(inputs)
        return lambda: run(next(turn))

    return {name: of(run) for name, run in contenders.items()}


def layers(n_experts: int, tokens: int) -> dict[str, dict[str, Callable[[], None]]]:
    """One layer: contenders of forward and of forward+backward."""
    options = {"n_experts": n_experts, "top_k": TOP_K, "d_ff": D_FF}
    ours, naive = MixtureOfExperts(D_MODEL, **options), Naive(D_MODEL, **options)
    naive.load_state_dict(ours.state_dict())
    limit, parts = Limit(n_experts, tokens), {"ours": ours, "naive": naive, "peer": Peer(n_experts)}
    forward = {"limit": limit.forward} | {name: forward_of(part) for name, part in parts.items()}
    both = {"limit": limit.both} | {name: both_of(part) for name, part in parts.items()}
    shape = (1, tokens, D_MODEL)
    return {"forward": on_inputs(forward, shape), "forward+backward": on_inputs(both, shape)}


def small_models() -> dict[str, Callable[[], None]]:
    """Forward and backward of two layers of width 64 on 16 x 64 bytes: overhead counts here.

    `dense` has the active width of the mixture, 256 = top_k * 128.
    """
    rest = (Activation.gelu, False, False, 0.0)
    balance = (Balance.aux, 0.01, 0.0, 0.001)
    ffns = {
        "dense": FeedForwardOptions("dense", 256, *rest),
        "moe 8 experts": MixtureOfExpertsOptions("moe", 8, 2, 128, *rest, *balance),
        "moe 32 experts": MixtureOfExpertsOptions("moe", 32, 2, 128, *rest, *balance),
    }

    def step_of(ffn: object) -> Callable[[Tensor], None]:
        arm = SimpleNamespace(
            model=ModelOptions(64, 2, Init.scaled),
            attention=AttentionOptions(
                "multihead", 4, 4, False, 0.0, Position.rotary, Kernel.fused
            ),
            ffn=ffn,
            norm=NormOptions("norm", Placement.pre, NormType.layer, 1e-5),
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

    return on_inputs({name: step_of(ffn) for name, ffn in ffns.items()}, (16, 64))


def main() -> None:
    bench = SideBySide(arguments(__doc__, rounds=15))
    bench.compare("small models, forward+backward", small_models(), "dense / it", times=4)
    for n_experts, tokens in SIZES[:1] if bench.options.quick else SIZES:
        for what, functions in layers(n_experts, tokens).items():
            title = f"{n_experts} experts, {tokens} tokens, {what}"
            bench.compare(title, functions, "limit / it", "it / ours")
    bench.write()


if __name__ == "__main__":
    main()

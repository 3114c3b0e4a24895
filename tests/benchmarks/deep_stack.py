"""A training step of a deep stack against its limit, and the cost of watching its gradients.

python -m tests.benchmarks.deep_stack [--rounds 7] [--threads 1] [--json FILE] [--quick]

20 layers, d_model 256, 4 heads, ReLU 4x, batch 32 x 20: forward, backward, gradient norm, fused
AdamW step, as the training loop does it. About 2 minutes; --quick has 4 layers, under 20 seconds.

- limit: the products with weights alone, 3 a matrix (forward, by the input, by the weight), into
  memory that exists already.
- step: the project's step.
- watched: the same with the norm of each layer's gradients.
- looped: the same with a transfer for each parameter, the textbook's way.
- watch, loop: the norms alone, on existing gradients, over a step. This share is too small to show
  in the difference of two steps.
"""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from side_by_side import SideBySide, arguments
from torch import Tensor
from torch.nn import functional as F

from experiments.nn.transformer import Transformer
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.parts.transformer import build_transformer
from experiments.probes.gradients import GradientNorms, norm_by_parameter
from runner.trial.optimizer import adamw

N_LAYERS, D_MODEL, N_HEADS, D_FF = 20, 256, 4, 1024
BATCH, LENGTH, WIDTH = 32, 20, 256


class Limit:
    """The products of all weight matrices of the body, the embedding and the head."""

    def __init__(self, n_layers: int) -> None:
        tokens = BATCH * LENGTH
        shapes = [(D_MODEL, D_MODEL)] * 4 + [(D_FF, D_MODEL), (D_MODEL, D_FF)]
        shapes = shapes * n_layers + [(D_MODEL, WIDTH), (WIDTH, D_MODEL)]
        self.weights = [torch.randn(shape) for shape in shapes]
        self.weight_grads = [torch.empty(shape) for shape in shapes]
        self.stream = {width: torch.randn(tokens, width) for width in (D_MODEL, D_FF)}
        self.gradient = {width: torch.randn(tokens, width) for width in (D_MODEL, D_FF)}
        self.result = {width: torch.empty(tokens, width) for width in (D_MODEL, D_FF)}

    def __call__(self) -> None:
        for weight in self.weights:
            n_out, n_in = weight.shape
            torch.mm(self.stream[n_in], weight.t(), out=self.result[n_out])
        for weight, grad in zip(reversed(self.weights), reversed(self.weight_grads), strict=True):
            n_out, n_in = weight.shape
            torch.mm(self.gradient[n_out].t(), self.stream[n_in], out=grad)
            torch.mm(self.gradient[n_out], weight, out=self.result[n_in])


def model(placement: Placement, n_layers: int) -> Transformer:
    attention = AttentionOptions(
        "multihead", N_HEADS, N_HEADS, False, 0.0, Position.rotary, Kernel.fused
    )
    arm = SimpleNamespace(
        model=ModelOptions(D_MODEL, n_layers, Init.plain),
        attention=attention,
        ffn=FeedForwardOptions("dense", D_FF, Activation.relu, False, False, 0.0),
        norm=NormOptions("norm", placement, NormType.layer, 1e-5),
    )
    return build_transformer(arm, vocabulary=None, width=WIDTH, seed=0)


def step_of(net: Transformer, watch: Callable[[Transformer], object]) -> Callable[[], None]:
    """A training step on fresh inputs, like `runner.trial.training.train_step`."""
    options = SimpleNamespace(lr=1e-3, weight_decay=0.0, beta1=0.9, beta2=0.999)
    optimizer = adamw(net, options)
    keep = torch.ones(BATCH, LENGTH, dtype=torch.bool)

    def step() -> None:
        x = torch.randn(BATCH, LENGTH, WIDTH)
        loss = loss_of(net, x, keep)
        optimizer.zero_grad()
        loss.backward()
        watch(net)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0).item()
        optimizer.step()

    return step


def loss_of(net: Transformer, x: Tensor, keep: Tensor) -> Tensor:
    return F.mse_loss(net(x, keep).prediction, torch.sin(x) + torch.cos(2 * x))


def nothing(net: Transformer) -> None:
    """Watch nothing."""


def main() -> None:
    bench = SideBySide(arguments(__doc__, rounds=7))
    n_layers, pre = 4 if bench.options.quick else N_LAYERS, Placement.pre
    steps: dict[str, Callable[[], object]] = {
        "limit": Limit(n_layers),
        "step": step_of(model(pre, n_layers), nothing),
        "watched": step_of(model(pre, n_layers), GradientNorms()),
        "looped": step_of(model(pre, n_layers), norm_by_parameter),
    }
    for placement in Placement:
        if placement is not pre:
            steps[f"step, {placement}"] = step_of(model(placement, n_layers), nothing)
    net, watch = model(pre, n_layers), GradientNorms()
    loss_of(net, torch.randn(BATCH, LENGTH, WIDTH), torch.ones(BATCH, LENGTH).bool()).backward()
    norms = {"watch": lambda: watch(net), "loop": lambda: norm_by_parameter(net)}
    step = bench.compare("steps", steps, "limit / it", "it / step")
    norm = bench.compare("norms", norms, times=3, min_seconds=0.02)
    bench.say(f"goals: limit / step >= 0.82: {step['limit'] / step['step']:.2f}")
    bench.say(
        f"       per-layer gradient norms < 2 % of a step: {norm['watch'] / step['step']:.2%}"
    )
    bench.say(f"       (by a transfer for each parameter: {norm['loop'] / step['step']:.2%})")
    bench.write()


if __name__ == "__main__":
    main()

"""Which feed-forward network learns best at equal parameters, and what its hidden units do.

A small decoder-only Transformer is trained with one kind of feed-forward network. On held-out data,
before, while and after it trains: loss, share of hidden values that are exactly zero and that are
small, and the size of the networks' output. Tables hold the activation and its derivative, and the
share of small hidden values against what entered the activation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import Question, measuring, question
from experiments.metrics import METRICS
from experiments.metrics.ffn import DECLARATIONS
from experiments.parts.activation import Activation
from experiments.rules import share
from experiments.start import assemble

if TYPE_CHECKING:
    from runner.trial.trial import Trial

LIMIT = 3.0  # functions are shown on [-3, 3]
POINTS = 121

METRICS.update(DECLARATIONS)


@question("ffn")
@dataclass
class FFNOptions(Question):
    """The size below which a hidden value counts as small."""

    eps: float = field(metadata=measuring("ffn/small_share"))

    def __post_init__(self) -> None:
        share(eps=self.eps)

    def check(self, groups: Mapping[str, Any]) -> None:
        """Raise ValueError where the feed-forward part has a nonlinearity that cannot be drawn."""
        name, ours = groups["ffn"].nonlinearity, [str(each) for each in Activation]
        if name is not None and name not in ours:
            raise ValueError(
                f"ffn={groups['ffn'].kind} has nonlinearity={name!r}, which experiment=ffn cannot "
                f"draw; let it be None or one of {', '.join(ours)}"
            )


def run(trial: "Trial") -> None:
    """Train one arm under one seed, look at its hidden units, record."""
    from experiments.probes.activations import ActivationProbe, InputSparsity
    from runner.trial.training import evaluate, train

    ffn, eps = trial.config.parts.ffn, trial.config.options.eps
    task, model = assemble(trial)

    def probe() -> ActivationProbe:
        return ActivationProbe(model, eps=eps)

    # Before training: after it, or after a resume, the first weights are gone.
    start = evaluate(model, task, [probe()], trial.device)
    train(trial, model, task, probes=[probe])

    by_input = InputSparsity(model, eps=eps, limit=LIMIT)
    end = evaluate(model, task, [probe(), by_input], trial.device)
    trial.record(compared(start, end), "1")
    if ffn.nonlinearity is not None:
        trial.table("functions", function_rows(ffn.nonlinearity))
    trial.table("sparsity", by_input.rows())


def compared(start: dict[str, float], end: dict[str, float]) -> dict[str, float]:
    """Return the probe's values at the end, `<name>_init` before training, and `<name>_change`."""
    found = {}
    for name in start:
        place, _, layer = name.removeprefix("ffn/").partition("/")
        if name.startswith("ffn/"):
            suffix = f"/{layer}" if layer else ""
            found[name] = end[name]
            found[f"ffn/{place}_init{suffix}"] = start[name]
            found[f"ffn/{place}_change{suffix}"] = end[name] - start[name]
    return found


def function_rows(activation: str) -> list[dict[str, float | str]]:
    """Return the activation and its derivative on [-3, 3], a row a point.

    Of a gated network this is the gate: its hidden value where the other factor is 1.
    """
    import torch

    from experiments.nn.ffn import ACTIVATIONS

    x = torch.linspace(-LIMIT, LIMIT, POINTS, dtype=torch.float64, requires_grad=True)
    value = ACTIVATIONS[activation](x)
    (derivative,) = torch.autograd.grad(value.sum(), x)
    return [
        {"name": activation, "kind": kind, "x": round(point, 6), "value": y}
        for kind, ys in (("value", value), ("derivative", derivative))
        for point, y in zip(x.tolist(), ys.tolist(), strict=True)
    ]

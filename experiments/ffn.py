"""Compare feed-forward networks of equal parameters: held-out loss, and sparsity of hidden units.

A trial trains a small decoder-only Transformer with one kind of feed-forward network. Before,
during and after training, it measures on held-out data:

- the loss;
- the share of hidden values that are exactly zero, and the share that are small;
- the root mean square of the networks' output.

Two tables are recorded at the end: the activation with its derivative, and the share of small
hidden values at each input of the activation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import Question, measurement_only, question
from experiments.metrics import METRICS
from experiments.metrics.ffn import DECLARATIONS
from experiments.parts.activation import Activation
from experiments.rules import check_fraction
from experiments.trial_setup import build_task_and_model

if TYPE_CHECKING:
    from runner.trial.trial import Trial

LIMIT = 3.0
"""Functions are drawn on [-LIMIT, LIMIT], at POINTS points."""
POINTS = 121

METRICS.update(DECLARATIONS)  # the definitions of the metrics that `run` records


@question("ffn")
@dataclass
class FFNOptions(Question):
    """Options of `experiment=ffn`.

    Attributes:
        eps: a hidden value h counts as small if |h| <= eps * RMS of its token's hidden values.
    """

    eps: float = field(metadata=measurement_only("ffn/small_share"))

    def __post_init__(self) -> None:
        check_fraction(eps=self.eps)

    def check(self, groups: Mapping[str, Any]) -> None:
        """Raise ValueError where the feed-forward part has an activation that cannot be drawn."""
        name, known = groups["ffn"].nonlinearity, [str(each) for each in Activation]
        if name is not None and name not in known:
            raise ValueError(
                f"ffn={groups['ffn'].kind}: experiment=ffn cannot draw nonlinearity={name!r}; it "
                f"must be None or one of {', '.join(known)}"
            )


def run(trial: "Trial") -> None:
    """Train the model of one arm and seed, and record how sparse its hidden units are."""
    # Imports are local, so that `plan=only` can import this module without loading torch.
    from experiments.probes.activations import ActivationProbe, InputSparsity
    from runner.trial.training import evaluate, train

    # Set up: the data and the initialised model.
    ffn, eps = trial.config.parts.ffn, trial.config.options.eps
    task, model = build_task_and_model(trial)

    def probe() -> ActivationProbe:
        return ActivationProbe(model, eps=eps)

    # Measure the untrained model first: training replaces its weights.
    start = evaluate(model, task, [probe()], trial.device)
    train(trial, model, task, probes=[probe])

    # Conclude: record the trained model's values, their change over training, and the tables.
    by_input = InputSparsity(model, eps=eps, limit=LIMIT)
    end = evaluate(model, task, [probe(), by_input], trial.device)
    trial.record(add_start_and_change(start, end), "1")
    if ffn.nonlinearity is not None:
        trial.table("functions", function_rows(ffn.nonlinearity))
    if rows := by_input.rows():
        trial.table("sparsity", rows)
    note_left_out(trial, is_hidden_known="ffn/zero_share" in end)


def note_left_out(trial: "Trial", *, is_hidden_known: bool) -> None:
    """Add a note on the values that the report leaves out for a plain feed-forward part."""
    ffn = trial.config.parts.ffn
    if not ffn.is_plain:
        return
    names = (
        []
        if is_hidden_known
        else ["shares of zero and small values (no linear layer returns the output)"]
    )
    names += ["small values by input"]
    names += [] if ffn.nonlinearity else ["the curve of the activation"]
    trial.note(f"ffn={ffn.kind}: left out: {', '.join(names)}")


def add_start_and_change(start: dict[str, float], end: dict[str, float]) -> dict[str, float]:
    """Return the probe's values at the end, `<name>_init` before training, and `<name>_change`."""
    metrics = {}
    for name in start:
        quantity, _, layer = name.removeprefix("ffn/").partition("/")
        if name.startswith("ffn/"):
            suffix = f"/{layer}" if layer else ""
            metrics[name] = end[name]
            metrics[f"ffn/{quantity}_init{suffix}"] = start[name]
            metrics[f"ffn/{quantity}_change{suffix}"] = end[name] - start[name]
    return metrics


def function_rows(activation: str) -> list[dict[str, float | str]]:
    """Return the activation and its derivative on [-LIMIT, LIMIT], one row per point.

    In a gated network this is the gate: the hidden value where the other factor is 1.
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

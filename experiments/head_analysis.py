"""Score where each attention head looks, when it learns this, and how much the heads differ.

A trial trains a small decoder-only Transformer on sequences with planted dependences. During
training and at its end, it scores each head on held-out data. The scores are entropy, distance,
diagonal, and the weight on the offsets that carry a pattern. Every score has two references:
attention that is even over the valid keys, and the same model before its first step.

On sequences that repeat (task=induction), the trial also measures:

- how well the model copies, and which heads attend to the earlier occurrence of a symbol;
- how much accuracy it loses when heads are ablated, and how many heads can be removed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import Question, measurement_only, question
from experiments.metrics import METRICS
from experiments.metrics.head_analysis import DECLARATIONS
from experiments.rules import check_at_least
from experiments.trial_setup import build_model, build_task

if TYPE_CHECKING:
    from torch import nn

    from experiments.probes.heads.summaries import ScoreTable
    from runner.trial.trial import Trial

METRICS.update(DECLARATIONS)  # the definitions of the metrics that `run` records


@question("head_analysis")
@dataclass
class HeadAnalysisOptions(Question):
    """Options of `experiment=head_analysis`.

    Attributes:
        train: whether the model is trained; if not, its starting weights are scored.
        block: queries that are scored at a time, which bounds memory.
        n_orders: random orders in which heads are removed; 0 skips ablation and pruning.
    """

    train: bool
    block: int = field(metadata=measurement_only())
    n_orders: int = field(metadata=measurement_only("heads/pruning", "heads/ablation"))

    def __post_init__(self) -> None:
        check_at_least(1, block=self.block)
        check_at_least(0, n_orders=self.n_orders)

    def check(self, groups: Mapping[str, Any]) -> None:
        """Raise ValueError where attention has no heads, or ablab cannot read them."""
        attention = groups["attention"]
        if attention.is_plain:
            raise ValueError(
                f"attention={attention.kind} is a plain part, whose heads experiment=head_analysis "
                "cannot read; choose another attention, such as mha"
            )
        if not attention.heads:
            raise ValueError(
                f"attention={attention.kind} has no heads, which experiment=head_analysis scores; "
                "choose another attention, such as mha"
            )


def run(trial: "Trial") -> None:
    """Train the model of one arm and seed, unless `options.train` is false, and score its heads."""
    # Imports are local, so that `plan=only` can import this module without loading torch.
    from experiments.probes.heads.ablation_metrics import (
        record_ablation_and_pruning,
        record_diverged_ablation,
    )
    from experiments.probes.heads.copying import CopyProbe
    from experiments.probes.heads.head_metrics import (
        record_copying,
        record_planted_attention,
        record_scores,
    )
    from experiments.probes.heads.probe import HeadProbe
    from experiments.probes.heads.summaries import example_attention_rows, summarise_heads
    from runner.trial.protocols import ProbeProtocol
    from runner.trial.training import evaluate, record_held_out, train

    # Set up: the data, the model, and the probes that score it on held-out data.
    options, repeats = trial.config.options, trial.config.parts.task.repeats
    task = build_task(trial)

    def probe(model: "nn.Module") -> HeadProbe:
        return HeadProbe(model, task.labels, task.lags, block=options.block)

    model = build_model(trial, task)
    probes: list[Callable[[], ProbeProtocol]] = [lambda: probe(model)]
    if repeats:
        probes.append(lambda: CopyProbe(model))

    # Measure while training. An untrained arm is evaluated once, as step 0.
    if options.train:
        train(trial, model, task, probes=probes)
    else:
        trial.open_log(0)
        values = evaluate(model, task, [make() for make in probes], trial.device)
        trial.log(values, 0)
        record_held_out(trial, task, values)

    # Score the final model and, as a reference, the same model before training.
    final, untrained = probe(model), build_model(trial, task)
    initial = probe(untrained)
    evaluate(model, task, [final], trial.device)
    evaluate(untrained, task, [initial], trial.device)
    record_scores(trial, final, initial)
    record_planted_attention(trial, final, initial, mean=task.needs_lags)

    # On sequences that repeat: score copying, then ablate heads. A diverged model copies nothing.
    copy_scores: ScoreTable = {}
    if repeats:
        copy_scores = record_copying(trial, model, untrained, task)
        if options.n_orders and trial.diverged:
            record_diverged_ablation(trial, model)
        elif options.n_orders:
            record_ablation_and_pruning(trial, model.eval(), task)

    # Conclude: describe each head in words, and keep the weights of example sequences for figures.
    trial.table("heads", summarise_heads(final, copy_scores))
    trial.table("attention", example_attention_rows(model, task, trial.device))

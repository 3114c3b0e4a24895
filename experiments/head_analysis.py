"""What each attention head looks at, when it learned that, and how heads differ.

A small decoder-only Transformer is trained on sequences with planted dependences. On held-out data,
while it trains and at the end, each head is scored: entropy, distance, diagonal, and the weight on
the offsets that carry a pattern. Beside every score stand what attention spread evenly over the
valid keys scores, and what the same model scores before its first step. On sequences that repeat
(task=induction) it is also scored how well the model copies and which heads find the earlier
occurrence, and heads are taken away: do those matter that look there, and how many can go?
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import Question, measuring, question
from experiments.metrics import METRICS
from experiments.metrics.head_analysis import DECLARATIONS
from experiments.rules import at_least
from experiments.start import model_of, task_of

if TYPE_CHECKING:
    from torch import nn

    from experiments.probes.heads.portraits import Table
    from runner.trial.trial import Trial

METRICS.update(DECLARATIONS)


@question("head_analysis")
@dataclass
class HeadAnalysisOptions(Question):
    """Whether the model is trained, the block of queries scored at once, and how many heads go.

    `block` bounds memory; `n_orders` is the number of random orders in which heads are taken away.
    """

    train: bool
    block: int = field(metadata=measuring())
    n_orders: int = field(metadata=measuring("heads/pruning", "heads/ablation"))

    def __post_init__(self) -> None:
        at_least(1, block=self.block)
        at_least(0, n_orders=self.n_orders)

    def check(self, groups: Mapping[str, Any]) -> None:
        """Raise ValueError where attention has no heads."""
        if not (attention := groups["attention"]).heads:
            raise ValueError(
                f"attention={attention.kind} has no heads, which experiment=head_analysis scores; "
                "choose another attention, such as mha"
            )


def run(trial: "Trial") -> None:
    """Train one arm under one seed (or leave it as it starts), score its heads, record."""
    from experiments.probes.heads.copying import CopyProbe
    from experiments.probes.heads.portraits import attention_of_labels, portraits
    from experiments.probes.heads.probe import HeadProbe
    from experiments.probes.heads.record import record_copying, record_planted, record_scores
    from experiments.probes.heads.removals import record_nothing_to_remove, record_removals
    from runner.trial.protocols import Probe
    from runner.trial.training import evaluate, train

    options, repeats = trial.config.options, trial.config.parts.task.repeats
    task = task_of(trial)

    def probe(model: "nn.Module") -> HeadProbe:
        return HeadProbe(model, task.labels, task.lags, block=options.block)

    model = model_of(trial, task)
    probes: list[Callable[[], Probe]] = [lambda: probe(model)]
    if repeats:
        probes.append(lambda: CopyProbe(model))
    if options.train:
        train(trial, model, task, probes=probes)
    else:
        trial.resume(0)
        values = evaluate(model, task, [make() for make in probes], trial.device)
        trial.log(values, 0)
        trial.record({"val/loss": values["val/loss"]}, task.unit)

    final, untrained = probe(model), model_of(trial, task)
    initial = probe(untrained)
    evaluate(model, task, [final], trial.device)
    evaluate(untrained, task, [initial], trial.device)
    record_scores(trial, final, initial)
    record_planted(trial, final, initial, mean=task.needs_lags)
    more: Table = {}
    if repeats:
        more = record_copying(trial, model, untrained, task)
        if options.n_orders and trial.diverged:
            record_nothing_to_remove(trial, model)
        elif options.n_orders:
            record_removals(trial, model.eval(), task)
    trial.table("heads", portraits(final, more))
    trial.table("attention", attention_of_labels(model, task, trial.device))

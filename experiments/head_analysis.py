"""What each attention head looks at, when it learned that, and how heads differ.

A small decoder-only Transformer is trained on sequences with planted dependences. On held-out data,
while it trains and at the end, each head is scored: entropy, distance, diagonal, and the weight on
the offsets that carry a pattern. Beside every score stand what attention spread evenly over the
valid keys scores, and what the same model scores before its first step. On sequences that repeat
(task=induction) it is also scored how well the model copies and which heads find the earlier
occurrence, and heads are taken away: do those matter that look there, and how many can go?
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

from experiments import Question, measuring, question
from experiments.probes.finite import highest, lowest
from experiments.rules import at_least
from experiments.start import model_of, task_of

if TYPE_CHECKING:
    from torch import nn

    from experiments.probes.heads import HeadProbe
    from experiments.probes.portraits import Table
    from experiments.tasks.batch import Task
    from runner.trial.trial import Trial

UNITS = {"entropy": "nats", "distance": "positions"}


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


def run(trial: "Trial") -> None:
    """Train one arm under one seed (or leave it as it starts), score its heads, record."""
    from experiments.probes.copying import CopyProbe
    from experiments.probes.heads import HeadProbe
    from experiments.probes.portraits import attention_of_labels, portraits
    from experiments.probes.removals import record_nothing_to_remove, record_removals
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


def record_scores(trial: "Trial", final: "HeadProbe", initial: "HeadProbe") -> None:
    """Record all scores per head, overall and per label, their means, and both references."""
    from experiments.probes.portraits import by_label

    before = initial.metrics()
    for name, value in final.metrics().items():
        score = name.split("/")[1]
        unit = UNITS.get(score.removesuffix("_spread"), "1")
        trial.record({name: value}, unit)
        if name == f"heads/{score}":  # a mean over heads
            trial.record({f"{name}_initial": before[name]}, unit)
    for score, table in final.table().items():
        unit = UNITS.get(score, "1")
        (even,) = table.pop("uniform")
        trial.record({f"heads/{score}_uniform": even}, unit)
        for layer in table:
            trial.record({f"heads/{score}/{layer}/uniform": even}, unit)
    for score in ("entropy", "distance", "diagonal"):
        contrasts = []
        for layer, head, values in by_label(final, score):
            place, unit = f"{layer}/head{head}", UNITS.get(score, "1")
            for label, value in values.items():
                trial.record({f"heads/{score}/{place}/{label}": value}, unit)
            contrasts.append(highest(values.values()) - lowest(values.values()))
        trial.record({f"heads/{score}_contrast": fmean(contrasts)}, unit)


def record_planted(trial: "Trial", final: "HeadProbe", initial: "HeadProbe", *, mean: bool) -> None:
    """Record `heads/planted/<label>`: the best head's weight on the key that a pattern comes from.

    On sequences with that pattern. Patterns that come from the own position, which the residual
    stream brings without attention, or from the one before are left out: `diagonal` and `previous`
    are about those, and so all arms have the same patterns. Their mean, `heads/planted`, is left
    out unless `mean`: where heads have no reason to look there it says nothing of them.
    """
    from experiments.probes.portraits import planted

    if not any(lag > 1 for lag in final.planted.values()):
        return
    found = {
        "heads/planted": planted(final),
        "heads/planted_initial": planted(initial),
        "heads/planted_uniform": {
            label: final.table(label)[f"offset_{label}"]["uniform"][0]
            for label, lag in final.planted.items()
            if lag > 1
        },
    }
    for name, values in found.items():
        trial.record({f"{name}/{label}": value for label, value in values.items()}, "1")
        if mean:
            trial.record({name: fmean(values.values())}, "1")


def record_copying(
    trial: "Trial", model: "nn.Module", untrained: "nn.Module", task: "Task"
) -> "Table":
    """Record how well the second copy is predicted and how heads look there; and before training.

    Returns the scores of the heads.
    """
    from experiments.probes.copying import CopyProbe
    from runner.trial.training import evaluate

    final, initial = CopyProbe(model), CopyProbe(untrained)
    evaluate(model, task, [final], trial.device)
    evaluate(untrained, task, [initial], trial.device)
    before = initial.metrics()
    for name, value in final.metrics().items():
        unit = "nats" if name == "heads/icl_score" else "1"
        trial.record({name: value}, unit)
        if name.count("/") == 1:
            trial.record({f"{name}_initial": before[name]}, unit)
    found = final.table()
    trial.record(
        {f"heads/{name}_uniform": table["uniform"][0] for name, table in found.items()}, "1"
    )
    return found

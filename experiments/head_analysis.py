"""What each attention head looks at, when it learned that, and how heads differ.

A small decoder-only Transformer is trained on sequences with planted dependences. On held-out data,
while it trains and at the end, each head is scored: entropy, distance, diagonal, and the weight on
the offsets that carry a pattern. Beside every score stand what attention spread evenly over the
valid keys scores, and what the same model scores before its first step. On sequences that repeat
(task=induction) it is also scored how well the model copies and which heads find the earlier
occurrence, and heads are taken away: do those matter that look there, and how many can go?
"""

import math
from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

import torch
from torch import nn

from experiments.nn.build import build_transformer
from experiments.probes.copying import CopyProbe
from experiments.probes.cost import record_cost
from experiments.probes.finite import highest, lowest
from experiments.probes.heads import HeadProbe, attention_rows
from experiments.probes.removals import record_nothing_to_remove, record_removals
from experiments.tasks.build import Task, task_of
from experiments.tasks.induction import InductionTask
from runner.trial.protocols import Probe
from runner.trial.training import evaluate, train
from runner.trial.trial import Trial

Table = dict[str, dict[str, list[float]]]
"""Score -> layer, or `uniform` for even attention -> a value for each head."""
UNITS = {"entropy": "nats", "distance": "positions"}
MOSTLY, BROAD = 0.5, 0.9
"""From these shares on a head is said to look mostly at an offset, or broadly."""
KEYS = {
    "induction": "what followed the same symbol (induction)",
    "duplicate": "the same symbol (duplicate)",
}
"""What a copying score is about, in words."""
SHOWN = 32
"""Positions of a sequence whose weights are kept for a figure."""


def run(trial: Trial) -> None:
    """Train one arm under one seed (or leave it as it starts), score its heads, record."""
    parts, options = trial.config.parts, trial.config.options
    task = task_of(trial)

    def start() -> nn.Module:
        model = build_transformer(
            parts, vocabulary=task.vocabulary, width=task.width, seed=trial.seed
        )
        return model.to(trial.device, trial.dtype)

    def probe(model: nn.Module) -> HeadProbe:
        return HeadProbe(model, task.labels, getattr(task, "lags", {}), block=options.block)

    model = start()
    probes: list[Callable[[], Probe]] = [lambda: probe(model)]
    if isinstance(task, InductionTask):
        probes.append(lambda: CopyProbe(model))
    if options.train:
        train(trial, model, task, probes=probes)
    else:
        trial.resume(0)
        values = evaluate(model, task, [make() for make in probes], trial.device)
        trial.log(values, 0)
        trial.record({"val/loss": values["val/loss"]}, task.unit)

    final, untrained = probe(model), start()
    initial = probe(untrained)
    evaluate(model, task, [final], trial.device)
    evaluate(untrained, task, [initial], trial.device)
    record_scores(trial, final, initial)
    record_planted(trial, final, initial, mean=getattr(task, "needs_lags", False))
    more: Table = {}
    if isinstance(task, InductionTask):
        more = record_copying(trial, model, untrained, task)
        if options.n_orders and trial.diverged:
            record_nothing_to_remove(trial, model)
        elif options.n_orders:
            record_removals(trial, model.eval(), task)
    record_cost(trial, task)
    trial.table("heads", portraits(final, more))
    trial.table("attention", attention_of_labels(model, task, trial.device))


def attention_of_labels(model: nn.Module, task: Task, device: torch.device) -> list[dict[str, Any]]:
    """The weights of the first held-out sequence of each label, a row a head, query and key.

    Of its first SHOWN positions. A head is named as in metrics, `layer0/head1`.
    """
    rows = []
    for index, label in enumerate(task.labels):
        for batch in task.evaluation():
            first = (batch.label == index).nonzero()
            if len(first):
                found = attention_rows(model, batch.to(device), sequence=int(first[0]), up_to=SHOWN)
                rows += [
                    {
                        "label": label,
                        "head": f"layer{row['layer']}/head{row['head']}",
                        **{column: row[column] for column in ("query", "key", "weight")},
                    }
                    for row in found
                ]
                break
    return rows


def record_scores(trial: Trial, final: HeadProbe, initial: HeadProbe) -> None:
    """All scores per head, overall and per label, their means, and both references."""
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


def record_planted(trial: Trial, final: HeadProbe, initial: HeadProbe, *, mean: bool) -> None:
    """`heads/planted/<label>`: the best head's weight on the key that a pattern comes from.

    On sequences with that pattern. Patterns that come from the own position, which the residual
    stream brings without attention, or from the one before are left out: `diagonal` and `previous`
    are about those, and so all arms have the same patterns. Their mean, `heads/planted`, is left
    out unless `mean`: where heads have no reason to look there it says nothing of them.
    """
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
    trial: Trial, model: nn.Module, untrained: nn.Module, task: InductionTask
) -> Table:
    """How well the second copy is predicted and how heads look there; and before training.

    Returns the scores of the heads.
    """
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


def planted(probe: HeadProbe) -> dict[str, float]:
    """For each planted pattern the highest weight of any head on its offset, in its sequences."""
    return {
        label: highest(
            value
            for layer, row in probe.table(label)[f"offset_{label}"].items()
            if layer != "uniform"
            for value in row
        )
        for label, lag in probe.planted.items()
        if lag > 1
    }


def by_label(probe: HeadProbe, score: str) -> list[tuple[str, int, dict[str, float]]]:
    """(layer, head, label -> score) for every head; labels without data are left out."""
    whole = {label: probe.table(label) for label in probe.labels}
    tables = {label: table[score] for label, table in whole.items() if score in table}
    first = next(iter(tables.values()))
    return [
        (layer, head, {label: table[layer][head] for label, table in tables.items()})
        for layer, row in first.items()
        if layer != "uniform"
        for head in range(len(row))
    ]


def portraits(probe: HeadProbe, more: Table) -> list[dict[str, Any]]:
    """A row a head: its scores, and in words what follows from them and `more` of them."""
    overall = probe.table() | more
    distances = {(layer, head): values for layer, head, values in by_label(probe, "distance")}
    rows = []
    for (layer, head), values in distances.items():
        own = {score: table[layer][head] for score, table in overall.items()}
        even = {score: table["uniform"][0] for score, table in overall.items()}
        rows.append(
            {
                "layer": int(layer.removeprefix("layer")),
                "head": head,
                "looks": looks(own, even),
                "differs": differs(values),
                **{
                    score: round(own[score], 3)
                    for score in ("entropy", "entropy_share", "distance", "diagonal")
                },
            }
        )
    return rows


def looks(own: Mapping[str, float], even: Mapping[str, float]) -> str:
    """Where a head looks, from its entropy and its weight on keys, against even attention.

    Keys are offsets and, where symbols repeat, what KEYS names. A score without data says nothing.
    """
    if not math.isfinite(own["entropy_share"]):
        return "nowhere: its weights are not finite"
    told_of = ("diagonal", "previous", *KEYS)
    there = [name for name in own if name in told_of or name.startswith("offset_")]
    keys = [name for name in there if math.isfinite(own[name])]
    best = max(keys, key=lambda name: own[name] - even[name])
    told = f"{KEYS.get(best, best)} {own[best]:.2f} (even {even[best]:.2f})"
    if own[best] >= MOSTLY:
        return f"mostly at {told}"
    if own["entropy_share"] >= BROAD:
        return f"broadly: {own['entropy_share']:.2f} of the largest entropy"
    if own[best] >= 2 * even[best]:
        return f"leans to {told}"
    return f"at no single place: most at {told}"


def differs(values: Mapping[str, float]) -> str:
    """On which label a head looks farthest back, and by how much; values are distances."""
    if not all(map(math.isfinite, values.values())):
        return "cannot be told: its weights are not finite"
    far, near = max(values, key=values.__getitem__), min(values, key=values.__getitem__)
    if far == near:
        return "one label only"
    return f"{values[far]:.1f} back on {far}, {values[near]:.1f} on {near}"

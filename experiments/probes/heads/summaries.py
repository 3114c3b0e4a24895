"""What a head looks at, in words and as weights to draw, and how its scores differ by label.

Scores come from `HeadProbe` and `CopyProbe`; a table of them is score -> layer -> a value per head.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from experiments.probes.heads.probe import HeadProbe, self_attention_rows
from experiments.probes.nonfinite import max_or_nan
from experiments.tasks.batch import Task

ScoreTable = dict[str, dict[str, list[float]]]
"""Score -> layer, or `uniform` for even attention -> a value for each head."""
MOSTLY, BROAD = 0.5, 0.9
"""From these shares on a head is said to look mostly at an offset, or broadly."""
KEYS = {
    "induction": "what followed the same symbol (induction)",
    "duplicate": "the same symbol (duplicate)",
}
"""What a copying score is about, in words."""
MAX_POSITIONS = 32
"""Positions of a sequence whose weights are kept for a figure."""


def example_attention_rows(
    model: nn.Module, task: Task, device: torch.device
) -> list[dict[str, Any]]:
    """Return the weights of the first held-out sequence of each label, a row a head, query and key.

    Of its first SHOWN positions. A head is named as in metrics, `layer0/head1`.
    """
    rows = []
    for index, label in enumerate(task.labels):
        for batch in task.evaluation():
            first = (batch.label == index).nonzero()
            if len(first):
                found = self_attention_rows(
                    model, batch.to(device), sequence=int(first[0]), up_to=MAX_POSITIONS
                )
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


def best_planted_weights(probe: HeadProbe) -> dict[str, float]:
    """Return the best weight of any head on each planted offset, in the pattern's sequences."""
    return {
        label: max_or_nan(
            value
            for layer, row in probe.table(label)[f"offset_{label}"].items()
            if layer != "uniform"
            for value in row
        )
        for label, lag in probe.planted_lags.items()
        if lag > 1
    }


def scores_by_label(probe: HeadProbe, score: str) -> list[tuple[str, int, dict[str, float]]]:
    """Return (layer, head, label -> score) for every head; labels without data are left out."""
    whole = {label: probe.table(label) for label in probe.labels}
    tables = {label: table[score] for label, table in whole.items() if score in table}
    first = next(iter(tables.values()))
    return [
        (layer, head, {label: table[layer][head] for label, table in tables.items()})
        for layer, row in first.items()
        if layer != "uniform"
        for head in range(len(row))
    ]


def summarise_heads(probe: HeadProbe, more: ScoreTable) -> list[dict[str, Any]]:
    """Return a row a head: its scores, and in words what follows from them and from `more`."""
    overall = probe.table() | more
    distances = {
        (layer, head): values for layer, head, values in scores_by_label(probe, "distance")
    }
    rows = []
    for (layer, head), values in distances.items():
        own = {score: table[layer][head] for score, table in overall.items()}
        even = {score: table["uniform"][0] for score, table in overall.items()}
        rows.append(
            {
                "layer": int(layer.removeprefix("layer")),
                "head": head,
                "looks": describe_attention(own, even),
                "differs": describe_label_difference(values),
                **{
                    score: round(own[score], 3)
                    for score in ("entropy", "entropy_share", "distance", "diagonal")
                },
            }
        )
    return rows


def describe_attention(own: Mapping[str, float], even: Mapping[str, float]) -> str:
    """Say where a head looks, from its entropy and its weight on keys, against even attention.

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


def describe_label_difference(values: Mapping[str, float]) -> str:
    """Say on which label a head looks farthest back, and by how much; values are distances."""
    if not all(map(math.isfinite, values.values())):
        return "cannot be told: its weights are not finite"
    far, near = max(values, key=values.__getitem__), min(values, key=values.__getitem__)
    if far == near:
        return "one label only"
    return f"{values[far]:.1f} back on {far}, {values[near]:.1f} on {near}"

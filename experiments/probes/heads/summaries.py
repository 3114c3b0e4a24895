"""Descriptions of heads in words, weights of examples to draw, and scores by label.

Scores come from `HeadProbe` and `CopyProbe`, as tables: score -> layer -> a value per head.
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
"""Maps a score to a layer, or to `uniform` for even attention, and that to a value per head."""
MOSTLY, BROAD = 0.5, 0.9
"""A head looks mostly at a key from this weight on, and broadly from this entropy share on."""
KEYS = {
    "induction": "the next symbol after an earlier occurrence (induction)",
    "duplicate": "an earlier occurrence of the symbol (duplicate)",
}
"""The keys of a copying score, in words."""
MAX_POSITIONS = 32
"""The number of first positions of a sequence whose weights a figure shows."""


def example_attention_rows(
    model: nn.Module, task: Task, device: torch.device
) -> list[dict[str, Any]]:
    """Return the weights of the first held-out sequence of each label.

    A row is one weight, by label, head, query and key, within the first MAX_POSITIONS positions.
    Heads are named as in metrics, `layer0/head1`.
    """
    rows = []
    for index, label in enumerate(task.labels):
        for batch in task.evaluation():
            of_label = (batch.label == index).nonzero()
            if len(of_label):
                weights = self_attention_rows(
                    model, batch.to(device), sequence=int(of_label[0]), up_to=MAX_POSITIONS
                )
                rows += [
                    {
                        "label": label,
                        "head": f"layer{row['layer']}/head{row['head']}",
                        **{column: row[column] for column in ("query", "key", "weight")},
                    }
                    for row in weights
                ]
                break
    return rows


def best_planted_weights(probe: HeadProbe) -> dict[str, float]:
    """Return, for each pattern, the largest weight of a head on its offset, in its sequences.

    Patterns with an offset of 0 or 1 are left out.
    """
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
    by_label = {label: probe.table(label) for label in probe.labels}
    tables = {label: table[score] for label, table in by_label.items() if score in table}
    any_table = next(iter(tables.values()))
    return [
        (layer, head, {label: table[layer][head] for label, table in tables.items()})
        for layer, row in any_table.items()
        if layer != "uniform"
        for head in range(len(row))
    ]


def summarise_heads(probe: HeadProbe, copy_scores: ScoreTable) -> list[dict[str, Any]]:
    """Return one row per head: its scores, and descriptions in words.

    `copy_scores` are the tables of `CopyProbe`; they may be empty.
    """
    overall = probe.table() | copy_scores
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
    """Describe where a head looks.

    The text names the key whose weight exceeds that of even attention most. Keys are offsets and,
    where symbols repeat, those of KEYS. Scores without data, which are NaN, do not count.

    Args:
        own: the scores of the head.
        even: the scores of attention that is even over the valid keys.
    """
    if not math.isfinite(own["entropy_share"]):
        return "unknown: its weights are not finite"
    described = ("diagonal", "previous", *KEYS)
    names = [name for name in own if name in described or name.startswith("offset_")]
    keys = [name for name in names if math.isfinite(own[name])]
    best = max(keys, key=lambda name: own[name] - even[name])
    key = f"{KEYS.get(best, best)}: weight {own[best]:.2f} (uniform attention: {even[best]:.2f})"
    if own[best] >= MOSTLY:
        return f"mostly at {key}"
    if own["entropy_share"] >= BROAD:
        return f"broadly: entropy is {own['entropy_share']:.2f} of its maximum"
    if own[best] >= 2 * even[best]:
        return f"partly at {key}"
    return f"at no single place, most at {key}"


def describe_label_difference(values: Mapping[str, float]) -> str:
    """Describe on which labels a head looks farthest and least far back; values are distances."""
    if not all(map(math.isfinite, values.values())):
        return "unknown: its weights are not finite"
    far, near = max(values, key=values.__getitem__), min(values, key=values.__getitem__)
    if far == near:
        return "one label only"
    return f"{values[far]:.1f} positions back on {far}, {values[near]:.1f} on {near}"

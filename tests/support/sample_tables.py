"""Made-up tables and final values for the figures that show more than one number per trial."""

from typing import Any

import numpy as np
import pandas as pd

from runner.figures.data import Records

ARMS = ["naive", "tiled", "fused"]
SEEDS = 6
LENGTHS = (128, 256, 512, 1024, 2048)
HEADS = [(layer, head) for layer in range(2) for head in range(4)]
WORDS = ("twenty", "five", "thousand", "<end>")
SIGNS = ("二", "万", "五", "千", "終わり")

FIGURES: dict[str, dict[str, Any]] = {
    "time": {
        "kind": "lines",
        "metric": "flash/time/length{length}",
        "x": "length",
        "log": "both",
        "title": "Time against length",
        "y_label": "ms",
        "reference": 1.0,
        "reference_label": "one millisecond",
    },
    "time_by_pass": {
        "kind": "lines",
        "metric": "flash/passes/{what}/length{length}",
        "x": "length",
        "panel": "what",
        "title": "Time of each pass",
    },
    "functions": {
        "kind": "lines",
        "table": "functions",
        "x": "x",
        "metric": "value",
        "hue": "name",
        "panel": ["kind"],
        "title": "Activations and their derivatives",
        "x_label": "input",
    },
    "attention": {
        "kind": "matrix",
        "table": "attention",
        "x": "key",
        "y": "query",
        "metric": "weight",
        "panel": ["layer", "head"],
        "panel_metrics": {
            "H": "heads/entropy/layer{layer}/head{head}",
            "d": "heads/distance/layer{layer}/head{head}",
            "diag": "heads/diagonal/layer{layer}/head{head}",
        },
        "title": "What each head attends to",
    },
    "alignment": {
        "kind": "matrix",
        "table": "alignment",
        "x": "source",
        "y": "target",
        "metric": "weight",
        "x_ticks": "source_text",
        "y_ticks": "target_text",
        "panel": "sentence",
        "title": "Which words a translation looks at",
    },
    "scores": {
        "kind": "profile",
        "axes": {
            "entropy / ln n": "heads/score_entropy/layer{layer}/head{head}",
            "distance / longest": "heads/score_distance/layer{layer}/head{head}",
            "diagonal": "heads/diagonal/layer{layer}/head{head}",
            "induction": "heads/induction/layer{layer}/head{head}",
        },
        "panel": ["layer"],
        "hue": "head",
        "title": "What heads are like",
    },
    "sentences": {
        "kind": "samples",
        "table": "samples",
        "columns": ["source", "expected", "predicted", "ok"],
        "rows": 3,
        "title": "Held-out sentences",
        "caption": "As greedy decoding writes them.",
    },
}


def make_records() -> Records:
    history = pd.DataFrame(columns=["arm", "seed", "step", "metric", "value"])
    return Records(make_results(), history, list(ARMS), make_tables())


def make_results() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    rows: list[tuple[str, int, str, float, str]] = []
    for a, arm in enumerate(ARMS):
        for seed in range(SEEDS):
            for length in LENGTHS:
                ms = (length / 128) ** (2 - 0.4 * a) * 0.2 * draw.lognormal(0, 0.12)
                rows.append((arm, seed, f"flash/time/length{length}", ms, "ms"))
                for what, share in (("forward", 0.3), ("backward", 0.7)):
                    name = f"flash/passes/{what}/length{length}"
                    rows.append((arm, seed, name, share * ms, "ms"))
            for layer, head in HEADS:
                at = f"layer{layer}/head{head}"
                scores = draw.uniform(0.05, 0.95, 4)
                rows += [
                    (arm, seed, f"heads/entropy/{at}", 3 * scores[0], "nats"),
                    (arm, seed, f"heads/distance/{at}", 20 * scores[1], "1"),
                    (arm, seed, f"heads/score_entropy/{at}", scores[0], "1"),
                    (arm, seed, f"heads/score_distance/{at}", scores[1], "1"),
                    (arm, seed, f"heads/diagonal/{at}", scores[2], "1"),
                    (arm, seed, f"heads/induction/{at}", scores[3], "1"),
                ]
    return pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])


def make_tables() -> dict[str, pd.DataFrame]:
    rows_of_table: dict[str, list[dict[str, Any]]] = {}
    for arm in ARMS:
        for seed in range(SEEDS):
            draw = np.random.default_rng([ARMS.index(arm), seed])
            for name, rows in (
                ("functions", _functions(arm)),
                ("attention", _attention(draw)),
                ("alignment", _alignment(draw)),
                ("samples", _samples(seed)),
            ):
                rows_of_table.setdefault(name, []).extend(
                    {"arm": arm, "seed": seed, **row} for row in rows
                )
    return {name: pd.DataFrame(rows) for name, rows in rows_of_table.items()}


def _functions(arm: str) -> list[dict[str, Any]]:
    """Return rows in which the first two arms use the same function, as an A/A pair does."""
    name, slope = ("relu", 0.0) if arm != "fused" else ("leaky", 0.2)
    xs = np.linspace(-3, 3, 121)
    return [
        {"name": name, "kind": kind, "x": x, "value": y}
        for kind, ys in (
            ("value", np.where(xs > 0, xs, slope * xs)),
            ("derivative", np.where(xs > 0, 1.0, slope)),
        )
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True)
    ]


def _attention(draw: np.random.Generator, time: int = 20) -> list[dict[str, Any]]:
    cells = []
    for layer, head in HEADS:
        logits = draw.normal(size=(time, time)) + 4 * np.eye(time, k=-head) * (layer + 0.5)
        weights = np.exp(logits) * np.tri(time)
        weights /= weights.sum(1, keepdims=True)
        cells += [
            {"layer": layer, "head": head, "query": i, "key": j, "weight": weights[i, j]}
            for i in range(time)
            for j in range(i + 1)
        ]
    return cells


def _alignment(draw: np.random.Generator) -> list[dict[str, Any]]:
    """Return the alignments of two sentences of different lengths."""
    cells = []
    for sentence, (words, signs) in enumerate(((WORDS, SIGNS), (WORDS[1:], SIGNS[3:]))):
        weights = draw.dirichlet(np.ones(len(words)), len(signs))
        cells += [
            {
                "sentence": sentence,
                "source": j,
                "target": i,
                "source_text": words[j],
                "target_text": signs[i],
                "weight": weights[i, j],
            }
            for i in range(len(signs))
            for j in range(len(words))
        ]
    return cells


def _samples(seed: int) -> list[dict[str, Any]]:
    pairs = (("one", "一"), ("two | three", "二三"), ("ten", "十"), ("nine ten", "九十"))
    return [
        {"source": f"{source} of seed {seed}", "expected": t, "predicted": t, "ok": t != "十"}
        for source, t in pairs
    ]

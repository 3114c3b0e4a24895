"""Figures of the made-up study, as a YAML file specifies them."""

from typing import Any

FIGURES: dict[str, dict[str, Any]] = {
    "loss": {
        "kind": "curve",
        "metric": "val/loss",
        "title": "Validation loss over training",
        "caption": "Thick: mean over seeds with its 95 % band. Thin: one seed each.",
        "log": "y",
        "y_label": "validation loss (nats/byte)",
    },
    "usage": {
        "kind": "bars",
        "metric": "moe/load/layer{layer}/expert{expert}",
        "title": "How often each expert is chosen",
        "x": "expert",
        "panel": "layer",
        "reference": 0.125,
        "reference_label": "even load",
        "y_label": "share of tokens",
        "arms": ["moe_top2", "moe_no_balance", "moe_top2_copy"],
        "caption": "Bars: mean over seeds with its 95 % interval. Dots: seeds.",
    },
    "usage_over_time": {
        "kind": "heatmap",
        "metric": "moe/load/layer{layer}/expert{expert}",
        "title": "Load per expert over training",
        "x": "step",
        "y": "expert",
        "panel": ["arm", "layer"],
        "colour_label": "share of tokens",
    },
    "selection": {
        "kind": "heatmap",
        "metric": "moe/selection/layer{layer}/{kind}/expert{expert}",
        "title": "Which expert reads which kind of data",
        "x": "expert",
        "y": "kind",
        "panel": ["arm", "layer"],
        "arms": ["moe_top2", "moe_no_balance"],
        "colour_label": "share of tokens",
        "x_label": "expert (専門家)",
    },
    "cost": {
        "kind": "scatter",
        "metric": "val/loss",
        "x": "cost/parameters",
        "title": "Quality against size",
        "log": "x",
        "caption": "Large: mean over seeds with its 95 % interval.",
    },
    "violation": {
        "kind": "points",
        "metric": "moe/load_max_violation",
        "title": "Worst overload of an expert",
        "y_label": "max violation",
    },
}

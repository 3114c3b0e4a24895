"""A finished sweep of made-up numbers: two arms at points over one or two keys."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from runner.sweeps.record import PointRecord, SweepHeadline, SweepRecord

LOSS = SweepHeadline(
    experiment="moe",
    metric="val/loss",
    label="held-out loss",
    direction="less",
    baseline="dense",
    unit="nats/byte",
    arms=("dense", "moe_top2"),
)


def make_points(settings: Sequence[Mapping[str, Any]], **fields: Any) -> list[PointRecord]:
    """Return a done point with a report for each of these settings."""
    done: dict[str, Any] = {"state": "done", "exit_code": 0, "experiment": "moe", **fields}
    return [
        PointRecord(
            number=i,
            name="",
            settings=one,
            overrides=("experiment=moe", *(f"++{key}={value}" for key, value in one.items())),
            run=f"moe/runs/2026-11-26_12-00-0{i}_quick",
            **done,
        )
        for i, one in enumerate(settings, 1)
    ]


def comparison_row(point: int, standing: str = "better", **fields: Any) -> dict[str, Any]:
    """Return the row of moe_top2 against dense at a point."""
    row: dict[str, Any] = {
        "point": point,
        "arm": "moe_top2",
        "baseline": "dense",
        "metric": "val/loss",
        "experiment": "moe",
        "n": 8,
        "n_looks": 1,
        "standing": standing,
        "p": 0.0078125,
        "difference": -0.02,
        "low": -0.03,
        "high": -0.01,
        "p_sign_flip": 0.0078125,
        "p_holm": 0.02,
        "p_sweep": 0.02,
        "sweep_standing": standing,
        "words": f"{standing}, at equal active parameters",
    }
    return row | fields


def make_sweep(points: Sequence[PointRecord], rows: Sequence[dict[str, Any]], **fields: Any):
    """Return a sweep with these points and comparisons; both arms have three seeds."""
    reported = [point for point in points if point.run]
    draw = np.random.default_rng(0)
    values = pd.DataFrame(
        [
            {
                "point": point.number,
                "arm": arm,
                "seed": seed,
                "metric": "val/loss",
                "value": 2.0 + 0.1 * point.number - 0.02 * (arm == "moe_top2") + draw.normal() / 99,
            }
            for point in reported
            for arm in LOSS.arms
            for seed in range(3)
        ]
    )
    results = pd.DataFrame(
        [
            {
                "point": point.number,
                "arm": arm,
                "metric": "val/loss",
                "unit": "nats/byte",
                "n": 3,
                "mean": 2.0,
                "low": 1.9,
                "high": 2.1,
            }
            for point in reported
            for arm in LOSS.arms
        ]
    )
    keys = tuple(dict.fromkeys(key for point in points for key in point.settings))
    sweep: dict[str, Any] = {
        "command": "python -m runner -m experiment=moe",
        "title": "Which?",
        "scale": "quick",
        "headlines": (LOSS,),
        "results": results,
        "values": values,
        "comparison": pd.DataFrame(rows),
    }
    return SweepRecord(keys=keys, points=tuple(points), **sweep | fields)

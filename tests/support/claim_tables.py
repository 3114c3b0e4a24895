"""Claims and records for tests of verdicts."""

import numpy as np
import pandas as pd

from runner.claims.kinds import read_claim
from runner.claims.preconditions import Preconditions
from runner.claims.verdicts import judge

DEPTHS = (4, 8, 16, 32)
CONTROLS = {
    "aa": {"arm": "copy", "control": "base"},
    "positive_control": {
        "metric": "val/loss",
        "arm": "broken",
        "control": "base",
        "direction": "greater",
    },
}


def claim(id="c", **changes):
    """Return a claim of a difference with some keys changed; None leaves a key out."""
    defaults = {
        "statement": "the arm has the greater loss",
        "metric": "val/loss",
        "arm": "arm",
        "control": "base",
        "direction": "greater",
        "n": 8,
        "family": id,
        "source": "nobody",
    }
    written = {key: value for key, value in (defaults | changes).items() if value is not None}
    return read_claim(id, written)


def results_table(columns):
    """Return results from {(arm, metric): values of seeds 0, 1, ...}."""
    rows = [
        (arm, seed, metric, float(value), "nats")
        for (arm, metric), values in columns.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])


def trials_table(results, **changed):
    """Return the trials of these results, all done except arm=[(seed, status)]."""
    trials = results[["arm", "seed"]].drop_duplicates().assign(status="done")
    rows = [(arm, seed, status) for arm, outcomes in changed.items() for seed, status in outcomes]
    trials = pd.concat([trials, pd.DataFrame(rows, columns=trials.columns)])
    return trials.drop_duplicates(["arm", "seed"], keep="last")


def history_table(curves, steps):
    """Return curves from {(arm, metric): values (seeds, steps)}."""
    rows = [
        (arm, seed, step, metric, float(value))
        for (arm, metric), by_seed in curves.items()
        for seed, values in enumerate(by_seed)
        for step, value in zip(steps, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "step", "metric", "value"])


def judge_values(columns, *claims, scale="quick", preconditions=None, history=None, **changed):
    """Return findings of these claims, or of the default one, on {(arm, metric): values}."""
    results = results_table(columns)
    trials = trials_table(results, **changed)
    return judge(
        claims or [claim()],
        results,
        scale=scale,
        trials=trials,
        preconditions=preconditions or Preconditions(),
        history=history,
    )


def rng(seed=0):
    return np.random.default_rng(seed)


def clear_effect():
    """Return columns with a clear effect, an A/A pair without one, and a positive control."""
    generator = rng(11)
    base = generator.normal(3, 0.1, 8)
    return {
        ("base", "val/loss"): base,
        ("arm", "val/loss"): base + 0.5 + generator.normal(0, 0.1, 8),
        ("copy", "val/loss"): base + np.array([2, -1, 1, -3, 1, -2, 3, 0]) / 100,
        ("broken", "val/loss"): base + 2 + generator.normal(0, 0.1, 8),
    }


def equivalence(id="e", **changes):
    return claim(id, **{"kind": "equivalence", "direction": None, "delta": 0.1} | changes)


def slope(id="s", **changes):
    defaults = {
        "kind": "slope",
        "metric": "grad/depth{depth}",
        "x": "depth",
        "band": [-0.6, -0.4],
        "control": None,
        "direction": None,
    }
    return claim(id, **defaults | changes)


def failure_rate(id="r", **changes):
    one_arm = {"metric": None, "control": None, "direction": None}
    return claim(id, **{"kind": "failure_rate"} | one_arm | changes)


def exact(id="x", **changes):
    left_out = dict.fromkeys(("control", "direction", "family"))
    return claim(id, **{"kind": "exact", "relation": "equal"} | left_out | changes)


def interaction(id="i", **changes):
    others = {"other_arm": "arm2", "other_control": "base2"}
    return claim(id, **{"kind": "interaction"} | others | changes)


def curve_slope(id="k", **changes):
    return claim(id, **{"kind": "curve_slope", "control": None} | changes)


def at_equal_seconds(id="t", **changes):
    same = {"arm": "copy", "control": "base"}
    return claim(id, **{"kind": "at_equal_seconds", "aa": same} | changes)


CLAIM_BUILDERS = {
    "difference": claim,
    "equivalence": equivalence,
    "slope": slope,
    "failure_rate": failure_rate,
    "exact": exact,
    "interaction": interaction,
    "curve_slope": curve_slope,
    "at_equal_seconds": at_equal_seconds,
}


def paired_values(differences, metric="val/loss"):
    base = np.linspace(3, 4, len(differences))
    return {("base", metric): base, ("arm", metric): base + differences}


def values_with_sd(n, sd=1.0):
    """Return n numbers with mean 0 and this standard deviation (ddof 1)."""
    numbers = np.resize([1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5], n)
    numbers = numbers - numbers.mean()
    return sd * numbers / numbers.std(ddof=1)


def power_law_values(arm, exponent, noise=0.0, n=8, seed=0):
    """Return a power law of depth for every seed, each with its own level."""
    draw = rng(seed)
    logs = exponent * np.log(DEPTHS) + draw.normal(0, 1, (n, 1)) + draw.normal(0, noise, (n, 4))
    return {
        (arm, f"grad/depth{depth}"): column
        for depth, column in zip(DEPTHS, np.exp(logs).T, strict=True)
    }


def diverged_trials(n_failures, arm="arm"):
    return {arm: [(seed, "diverged") for seed in range(n_failures)]}

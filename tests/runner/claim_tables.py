"""Claims and records for tests of verdicts."""

import numpy as np
import pandas as pd

from runner.kinds import read_claim
from runner.rig import Rig
from runner.verdicts import judge


def claim(id="c", **changes):
    """A difference unless told otherwise; a key changed to None is left out."""
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
    return read_claim(id, defaults | changes)


def table(columns):
    """Results from {(arm, metric): values of seeds 0, 1, ...}."""
    rows = [
        (arm, seed, metric, float(value), "nats")
        for (arm, metric), values in columns.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])


def states(results, **changed):
    """Trials of these results, all done but those named: arm=[(seed, status)]."""
    trials = results[["arm", "seed"]].drop_duplicates().assign(status="done")
    rows = [(arm, seed, status) for arm, given in changed.items() for seed, status in given]
    trials = pd.concat([trials, pd.DataFrame(rows, columns=trials.columns)])
    return trials.drop_duplicates(["arm", "seed"], keep="last")


def verdict(columns, *claims, scale="quick", rig=None, **changed):
    """Findings of these claims, or of the default one, on {(arm, metric): values}."""
    results = table(columns)
    trials = states(results, **changed)
    return judge(claims or [claim()], results, scale=scale, trials=trials, rig=rig or Rig())


def rng(seed=0):
    return np.random.default_rng(seed)

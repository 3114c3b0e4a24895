"""The differences within A/A pairs, which are due to chance alone."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from runner.stats.intervals import Interval, mean_interval


class AADifference(NamedTuple):
    """The mean difference of a copy from its original, over the seed numbers that both have.

    `n_seeds` is the number of seeds that any arm has.
    """

    copy: str
    original: str
    interval: Interval
    n_seeds: int


def aa_differences(
    results: pd.DataFrame, aa_pairs: Mapping[str, str], metric: str
) -> list[AADifference]:
    """Return the difference of each A/A pair in a metric; none for equal values or one seed.

    A seed counts if both values are finite.
    """
    rows = results[results["metric"] == metric]
    values = rows.pivot(index="seed", columns="arm", values="value").astype(float)
    pairs = []
    for copy, original in aa_pairs.items():
        if {copy, original} <= {*values.columns}:
            differences = (values[copy] - values[original]).to_numpy()
            differences = differences[np.isfinite(differences)]
            if len(differences) > 1 and differences.any():
                pairs.append(AADifference(copy, original, mean_interval(differences), len(values)))
    return pairs

"""The seeds of each arm by the status of their trials, and a text for missing seeds."""

from collections.abc import Set

import numpy as np
import pandas as pd

from runner.stats.bands import SeedsByArm, collect_seeds, select_seeds

TRIAL_COLUMNS = ["arm", "seed", "status"]
RESULT_STATUSES = ("done", "diverged")


def seeds_with_results(trials: pd.DataFrame, *frames: pd.DataFrame) -> dict[str, frozenset[int]]:
    """Return the seeds of each arm whose trials have a result; a mean is over these seeds.

    An arm that is not in `trials` has the seeds that occur in the frames.
    """
    known = {
        str(arm): frozenset(rows["seed"][rows["status"].isin(RESULT_STATUSES)])
        for arm, rows in trials.groupby("arm", sort=False)
    }
    return collect_seeds(*frames) | known


def seeds_with_status(trials: pd.DataFrame, *statuses: str) -> dict[str, frozenset[int]]:
    """Return the seeds of each arm whose trials have one of these statuses, by default any."""
    return collect_seeds(trials[trials["status"].isin(statuses)] if statuses else trials)


def missing_seeds(
    rows: pd.DataFrame, by: list[str], seeds: SeedsByArm
) -> dict[str, frozenset[int]]:
    """Return for each arm in `rows` the seeds without a finite value in a group with values.

    A group is a metric and the values of `by`. If no seed of an arm has a value, all are missing.
    """
    groups = list(dict.fromkeys(["arm", *(["metric"] if "metric" in rows else []), *by]))
    finite = select_seeds(rows[np.isfinite(rows["value"])], seeds)
    finite = finite[list(dict.fromkeys([*groups, "seed"]))].drop_duplicates()
    n_groups = finite[groups].drop_duplicates()["arm"].value_counts()
    n_found = finite.groupby(["arm", "seed"], observed=True).size()
    missing = {}
    for arm in rows["arm"].unique():
        complete = {
            s for s in seeds.get(arm, ()) if n_found.get((arm, s), 0) == n_groups.get(arm, -1)
        }
        missing[str(arm)] = frozenset(seeds.get(arm, ())) - complete
    return missing


def format_missing_seeds(
    planned: Set[int], counted: Set[int], missing: Set[int], diverged: Set[int]
) -> str:
    """Return `2 of 4 seeds diverged`, `7 of 8 seeds`, or both; empty if no seed is missing.

    planned   all seeds of an arm
    counted   its seeds with a result
    missing   the counted seeds without a value in the figure
    diverged  the seeds that the text calls diverged
    """
    texts = [f"{len(diverged)} of {len(planned)} seeds diverged"] if diverged else []
    if (planned - counted) | (missing - diverged):
        prefix = "values of " if diverged else ""
        texts.append(f"{prefix}{len(counted - missing)} of {len(planned)} seeds")
    return ", ".join(texts)

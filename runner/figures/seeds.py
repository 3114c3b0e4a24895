"""What became of each arm's seeds, and the words for those that a figure lacks."""

from collections.abc import Set

import numpy as np
import pandas as pd

from runner.stats.bands import SeedsByArm, collect_seeds, select_seeds

TRIAL_COLUMNS = ["arm", "seed", "status"]
HAVE_RESULTS = ("done", "diverged")


def seeds_with_results(trials: pd.DataFrame, *frames: pd.DataFrame) -> dict[str, frozenset[int]]:
    """The seeds that a mean of each arm is over: those of its trials that have a result.

    An arm of which `trials` says nothing has the seeds that occur in the frames.
    """
    known = {
        str(arm): frozenset(rows["seed"][rows["status"].isin(HAVE_RESULTS)])
        for arm, rows in trials.groupby("arm", sort=False)
    }
    return collect_seeds(*frames) | known


def seeds_with_status(trials: pd.DataFrame, *statuses: str) -> dict[str, frozenset[int]]:
    """The seeds of each arm whose trials ended so; of all trials, where none is given."""
    return collect_seeds(trials[trials["status"].isin(statuses)] if statuses else trials)


def missing_seeds(
    rows: pd.DataFrame, by: list[str], seeds: SeedsByArm
) -> dict[str, frozenset[int]]:
    """Of each arm in `rows` the seeds that lack a finite value in some group where others have one.

    A group is a metric and the values of `by`. Where no seed has any, all are missing.
    """
    groups = list(dict.fromkeys(["arm", *(["metric"] if "metric" in rows else []), *by]))
    finite = select_seeds(rows[np.isfinite(rows["value"])], seeds)
    finite = finite[list(dict.fromkeys([*groups, "seed"]))].drop_duplicates()
    wanted = finite[groups].drop_duplicates()["arm"].value_counts()
    found = finite.groupby(["arm", "seed"], observed=True).size()
    missing = {}
    for arm in rows["arm"].unique():
        complete = {s for s in seeds.get(arm, ()) if found.get((arm, s), 0) == wanted.get(arm, -1)}
        missing[str(arm)] = frozenset(seeds.get(arm, ())) - complete
    return missing


def format_missing_seeds(
    planned: Set[int], counted: Set[int], missing: Set[int], diverged: Set[int]
) -> str:
    """`2 of 4 seeds diverged`, `7 of 8 seeds`, or both; empty where nothing is missing.

    `planned` are all seeds of an arm, `counted` those with a result, `missing` those of them that
    have no value in a figure; `diverged` are the ones that the text names as such.
    """
    told = [f"{len(diverged)} of {len(planned)} seeds diverged"] if diverged else []
    if (planned - counted) | (missing - diverged):
        words = "values of " if diverged else ""
        told.append(f"{words}{len(counted - missing)} of {len(planned)} seeds")
    return ", ".join(told)

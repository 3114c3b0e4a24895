"""The rows of the records that a figure shows."""

import numpy as np
import pandas as pd

from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import MetricFigure, PanelFigure
from runner.stats.bands import SeedsByArm, collect_seeds

SAME = 1e-9  # relative: what two processes may differ by in a number that has no chance in it


def select_rows(figure: MetricFigure, records: Records) -> pd.DataFrame:
    """Select what a figure draws: arm, seed, value, clipped and the columns of `figure.by`.

    A value that is not finite is NaN; some are finite.

    Raises:
        CannotDrawError: nothing is there, or arms or rows would be averaged away unseen.
    """
    if figure.source_table:
        rows = _from_table(figure.source_table, figure, records)
    else:
        frame = records.history if "step" in figure.group_columns else records.results
        rows = records.matching_rows(frame, figure.metric, figure.arms)
    if figure.shows_one_trial:
        rows = select_first_trial(rows, figure)
    elif figure.shows_one_seed:
        rows = select_first_seed(rows)
    if figure.source_table and rows.duplicated(["arm", "seed", *figure.group_columns]).any():
        raise CannotDrawError(
            f"table {figure.source_table} has several rows of one trial with the same {figure.group_columns}; "
            "the column that tells them apart must be named in x, y, panel or hue"
        )
    if "arm" in figure.group_columns:
        return rows
    return _once_for_all_arms(rows, figure, required_seeds(figure, records) or collect_seeds(rows))


def required_seeds(figure: PanelFigure, records: Records) -> SeedsByArm | None:
    """Return the seeds that a figure's means need; None where it shows one seed of each arm."""
    return None if figure.shows_one_seed else records.seeds


def _from_table(table: str, figure: MetricFigure, records: Records) -> pd.DataFrame:
    texts = figure.tick_columns
    columns = list(dict.fromkeys(["arm", "seed", *figure.group_columns, *texts]))
    found = records.table_rows(table, [*columns, figure.metric], figure.arms)
    rows = found[columns].apply(_as_numbers)
    rows[texts] = found[texts].astype(str)
    rows["value"] = pd.to_numeric(found[figure.metric], errors="coerce")
    rows["clipped"] = False
    return records.mask_non_finite(rows, f"in column {figure.metric} of table {table}", figure.arms)


def select_first_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Select of each arm the rows of its lowest seed, or of the lowest with a finite value."""
    seeds = rows["seed"]
    lowest = seeds.groupby(rows["arm"]).transform("min")
    if "value" in rows:
        finite = seeds.where(np.isfinite(rows["value"]))
        lowest = finite.groupby(rows["arm"]).transform("min").fillna(lowest)
    return rows[seeds == lowest]


def select_first_trial(rows: pd.DataFrame, figure: PanelFigure) -> pd.DataFrame:
    """Select the rows of the first seed, and of the first arm unless the figure tells arms apart.

    `rows` are in the order of the arms; one without a finite value is passed over.
    """
    if "arm" not in figure.group_columns:
        rows = rows[rows["arm"] == rows["arm"][np.isfinite(rows["value"])].iloc[0]]
    return select_first_seed(rows)


def same_at_every_seed(rows: pd.DataFrame, by: list[str]) -> bool:
    """Tell whether repetitions hold the same number, as they do for a function or a count."""
    ends = rows.groupby(by, observed=True)["value"].agg(["min", "max"]).dropna()
    return bool((ends["max"] - ends["min"] <= SAME * ends.abs().max(axis=1)).all())


def _once_for_all_arms(rows: pd.DataFrame, figure: MetricFigure, seeds: SeedsByArm) -> pd.DataFrame:
    """Of arms that share their values, those of the first arm that has them at all its seeds."""
    shared = rows[rows.groupby(figure.group_columns)["arm"].transform("nunique") > 1]
    if not same_at_every_seed(shared, figure.group_columns):
        raise CannotDrawError(
            f"the values of {shared['arm'].nunique()} arms differ, so it needs panel: [arm], or "
            "arms: [one]"
        )
    finite = rows["seed"].where(np.isfinite(rows["value"]))
    found = finite.groupby(
        [rows[c] for c in (*figure.group_columns, "arm")], observed=True
    ).transform("nunique")
    lacking = found < rows["arm"].map({arm: len(seeds[arm]) for arm in seeds})
    # Stable, so that among arms that lack nothing the first one stays the first.
    arms = rows.assign(_lacking=lacking).sort_values("_lacking", kind="stable")
    chosen = (
        arms.groupby(figure.group_columns, observed=True)["arm"]
        .transform("first")
        .reindex(rows.index)
    )
    return rows[rows["arm"] == chosen]


def _as_numbers(column: pd.Series) -> pd.Series:
    """The column as numbers if all of it are numbers; one empty cell makes pandas read text."""
    numbers = pd.to_numeric(column, errors="coerce")
    return column if numbers.isna().any() else numbers

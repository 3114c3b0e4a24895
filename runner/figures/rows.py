"""The rows of the records that a figure shows."""

import numpy as np
import pandas as pd

from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import MetricFigure, PanelFigure
from runner.stats.bands import Seeds, seeds_in

SAME = 1e-9  # relative: what two processes may differ by in a number that has no chance in it


def rows_of(figure: MetricFigure, records: Records) -> pd.DataFrame:
    """Select what a figure draws: arm, seed, value, clipped and the columns of `figure.by`.

    A value that is not finite is NaN; some are finite.

    Raises:
        CannotDrawError: nothing is there, or arms or rows would be averaged away unseen.
    """
    if figure.source:
        rows = _from_table(figure.source, figure, records)
    else:
        frame = records.history if "step" in figure.by else records.results
        rows = records.matching(frame, figure.metric, figure.arms)
    if figure.single:
        rows = single(rows, figure)
    elif figure.of_one_seed:
        rows = first_seed(rows)
    if figure.source and rows.duplicated(["arm", "seed", *figure.by]).any():
        raise CannotDrawError(
            f"table {figure.source} has several rows of one trial with the same {figure.by}; "
            "the column that tells them apart must be named in x, y, panel or hue"
        )
    if "arm" in figure.by:
        return rows
    return _once_for_all_arms(rows, figure, counted(figure, records) or seeds_in(rows))


def counted(figure: PanelFigure, records: Records) -> Seeds | None:
    """Return the seeds that a figure's means need; None where it shows one seed of each arm."""
    return None if figure.of_one_seed else records.seeds


def _from_table(table: str, figure: MetricFigure, records: Records) -> pd.DataFrame:
    texts = figure.tick_columns
    columns = list(dict.fromkeys(["arm", "seed", *figure.by, *texts]))
    found = records.table(table, [*columns, figure.metric], figure.arms)
    rows = found[columns].apply(_as_numbers)
    rows[texts] = found[texts].astype(str)
    rows["value"] = pd.to_numeric(found[figure.metric], errors="coerce")
    rows["clipped"] = False
    return records.finite(rows, f"in column {figure.metric} of table {table}", figure.arms)


def first_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Select of each arm the rows of its lowest seed, or of the lowest with a finite value."""
    seeds = rows["seed"]
    lowest = seeds.groupby(rows["arm"]).transform("min")
    if "value" in rows:
        finite = seeds.where(np.isfinite(rows["value"]))
        lowest = finite.groupby(rows["arm"]).transform("min").fillna(lowest)
    return rows[seeds == lowest]


def single(rows: pd.DataFrame, figure: PanelFigure) -> pd.DataFrame:
    """Select the rows of the first seed, and of the first arm unless the figure tells arms apart.

    `rows` are in the order of the arms; one without a finite value is passed over.
    """
    if "arm" not in figure.by:
        rows = rows[rows["arm"] == rows["arm"][np.isfinite(rows["value"])].iloc[0]]
    return first_seed(rows)


def same_at_every_seed(rows: pd.DataFrame, by: list[str]) -> bool:
    """Tell whether repetitions hold the same number, as they do for a function or a count."""
    ends = rows.groupby(by, observed=True)["value"].agg(["min", "max"]).dropna()
    return bool((ends["max"] - ends["min"] <= SAME * ends.abs().max(axis=1)).all())


def _once_for_all_arms(rows: pd.DataFrame, figure: MetricFigure, seeds: Seeds) -> pd.DataFrame:
    """Of arms that share their values, those of the first arm that has them at all its seeds."""
    shared = rows[rows.groupby(figure.by)["arm"].transform("nunique") > 1]
    if not same_at_every_seed(shared, figure.by):
        raise CannotDrawError(
            f"the values of {shared['arm'].nunique()} arms differ, so it needs panel: [arm], or "
            "arms: [one]"
        )
    finite = rows["seed"].where(np.isfinite(rows["value"]))
    found = finite.groupby([rows[c] for c in (*figure.by, "arm")], observed=True).transform(
        "nunique"
    )
    lacking = found < rows["arm"].map({arm: len(seeds[arm]) for arm in seeds})
    # Stable, so that among arms that lack nothing the first one stays the first.
    arms = rows.assign(_lacking=lacking).sort_values("_lacking", kind="stable")
    chosen = arms.groupby(figure.by, observed=True)["arm"].transform("first").reindex(rows.index)
    return rows[rows["arm"] == chosen]


def _as_numbers(column: pd.Series) -> pd.Series:
    """The column as numbers if all of it are numbers; one empty cell makes pandas read text."""
    numbers = pd.to_numeric(column, errors="coerce")
    return column if numbers.isna().any() else numbers

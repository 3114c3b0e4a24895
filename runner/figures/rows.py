"""The selection of the rows of the records that a figure shows."""

import numpy as np
import pandas as pd

from runner.figures.data import CannotDrawError, NothingToShowError, Records
from runner.figures.figure import MetricFigure, PanelFigure
from runner.stats.bands import SeedsByArm, collect_seeds

EQUAL_TOLERANCE = 1e-9  # relative difference of a deterministic number between two processes


def select_rows(figure: MetricFigure, records: Records) -> pd.DataFrame:
    """Select the rows of a figure: arm, seed, value, clipped and `figure.group_columns`.

    Non-finite values are NaN; at least one value is finite.

    Raises:
        CannotDrawError: there is no value, or different arms or rows would be averaged.
        NothingToShowError: all values are 0.
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
            f"table {figure.source_table} has several rows of one trial with the same "
            f"{figure.group_columns}. Name the column that distinguishes them in x, y, panel or hue"
        )
    if not rows["value"].any() and not rows["clipped"].any():
        label = figure.y_label or figure.value_label(records, rows)
        raise NothingToShowError(f"in {figure.title!r}, the {label} is 0 in every trial")
    if "arm" in figure.group_columns:
        return rows
    return _select_one_arm_per_group(
        rows, figure, required_seeds(figure, records) or collect_seeds(rows)
    )


def required_seeds(figure: PanelFigure, records: Records) -> SeedsByArm | None:
    """Return the seeds that a figure's means need; None if it shows one seed of each arm."""
    return None if figure.shows_one_seed else records.seeds


def _from_table(table: str, figure: MetricFigure, records: Records) -> pd.DataFrame:
    texts = figure.tick_columns
    columns = list(dict.fromkeys(["arm", "seed", *figure.group_columns, *texts]))
    table_rows = records.table_rows(table, [*columns, figure.metric], figure.arms)
    rows = table_rows[columns].apply(_as_numbers)
    rows[texts] = table_rows[texts].astype(str)
    rows["value"] = pd.to_numeric(table_rows[figure.metric], errors="coerce")
    rows["clipped"] = False
    # A table may name the metric of its rows; its limits then end the intervals.
    if "metric" in table_rows and table_rows["metric"].isin(list(records.declared)).all():
        rows["metric"] = table_rows["metric"]
    return records.mask_non_finite(rows, f"in column {figure.metric} of table {table}", figure.arms)


def select_first_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of each arm's lowest seed with a finite value, or of its lowest seed."""
    seeds = rows["seed"]
    lowest = seeds.groupby(rows["arm"]).transform("min")
    if "value" in rows:
        finite = seeds.where(np.isfinite(rows["value"]))
        lowest = finite.groupby(rows["arm"]).transform("min").fillna(lowest)
    return rows[seeds == lowest]


def select_first_trial(rows: pd.DataFrame, figure: PanelFigure) -> pd.DataFrame:
    """Select the rows of the first seed, and of the first arm if the figure has no arm column.

    `rows` are in the order of the arms. An arm without a finite value is left out.
    """
    if "arm" not in figure.group_columns:
        rows = rows[rows["arm"] == rows["arm"][np.isfinite(rows["value"])].iloc[0]]
    return select_first_seed(rows)


def same_at_every_seed(rows: pd.DataFrame, by: list[str]) -> bool:
    """Return whether repetitions have the same number, as for a function or a count."""
    ends = rows.groupby(by, observed=True)["value"].agg(["min", "max"]).dropna()
    return bool((ends["max"] - ends["min"] <= EQUAL_TOLERANCE * ends.abs().max(axis=1)).all())


def _select_one_arm_per_group(
    rows: pd.DataFrame, figure: MetricFigure, seeds: SeedsByArm
) -> pd.DataFrame:
    """Select the rows of one arm per group: the first that has a value for all its seeds.

    Raises:
        CannotDrawError: the values of the arms differ.
    """
    shared = rows[rows.groupby(figure.group_columns)["arm"].transform("nunique") > 1]
    if not same_at_every_seed(shared, figure.group_columns):
        raise CannotDrawError(
            f"{shared['arm'].nunique()} arms have different values, so the figure needs panel: "
            "[arm] or arms: [one]"
        )
    finite = rows["seed"].where(np.isfinite(rows["value"]))
    n_finite = finite.groupby(
        [rows[c] for c in (*figure.group_columns, "arm")], observed=True
    ).transform("nunique")
    is_incomplete = n_finite < rows["arm"].map({arm: len(seeds[arm]) for arm in seeds})
    # Stable, so that the first of the complete arms stays the first.
    arms = rows.assign(_incomplete=is_incomplete).sort_values("_incomplete", kind="stable")
    chosen = (
        arms.groupby(figure.group_columns, observed=True)["arm"]
        .transform("first")
        .reindex(rows.index)
    )
    return rows[rows["arm"] == chosen]


def _as_numbers(column: pd.Series) -> pd.Series:
    """Return the column as numbers if all are numbers; one empty cell makes pandas read text."""
    numbers = pd.to_numeric(column, errors="coerce")
    return column if numbers.isna().any() else numbers

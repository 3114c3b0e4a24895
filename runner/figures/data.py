"""The records of a study, as figures read them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from runner.figures.seeds import TRIAL_COLUMNS, seeds_with_results, seeds_with_status
from runner.figures.styles import HueStyles
from runner.figures.templates import levels, select_arms_in_order, select_metric_rows
from runner.metric_names import NOTHING_IF_DIVERGED, Metric
from runner.wording.names import name_hint

CLIPPED_COLUMNS = ["arm", "seed", "metric"]


class CannotDrawError(ValueError):
    """The reason why a figure cannot be drawn: a metric, table, column or value is missing."""


class NothingToShowError(CannotDrawError):
    """The reason why a figure would be empty, such as a share that is 0 in every trial."""


@dataclass(frozen=True)
class Records:
    """The records of a study: tidy frames, the arms in their order, and the trials' tables.

    results  columns arm, seed, metric, value, unit: final values
    history  columns arm, seed, metric, step, value
    tables   name -> the rows that trials recorded in this table
    trials   columns arm, seed, status: the seeds that a mean needs, and why some are missing.
             Without it, an arm has the seeds that occur in any frame
    clipped  columns arm, seed, metric: final values that replace those of diverged trials
    apart    the second arms of A/A pairs, and control arms; they are drawn differently
    declared  metric -> its declaration, with its label and its possible values
    """

    results: pd.DataFrame
    history: pd.DataFrame
    arms: list[str]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    trials: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=TRIAL_COLUMNS), kw_only=True
    )
    clipped: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=CLIPPED_COLUMNS), kw_only=True
    )
    apart: frozenset[str] = field(default=frozenset(), kw_only=True)
    declared: Mapping[str, Metric] = field(default_factory=dict, kw_only=True)

    @cached_property
    def seeds(self) -> Mapping[str, frozenset[int]]:
        """The seeds of each arm that have a result; a mean needs all of them."""
        tables = [table for table in self.tables.values() if {"arm", "seed"} <= {*table.columns}]
        return seeds_with_results(self.trials, self.results, self.history, *tables)

    @cached_property
    def diverged_seeds(self) -> Mapping[str, frozenset[int]]:
        """The seeds of each arm whose trials diverged."""
        return seeds_with_status(self.trials, "diverged")

    @cached_property
    def planned_seeds(self) -> Mapping[str, frozenset[int]]:
        """The seeds of all trials of each arm in `trials`."""
        return seeds_with_status(self.trials)

    def matching_rows(self, frame: pd.DataFrame, template: str, arms: list[str]) -> pd.DataFrame:
        """Return the rows of the metrics that match a template, with NaN for non-finite values.

        The column `clipped` marks final values that replace those of diverged trials.

        Raises:
            CannotDrawError: no value is finite.
        """
        rows = select_metric_rows(frame, template, self.existing_arms(arms))
        rows["clipped"] = frame is self.results and self.is_clipped(rows)
        return self.mask_non_finite(rows, f"of a metric like {template!r}", arms)

    def is_clipped(self, rows: pd.DataFrame) -> pd.Series:
        """Return a mask of the final values that replace those of diverged trials."""
        clipped = pd.MultiIndex.from_frame(self.clipped[CLIPPED_COLUMNS])
        return pd.Series(
            pd.MultiIndex.from_frame(rows[CLIPPED_COLUMNS]).isin(clipped), index=rows.index
        )

    def table_rows(self, name: str, columns: list[str], arms: list[str]) -> pd.DataFrame:
        """Return the rows of these arms in a table.

        Raises:
            CannotDrawError: the table, a column or the rows are missing.
        """
        table = self.tables.get(name)
        if table is None:
            raise CannotDrawError(
                f"no trial has recorded a table {name!r}; {name_hint(name, self.tables)}"
            )
        missing = [column for column in columns if column not in table]
        if missing:
            raise CannotDrawError(
                f"table {name} has no column {missing}; it has {list(table.columns[2:])}"
            )
        rows = select_arms_in_order(table, self.existing_arms(arms))
        if rows.empty:
            raise CannotDrawError(f"table {name} has no row in arms {self.existing_arms(arms)}")
        return rows

    def existing_arms(self, arms: list[str]) -> list[str]:
        """Return the arms of a list that exist, in its order; for an empty list, all arms."""
        return [arm for arm in arms or self.arms if arm in self.arms]

    def mask_non_finite(self, rows: pd.DataFrame, what: str, arms: list[str]) -> pd.DataFrame:
        """Return rows with NaN for each non-finite value.

        Raises:
            CannotDrawError: no value is finite; the message has `what`, e.g. "of metric a".
        """
        finite = np.isfinite(rows["value"])
        if not finite.any():
            raise CannotDrawError(f"no finite value {what} in arms {arms or self.arms}")
        return rows.assign(value=rows["value"].where(finite))

    def hue_styles(self, rows: pd.DataFrame, hue: str) -> HueStyles:
        """Return the styles by level; an arm's style depends on all arms of the study."""
        return HueStyles(self.arms, self.apart) if hue == "arm" else HueStyles(levels(rows, hue))

    def label(self, template: str, rows: pd.DataFrame) -> str:
        """Return a default label: the metric's label, and the unit if any."""
        metrics = list(rows["metric"].unique()) if "metric" in rows else []
        units = {*self.results["unit"][self.results["metric"].isin(metrics)].unique()} - {"", "1"}
        declared = next((self.declared[m].label for m in metrics if m in self.declared), "")
        stem = declared or template.partition("/{")[0].partition("{")[0]
        unit = units.pop() if len(units) == 1 else ""
        return stem if not unit or stem.endswith(f"/{unit}") else f"{stem} ({unit})"

    def limits(self, rows: pd.DataFrame) -> tuple[float, float]:
        """Return the least and the largest possible value of the metrics in these rows."""
        metrics = list(rows["metric"].unique()) if "metric" in rows else []
        declared = [self.declared.get(metric, NOTHING_IF_DIVERGED) for metric in metrics]
        if not declared:
            return -math.inf, math.inf
        return min(one.lowest for one in declared), max(one.highest for one in declared)

"""The records that figures are drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from runner.figures.canvas import HueStyles
from runner.figures.seeds import TRIAL_COLUMNS, seeds_with_results, seeds_with_status
from runner.figures.templates import levels, select_arms_in_order, select_metric_rows
from runner.wording.names import name_hint

CLIPPED = ["arm", "seed", "metric"]


class CannotDrawError(ValueError):
    """The records do not hold what a figure asks for; the message says what was looked for."""


@dataclass(frozen=True)
class Records:
    """Tidy frames as the report has them, the arms in their order, and the trials' tables.

    `trials` (arm, seed, status) says which seeds a mean needs, and why some are missing; without
    it an arm has the seeds that occur in any frame. `clipped` (arm, seed, metric) are the final
    values that stand for a diverged trial and were not measured.
    """

    results: pd.DataFrame
    history: pd.DataFrame
    arms: list[str]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    trials: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=TRIAL_COLUMNS), kw_only=True
    )
    clipped: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=CLIPPED), kw_only=True
    )

    @cached_property
    def seeds(self) -> Mapping[str, frozenset[int]]:
        """The seeds of each arm that have a result: a mean needs them all."""
        kept = [table for table in self.tables.values() if {"arm", "seed"} <= {*table.columns}]
        return seeds_with_results(self.trials, self.results, self.history, *kept)

    @cached_property
    def diverged_seeds(self) -> Mapping[str, frozenset[int]]:
        """The seeds of each arm whose trials have diverged."""
        return seeds_with_status(self.trials, "diverged")

    @cached_property
    def planned_seeds(self) -> Mapping[str, frozenset[int]]:
        """The seeds of all trials of each arm, as far as `trials` says."""
        return seeds_with_status(self.trials)

    def matching_rows(self, frame: pd.DataFrame, template: str, arms: list[str]) -> pd.DataFrame:
        """The rows of a template, of which some are finite; CannotDrawError if none is.

        Final values have a column `clipped` that says which of them were not measured.
        """
        rows = select_metric_rows(frame, template, self.shown(arms))
        rows["clipped"] = frame is self.results and self.is_clipped(rows)
        return self.mask_non_finite(rows, f"of a metric like {template!r}", arms)

    def is_clipped(self, rows: pd.DataFrame) -> pd.Series:
        """Which of these final values (arm, seed, metric) stand for a diverged trial."""
        clipped = pd.MultiIndex.from_frame(self.clipped[CLIPPED])
        return pd.Series(pd.MultiIndex.from_frame(rows[CLIPPED]).isin(clipped), index=rows.index)

    def table_rows(self, name: str, columns: list[str], arms: list[str]) -> pd.DataFrame:
        """The rows of these arms in a table; CannotDrawError where something is missing."""
        found = self.tables.get(name)
        if found is None:
            raise CannotDrawError(
                f"no trial has recorded a table {name!r}; {name_hint(name, self.tables)}"
            )
        missing = [column for column in columns if column not in found]
        if missing:
            raise CannotDrawError(
                f"table {name} has no column {missing}; it has {list(found.columns[2:])}"
            )
        rows = select_arms_in_order(found, self.shown(arms))
        if rows.empty:
            raise CannotDrawError(f"table {name} has no row in arms {self.shown(arms)}")
        return rows

    def shown(self, arms: list[str]) -> list[str]:
        """Those of these arms that exist, in the same order; without any, all arms."""
        return [arm for arm in arms or self.arms if arm in self.arms]

    def mask_non_finite(self, rows: pd.DataFrame, what: str, arms: list[str]) -> pd.DataFrame:
        """Put NaN for values that are not finite; CannotDrawError if none is finite."""
        finite = np.isfinite(rows["value"])
        if not finite.any():
            raise CannotDrawError(f"no finite value {what} in arms {arms or self.arms}")
        return rows.assign(value=rows["value"].where(finite))

    def hue_styles(self, rows: pd.DataFrame, hue: str) -> HueStyles:
        """Colours by level; an arm's depends on the whole study, not on what one figure shows."""
        return HueStyles(self.arms if hue == "arm" else levels(rows, hue))

    def label(self, template: str, rows: pd.DataFrame) -> str:
        """A default label: what stands before the placeholders, and the unit if there is one."""
        same = self.results[self.results["metric"].isin(rows["metric"].unique())]
        units = set(same["unit"]) - {"", "1"}
        stem = template.partition("/{")[0].partition("{")[0]
        unit = units.pop() if len(units) == 1 else ""
        return stem if not unit or stem.endswith(f"/{unit}") else f"{stem} ({unit})"

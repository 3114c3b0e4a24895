"""The records that figures are drawn from, and what a spec takes of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from runner.figures.canvas import Paint
from runner.figures.seeds import TRIALS, counted_seeds, seeds_with_status
from runner.figures.spec import FigureSpec
from runner.figures.templates import in_order, levels, select
from runner.stats.bands import Seeds, seeds_in

CLIPPED = ["arm", "seed", "metric"]
SAME = 1e-9  # relative: what two processes may differ by in a number that has no chance in it


class CannotDrawError(ValueError):
    """The records do not hold what a spec asks for; the message says what was looked for."""


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
    trials: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=TRIALS), kw_only=True)
    clipped: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=CLIPPED), kw_only=True
    )

    @cached_property
    def seeds(self) -> Mapping[str, frozenset[int]]:
        """The seeds of each arm that have a result: a mean needs them all."""
        kept = [table for table in self.tables.values() if {"arm", "seed"} <= {*table.columns}]
        return counted_seeds(self.trials, self.results, self.history, *kept)

    @cached_property
    def diverged(self) -> Mapping[str, frozenset[int]]:
        """The seeds of each arm whose trials have diverged."""
        return seeds_with_status(self.trials, "diverged")

    @cached_property
    def planned(self) -> Mapping[str, frozenset[int]]:
        """The seeds of all trials of each arm, as far as `trials` says."""
        return seeds_with_status(self.trials)

    def counted(self, spec: FigureSpec) -> Seeds | None:
        """The seeds that means of a figure need; None where it shows one seed of each arm."""
        return None if spec.of_one_seed else self.seeds

    def rows(self, spec: FigureSpec) -> pd.DataFrame:
        """What a spec draws: rows with arm, seed, value, clipped and the columns of `spec.by`.

        A value that is not finite is NaN; some are finite.

        Raises:
            CannotDrawError: nothing is there, or arms or rows would be averaged away unseen.
        """
        if spec.table:
            rows = self._from_table(spec)
        else:
            frame = self.history if "step" in spec.by else self.results
            rows = self.matching(frame, spec.metric, spec)
        if spec.shape.single:
            rows = single(rows, spec)
        elif spec.of_one_seed:
            rows = first_seed(rows)
        if spec.table and rows.duplicated(["arm", "seed", *spec.by]).any():
            raise CannotDrawError(
                f"table {spec.table} has several rows of one trial with the same {spec.by}; "
                "the column that tells them apart must be named in x, y, panel or hue"
            )
        if "arm" in spec.by:
            return rows
        return _once_for_all_arms(rows, spec, self.counted(spec) or seeds_in(rows))

    def matching(self, frame: pd.DataFrame, template: str, spec: FigureSpec) -> pd.DataFrame:
        """The rows of a template, of which some are finite; CannotDrawError if none is.

        Final values have a column `clipped` that says which of them were not measured.
        """
        rows = select(frame, template, self.shown(spec))
        rows["clipped"] = frame is self.results and self.is_clipped(rows)
        return self._finite(rows, f"of a metric like {template!r}", spec)

    def is_clipped(self, rows: pd.DataFrame) -> pd.Series:
        """Which of these final values (arm, seed, metric) stand for a diverged trial."""
        clipped = pd.MultiIndex.from_frame(self.clipped[CLIPPED])
        return pd.Series(pd.MultiIndex.from_frame(rows[CLIPPED]).isin(clipped), index=rows.index)

    def table(self, spec: FigureSpec, columns: list[str]) -> pd.DataFrame:
        """The rows of the spec's arms in its table; CannotDrawError where something is missing."""
        found = self.tables.get(spec.table or "")
        if found is None:
            have = f"; there are {sorted(self.tables)}" if self.tables else ""
            raise CannotDrawError(f"no trial has kept a table {spec.table!r}{have}")
        missing = [column for column in columns if column not in found]
        if missing:
            raise CannotDrawError(
                f"table {spec.table} has no column {missing}; it has {list(found.columns[2:])}"
            )
        rows = in_order(found, self.shown(spec))
        if rows.empty:
            raise CannotDrawError(f"table {spec.table} has no row in arms {self.shown(spec)}")
        return rows

    def shown(self, spec: FigureSpec) -> list[str]:
        """The arms that a spec shows, in its order."""
        return [arm for arm in spec.arms or self.arms if arm in self.arms]

    def paint(self, rows: pd.DataFrame, hue: str) -> Paint:
        """Colours by level; an arm's depends on the whole study, not on what one figure shows."""
        return Paint(self.arms if hue == "arm" else levels(rows, hue))

    def axis(self, spec: FigureSpec, rows: pd.DataFrame, template: str | None = None) -> str:
        """A default label: what stands before the placeholders, and the unit if there is one."""
        template = template or spec.metric
        if spec.table:
            return template
        same = self.results[self.results["metric"].isin(rows["metric"].unique())]
        units = set(same["unit"]) - {"", "1"}
        stem = template.partition("/{")[0].partition("{")[0]
        unit = units.pop() if len(units) == 1 else ""
        return stem if not unit or stem.endswith(f"/{unit}") else f"{stem} ({unit})"

    def _from_table(self, spec: FigureSpec) -> pd.DataFrame:
        texts = [column for column in (spec.x_ticks, spec.y_ticks) if column]
        columns = list(dict.fromkeys(["arm", "seed", *spec.by, *texts]))
        found = self.table(spec, [*columns, spec.metric])
        rows = found[columns].apply(_as_numbers)
        rows[texts] = found[texts].astype(str)
        rows["value"] = pd.to_numeric(found[spec.metric], errors="coerce")
        rows["clipped"] = False
        return self._finite(rows, f"in column {spec.metric} of table {spec.table}", spec)

    def _finite(self, rows: pd.DataFrame, what: str, spec: FigureSpec) -> pd.DataFrame:
        finite = np.isfinite(rows["value"])
        if not finite.any():
            raise CannotDrawError(f"no finite value {what} in arms {spec.arms or self.arms}")
        return rows.assign(value=rows["value"].where(finite))


def first_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each arm the rows of its lowest seed, or of the lowest with a finite value."""
    seeds = rows["seed"]
    lowest = seeds.groupby(rows["arm"]).transform("min")
    if "value" in rows:
        finite = seeds.where(np.isfinite(rows["value"]))
        lowest = finite.groupby(rows["arm"]).transform("min").fillna(lowest)
    return rows[seeds == lowest]


def single(rows: pd.DataFrame, spec: FigureSpec) -> pd.DataFrame:
    """The rows of the first seed, and of the first arm where the spec does not show the arm.

    `rows` are in the order of the arms; one without a finite value is passed over.
    """
    if "arm" not in spec.by:
        rows = rows[rows["arm"] == rows["arm"][np.isfinite(rows["value"])].iloc[0]]
    return first_seed(rows)


def same_at_every_seed(rows: pd.DataFrame, by: list[str]) -> bool:
    """Whether repetitions hold the same number, as they do for a function or a count."""
    ends = rows.groupby(by, observed=True)["value"].agg(["min", "max"]).dropna()
    return bool((ends["max"] - ends["min"] <= SAME * ends.abs().max(axis=1)).all())


def _once_for_all_arms(rows: pd.DataFrame, spec: FigureSpec, seeds: Seeds) -> pd.DataFrame:
    """Of arms that share their values, those of the first arm that has them at all its seeds."""
    shared = rows[rows.groupby(spec.by)["arm"].transform("nunique") > 1]
    if not same_at_every_seed(shared, spec.by):
        raise CannotDrawError(
            f"the values of {shared['arm'].nunique()} arms differ, so it needs panel: [arm], or "
            "arms: [one]"
        )
    finite = rows["seed"].where(np.isfinite(rows["value"]))
    found = finite.groupby([rows[c] for c in (*spec.by, "arm")], observed=True).transform("nunique")
    lacking = found < rows["arm"].map({arm: len(seeds[arm]) for arm in seeds})
    # Stable, so that among arms that lack nothing the first one stays the first.
    arms = rows.assign(_lacking=lacking).sort_values("_lacking", kind="stable")
    chosen = arms.groupby(spec.by, observed=True)["arm"].transform("first").reindex(rows.index)
    return rows[rows["arm"] == chosen]


def _as_numbers(column: pd.Series) -> pd.Series:
    """The column as numbers if all of it are numbers; one empty cell makes pandas read text."""
    numbers = pd.to_numeric(column, errors="coerce")
    return column if numbers.isna().any() else numbers

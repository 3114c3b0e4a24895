"""The records that figures are drawn from, and what a spec takes of them."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from runner.plots.canvas import Paint
from runner.plots.figures import FigureSpec
from runner.plots.templates import in_order, levels, select

SAME = 1e-9  # relative: what two processes may differ by in a number that has no chance in it


class CannotDrawError(ValueError):
    """The records do not hold what a spec asks for; the message says what was looked for."""


@dataclass(frozen=True)
class Records:
    """Tidy frames as the report has them, the arms in their order, and the trials' tables."""

    results: pd.DataFrame
    history: pd.DataFrame
    arms: list[str]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def rows(self, spec: FigureSpec) -> pd.DataFrame:
        """What a spec draws: finite rows with arm, seed, value and the columns of `spec.by`.

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
        if spec.seeds == "first":
            rows = first_seed(rows)
        if spec.table and rows.duplicated(["arm", "seed", *spec.by]).any():
            raise CannotDrawError(
                f"table {spec.table} has several rows of one trial with the same {spec.by}; "
                "the column that tells them apart must be named in x, y, panel or hue"
            )
        return rows if "arm" in spec.by else _once_for_all_arms(rows, spec)

    def matching(self, frame: pd.DataFrame, template: str, spec: FigureSpec) -> pd.DataFrame:
        """The finite rows of a template; CannotDrawError if there are none."""
        return self._finite(
            select(frame, template, self.shown(spec)), f"of a metric like {template!r}", spec
        )

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
        return self._finite(rows, f"in column {spec.metric} of table {spec.table}", spec)

    def _finite(self, rows: pd.DataFrame, what: str, spec: FigureSpec) -> pd.DataFrame:
        rows = rows[np.isfinite(rows["value"])]
        if rows.empty:
            raise CannotDrawError(f"no finite value {what} in arms {spec.arms or self.arms}")
        return rows


def first_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each arm the rows of its lowest seed."""
    return rows[rows["seed"] == rows.groupby("arm")["seed"].transform("min")]


def single(rows: pd.DataFrame, spec: FigureSpec) -> pd.DataFrame:
    """The rows of the first seed, and of the first arm where the spec does not show the arm.

    `rows` are in the order of the arms.
    """
    return first_seed(rows if "arm" in spec.by else rows[rows["arm"] == rows["arm"].iloc[0]])


def seed_note(rows: pd.DataFrame, spec: FigureSpec) -> str:
    """What the subtitle says of a figure that does not show all seeds."""
    if spec.seeds == "mean" and not spec.shape.single:
        return ""
    arms = rows["arm"].unique()
    return f"first seed of {arms[0]}" if len(arms) == 1 else "first seed of each arm"


def same_at_every_seed(rows: pd.DataFrame, by: list[str]) -> bool:
    """Whether repetitions hold the same number, as they do for a function or a count."""
    ends = rows.groupby(by, observed=True)["value"].agg(["min", "max"])
    return bool((ends["max"] - ends["min"] <= SAME * ends.abs().max(axis=1)).all())


def _once_for_all_arms(rows: pd.DataFrame, spec: FigureSpec) -> pd.DataFrame:
    shared = rows[rows.groupby(spec.by)["arm"].transform("nunique") > 1]
    if not same_at_every_seed(shared, spec.by):
        raise CannotDrawError(
            f"the values of {shared['arm'].nunique()} arms differ, so it needs panel: [arm], or "
            "arms: [one]"
        )
    return rows.drop_duplicates([*spec.by, "seed"])


def _as_numbers(column: pd.Series) -> pd.Series:
    """The column as numbers if all of it are numbers; one empty cell makes pandas read text."""
    numbers = pd.to_numeric(column, errors="coerce")
    return column if numbers.isna().any() else numbers

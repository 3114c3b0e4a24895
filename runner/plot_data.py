"""The records that figures are drawn from, and what a spec takes of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.canvas import Paint
from runner.figures import FigureSpec, levels, select


class NothingToDrawError(ValueError):
    """No row matches the spec; the message says what was looked for."""


@dataclass(frozen=True)
class Records:
    """Tidy frames as the report has them, and the arms in their order."""

    results: pd.DataFrame
    history: pd.DataFrame
    arms: list[str]

    def matching(self, frame: pd.DataFrame, template: str, spec: FigureSpec) -> pd.DataFrame:
        """The finite rows of a template; NothingToDrawError if there are none."""
        rows = select(frame, template, [a for a in spec.arms or self.arms if a in self.arms])
        rows = rows[np.isfinite(rows["value"])]
        if rows.empty:
            raise NothingToDrawError(
                f"no finite value of a metric like {template!r} in arms {spec.arms or self.arms}"
            )
        return rows

    def paint(self, rows: pd.DataFrame, hue: str) -> Paint:
        """Colours by level; an arm's depends on the whole study, not on what one figure shows."""
        return Paint(self.arms if hue == "arm" else levels(rows, hue))

    def axis(self, template: str, rows: pd.DataFrame) -> str:
        """A default label: what stands before the placeholders, and the unit if there is one."""
        same = self.results[self.results["metric"].isin(rows["metric"].unique())]
        units = set(same["unit"]) - {"", "1"}
        stem = template.partition("/{")[0].partition("{")[0]
        unit = units.pop() if len(units) == 1 else ""
        return stem if not unit or stem.endswith(f"/{unit}") else f"{stem} ({unit})"

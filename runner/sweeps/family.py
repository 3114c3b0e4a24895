"""All points of a sweep as one family of tests: one correction over their comparisons.

If all comparisons have the same seeds, the family is tested by the max-T test, as within a report
(`runner.stats.max_t`). A pattern then gives a seed one sign at every point. Otherwise the separate
sign-flip tests are corrected by Holm's method, which needs more seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.stats.intervals import holm
from runner.stats.max_t import least_max_t_p, least_seeds, max_t_p
from runner.stats.standing import ALPHA, Standing, alpha_at_look
from runner.wording import quantity
from runner.wording.names import format_count

TESTED = tuple(map(str, (Standing.better, Standing.worse, Standing.different)))
MAX_T, HOLM = "the max-T sign-flip test", "Holm's method"
MAX_NUMBERS = 5_000_000  # patterns of signs times comparisons; a larger family is left to Holm


@dataclass(frozen=True)
class Family:
    """The comparisons of all points, corrected together.

    Attributes:
        comparison: the rows of all points, with the new columns `p_holm`, `p_sweep` and
            `sweep_standing`.
        method: the correction behind `p_sweep`.
        n_tests: the number of tests that are corrected together.
        n_points: the number of points that they come from.
        least_p: the smallest corrected p-value that these seeds can reach; NaN without tests.
        n_seeds: the largest number of paired seeds of a test.
    """

    comparison: pd.DataFrame
    method: str
    n_tests: int
    n_points: int
    least_p: float
    n_seeds: int

    @property
    def sentences(self) -> list[str]:
        """Sentences on the family: its size, its correction, and seeds that are too few."""
        if not self.n_tests:
            return []
        tests = format_count(self.n_tests, "comparison")
        are = "is a family of one test" if self.n_tests == 1 else "are one family of tests"
        points = format_count(self.n_points, "point")
        lines = [
            f"{tests} at {points} {are}: their p-values are corrected together, by {self.method}. "
            f"An arm is better or worse at a point if the point's own report says so, and if this "
            f"corrected p is below {ALPHA:g}."
        ]
        if (looks := int(self._looks.max())) > 1:
            lines.append(
                f"Up to {looks} reports have looked at these arms, so that the limit is as low as "
                f"{self.strictest:.3g} for some points."
            )
        if self.least_p >= self.strictest:
            loosest = alpha_at_look(int(self._looks.min()))
            where = "" if self.least_p >= loosest else " where the limit is lower"
            lines.append(
                f"With {format_count(self.n_seeds, 'seed')} the smallest possible corrected p is "
                f"{quantity.format_p_value(self.least_p)}, so that no arm can be called better or "
                f"worse{where}; n_seeds={self.least_seeds} could decide."
            )
        return lines

    @property
    def _looks(self) -> pd.Series:
        """The number of looks at the arms of each test."""
        return self.comparison["n_looks"][self.comparison["p_sweep"].notna()]

    @property
    def strictest(self) -> float:
        """The lowest limit of a corrected p-value: that of the points with the most looks."""
        return alpha_at_look(int(self._looks.max()))

    @property
    def least_seeds(self) -> int:
        """The smallest number of seeds with which this family can call an arm better."""
        if self.method == MAX_T:
            return least_seeds(self.strictest)
        return next(n for n in range(2, 64) if self.n_tests * 2.0 ** (1 - n) < self.strictest)


def correct_over_points(
    comparison: pd.DataFrame, differences: Sequence[pd.Series | None] = ()
) -> Family:
    """Return the comparisons with p-values that are corrected over all points.

    An arm keeps its standing if its corrected p is below alpha at its look. Otherwise it is not
    distinguished, or undecided if these seeds cannot decide. A standing without a test, such as an
    exact count, stays.

    Args:
        comparison: columns point, n, n_looks, standing, p, p_sign_flip; a row for each comparison.
        differences: for each row the paired differences by seed; None where they are unknown.
    """
    table = comparison.reset_index(drop=True)
    p_values = table["p_sign_flip"].astype(float)
    tested = table["p"].astype(float).notna() & p_values.notna()
    n_tests = int(tested.sum())
    table["p_holm"] = np.nan
    table.loc[tested, "p_holm"] = holm(p_values[tested].to_numpy())
    table["p_sweep"], method = table["p_holm"], HOLM
    n_seeds = int(table["n"][tested].max()) if n_tests else 0
    least_p = min(1.0, n_tests * 2.0 ** (1 - n_seeds)) if n_tests else math.nan
    rows = [int(i) for i in np.flatnonzero(tested)] if differences else []
    joint = _joint_differences([differences[i] for i in rows])
    if joint is not None:
        table.loc[tested, "p_sweep"], method = max_t_p(joint), MAX_T
        least_p = least_max_t_p(len(joint))
    alphas = np.array([alpha_at_look(int(n)) for n in table["n_looks"]])
    decided = table["standing"].astype(str)
    fails = tested & ~(table["p_sweep"] < alphas) & decided.isin(TESTED)
    fallen = [Standing.undecided if least_p >= a else Standing.not_distinguished for a in alphas]
    fallback = pd.Series([str(one) for one in fallen], index=table.index, dtype=str)
    table["sweep_standing"] = decided.where(~fails, fallback)
    n_points = int(table["point"][tested].nunique())
    return Family(table, method, n_tests, n_points, least_p, n_seeds)


def _joint_differences(columns: Sequence[pd.Series | None]) -> np.ndarray | None:
    """Return differences (seeds, comparisons) if all have the same seeds; None otherwise."""
    known = [column for column in columns if column is not None]
    if not known or len(known) < len(columns):
        return None
    seeds = known[0].index
    if not all(column.index.equals(seeds) for column in known):
        return None
    joint = np.column_stack([column.to_numpy(float) for column in known])
    is_small = 2.0 ** min(14, len(seeds) - 1) * joint.shape[1] <= MAX_NUMBERS
    return joint if is_small and np.isfinite(joint).all() else None

"""All points of a sweep as one family of tests: Holm's correction over their comparisons."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.stats.intervals import holm
from runner.stats.standing import ALPHA, Standing, alpha_at_look
from runner.wording import quantity
from runner.wording.names import format_count

TESTED = (Standing.better, Standing.worse, Standing.different)


@dataclass(frozen=True)
class Family:
    """The comparisons of all points, corrected together.

    Attributes:
        comparison: the rows of all points, with the new columns `p_holm` and `sweep_standing`.
        n_tests: the number of p-values that are corrected together.
        n_points: the number of points that they come from.
        least_p: the smallest corrected p-value that these seeds can reach; NaN without tests.
        n_seeds: the largest number of paired seeds of a test.
    """

    comparison: pd.DataFrame
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
        points = format_count(self.n_points, "point")
        lines = [
            f"The points are one family: the p-values of {tests} at {points} are corrected "
            f"together by Holm's method. An arm is better or worse at a point if the point's own "
            f"report says so and its corrected p is below {ALPHA:g}."
        ]
        if self.least_p >= ALPHA:
            needed = least_seeds_of_family(self.n_tests)
            lines.append(
                f"With {self.n_seeds} seeds and {self.n_tests} tests, the smallest possible "
                f"corrected p is {quantity.format_p_value(self.least_p)}, so that no arm can be "
                f"called better or worse; n_seeds={needed} could decide."
            )
        return lines


def correct_over_points(comparison: pd.DataFrame) -> Family:
    """Return the comparisons with p-values that are corrected over all points.

    The tests are the two-sided exact sign-flip tests of the comparisons that a report tested. An
    arm keeps its standing if its corrected p is below alpha at its look; otherwise it is not
    distinguished. A standing without a test, such as an exact count, stays.

    Args:
        comparison: columns point, n, n_looks, standing, p, p_sign_flip; a row for each comparison.
    """
    table = comparison.reset_index(drop=True)
    p_values = table["p_sign_flip"].astype(float)
    tested = table["p"].astype(float).notna() & p_values.notna()
    table["p_holm"] = np.nan
    table.loc[tested, "p_holm"] = holm(p_values[tested].to_numpy())
    table["sweep_standing"] = table["standing"].astype(str)
    alphas = np.array([alpha_at_look(int(n)) for n in table["n_looks"]])
    fails = tested & ~(table["p_holm"] < alphas) & table["standing"].isin(list(map(str, TESTED)))
    table.loc[fails, "sweep_standing"] = str(Standing.not_distinguished)
    n_tests = int(tested.sum())
    n_seeds = int(table["n"][tested].max()) if n_tests else 0
    return Family(
        table,
        n_tests,
        int(table["point"][tested].nunique()),
        min(1.0, n_tests * 2.0 ** (1 - n_seeds)) if n_tests else math.nan,
        n_seeds,
    )


def least_seeds_of_family(n_tests: int) -> int:
    """Return the least seeds at which Holm's smallest p-value of this many tests is below alpha.

    The smallest p-value of a two-sided sign-flip test of n seeds is 2 / 2**n.
    """
    return next(n for n in range(2, 64) if n_tests * 2.0 ** (1 - n) < ALPHA)

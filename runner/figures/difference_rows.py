"""The rows of a report's first figure, in a block per headline metric."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class DifferenceRow:
    """One row: the mean of an arm, or its difference from the baseline.

    low, high   the 95 % interval; NaN without one, as for one seed or an exact count
    detectable  the smallest difference that the study would find; infinite or NaN if unknown
    text        the result in words, at the right
    is_apart    whether the row is an A/A pair; such rows are below a rule
    """

    arm: str
    name: str
    mean: float
    low: float
    high: float
    n: int
    text: str
    detectable: float = math.nan
    is_apart: bool = False


@dataclass(frozen=True)
class DifferenceBlock:
    """The rows of one headline metric.

    label      the metric in words
    axis       the label of the axis
    direction  less, greater or none: the side on which arms are better
    possible   the least and the largest possible value
    baseline   the arm of which differences are taken; empty if the rows are values
    """

    label: str
    axis: str
    direction: str
    baseline: str
    rows: tuple[DifferenceRow, ...]
    possible: tuple[float, float] = (-math.inf, math.inf)

    @property
    def aa_rows(self) -> list[DifferenceRow]:
        """The rows of A/A pairs with an interval."""
        return [row for row in self.rows if row.is_apart and math.isfinite(row.low)]

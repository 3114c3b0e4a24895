"""`kind: lines`: means over seeds as lines over a number such as a length, from final values."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from runner.figures.kinds.curve import Curve


@dataclass(frozen=True, kw_only=True)
class Lines(Curve):
    """Lines over a column `x` of numbers instead of steps; with few numbers, each has dots.

    table     name of a table that trials record, whose rows are drawn
    x         a placeholder or column whose values are numbers
    seeds     mean: over all seeds; first: the first seed of each arm, e.g. if heads differ by seed
    interval  whiskers: at each of few numbers; band: always a band between the numbers
    """

    kind: ClassVar[str] = "lines"
    has_dots: ClassVar[bool] = True
    allows_step_axis: ClassVar[bool] = False

    x: str
    table: str | None = None
    seeds: Literal["mean", "first"] = "mean"
    interval: Literal["whiskers", "band"] = "whiskers"

    @property
    def x_column(self) -> str:
        """The column of the x axis."""
        return self.x

    @property
    def has_bands(self) -> bool:
        """Whether an interval is a band, also where each x value has dots."""
        return self.interval == "band"

    @property
    def source_table(self) -> str | None:
        """The table that holds the values; None if metrics do."""
        return self.table

    @property
    def shows_one_seed(self) -> bool:
        """Whether the figure shows one seed of each arm instead of a mean."""
        return self.seeds == "first"

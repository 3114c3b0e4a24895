"""`kind: lines`: means over seeds as lines over a number such as a length, from final values."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from runner.figures.kinds.curve import Curve


@dataclass(frozen=True, kw_only=True)
class Lines(Curve):
    """Lines as of a curve, over a column `x` of numbers; with few of them, each has its dots.

    table  name of a table that trials keep, whose rows are drawn
    x      a placeholder or column whose values are numbers
    seeds  mean: over all; first: only the first seed of each arm, where seeds share no identity
    """

    kind: ClassVar[str] = "lines"
    has_dots: ClassVar[bool] = True
    allows_step_axis: ClassVar[bool] = False

    x: str
    table: str | None = None
    seeds: Literal["mean", "first"] = "mean"

    @property
    def x_column(self) -> str:
        """The column that runs along the x axis."""
        return self.x

    @property
    def source_table(self) -> str | None:
        """The table that holds the values; None where metrics do."""
        return self.table

    @property
    def shows_one_seed(self) -> bool:
        """Whether the figure shows one seed of each arm, and no mean."""
        return self.seeds == "first"

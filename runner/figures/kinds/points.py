"""`kind: points`: as bars, without bars, so that small differences far from zero are visible."""

from dataclasses import dataclass
from typing import ClassVar

from runner.figures.kinds.bars import Bars


@dataclass(frozen=True, kw_only=True)
class Points(Bars):
    """The means as lines between the dots of seeds; the axis need not start at zero."""

    kind: ClassVar[str] = "points"
    from_zero: ClassVar[bool] = False

"""`kind: trend`: a metric rises or falls over arms in order (Page's exact test)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from runner.claims.claim import DIRECTIONS, Tested
from runner.claims.evidence import Evidence
from runner.claims.keys import one_of
from runner.claims.measured import Measured, estimate
from runner.claims.noise import after_passes, inside, noise_floor, without_pair
from runner.stats.intervals import mean_interval, slopes
from runner.stats.page_trend import MOST_BLOCKS, MOST_LEVELS, least_page_p, page_p


@dataclass(frozen=True, kw_only=True)
class Trend(Tested):
    """Over `levels`, arms in order, `metric` grows greater or less within every seed.

    Page's test is about the order as a whole, two-sided; it may pass though two neighbours are
    alike. So reproduced needs too that no step goes the other way: none whose paired 1 - alpha
    interval lies wholly on the wrong side. The estimate is the least-squares change per level.
    """

    kind: ClassVar[str] = "trend"
    test: ClassVar[str] = "Page"

    levels: tuple[str, ...]
    direction: Literal["greater", "less"]

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(f"{self.here}: direction", self.direction, DIRECTIONS)
        if not isinstance(self.levels, tuple) or not 3 <= len(self.levels) <= MOST_LEVELS:
            raise ValueError(
                f"{self.here}: levels={self.levels!r} must be a list of 3 to {MOST_LEVELS} arms."
            )
        if self.n > MOST_BLOCKS:
            raise ValueError(f"{self.here}: n={self.n} seeds; a trend takes {MOST_BLOCKS} at most.")

    @property
    def compared(self) -> tuple[str, ...]:
        """All levels."""
        return self.levels

    @property
    def what(self) -> str:
        """What is estimated, in words."""
        return f"change per level over {', '.join(self.levels)}"

    @property
    def expected(self) -> str:
        """What the estimate must be, in words."""
        return "above 0" if self.direction == "greater" else "below 0"

    @property
    def least_p(self) -> float:
        """Every seed in order."""
        return 2 * least_page_p(len(self.levels), self.n)

    def measure(self, evidence: Evidence, family: int) -> Measured:  # noqa: ARG002
        """Change per level and test; `runner.claims.claim.Claim.measure` says more."""
        block = self.scores(evidence, self.levels)
        numbers = np.arange(len(self.levels), dtype=float)
        changes = slopes(numbers, block.values)
        interval = mean_interval(changes[: self.n], 1 - self.alpha)
        rising, falling = page_p(block.deciding)
        with_it, against = (rising, falling) if self.direction == "greater" else (falling, rising)
        p = min(1.0, 2 * min(rising, falling))
        sign = 1 if self.direction == "greater" else -1
        steps = {
            f"{after} minus {before}": mean_interval(column, 1 - self.alpha)
            for before, after, column in zip(
                self.levels, self.levels[1:], np.diff(block.deciding, axis=1).T, strict=False
            )
        }
        back = [name for name, s in steps.items() if max(sign * s.low, sign * s.high) < 0]
        floor = noise_floor(self, evidence)
        ends = mean_interval(block.deciding[:, -1] - block.deciding[:, 0])
        hidden, note = inside(ends, floor, tried=after_passes(self, evidence))
        turned = (f"against the order: {', '.join(back)}",) if back and with_it < against else ()
        return Measured(
            n=self.n,
            reason=f"change per level {estimate(interval)}, {self.n} seeds in blocks",
            p=p,
            p_against=p,
            supports=with_it < against and not back and not hidden,
            opposes=against < with_it and not hidden,
            interval=interval,
            others=steps,
            extra=block.over_all(changes, 1 - self.alpha),
            noise_floor=floor,
            unit=evidence.unit(self.metric),
            notes=(*turned, *note, *block.notes),
            invalid=without_pair(self, evidence),
        )

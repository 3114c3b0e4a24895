"""The metrics that an experiment's question is about."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Headline:
    """A metric that the question is about, and which way is better."""

    metric: str
    direction: Literal["less", "greater", "none"]
    label: str
    baseline: str | None = None  # the study's, unless it lacks the metric

    def __post_init__(self) -> None:
        if self.direction not in ("less", "greater", "none"):
            raise ValueError(
                f"headline {self.metric}: direction={self.direction!r} must be one of "
                "less, greater, none"
            )

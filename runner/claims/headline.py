"""Headline metrics: the metrics that answer an experiment's question."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Headline:
    """A metric that answers the question, with the direction that is better."""

    metric: str
    direction: Literal["less", "greater", "none"]
    label: str
    baseline: str | None = None  # None: the study's baseline

    def __post_init__(self) -> None:
        if self.direction not in ("less", "greater", "none"):
            raise ValueError(
                f"headline {self.metric}: direction={self.direction!r} must be one of "
                "less, greater, none"
            )

"""Headline metrics: the metrics that answer an experiment's question."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from runner.claims.claim import Claim


@dataclass(frozen=True)
class Headline:
    """A metric that answers the question, with the direction that is better.

    Attributes:
        metric: the name of the metric.
        direction: the direction that is better.
        label: the metric in words.
        baseline: the arm to compare with; None: the study's baseline.
        subject: the arm that a question of yes or no asks about; None for any other question.
        yes_if: the result of the subject that answers yes; it is better by default.
    """

    metric: str
    direction: Literal["less", "greater", "none"]
    label: str
    baseline: str | None = None
    subject: str | None = None
    yes_if: Literal["better", "worse", "different"] = "better"

    def __post_init__(self) -> None:
        if self.direction not in ("less", "greater", "none"):
            raise ValueError(
                f"headline {self.metric}: direction={self.direction!r} must be one of "
                "less, greater, none"
            )
        if self.yes_if not in ("better", "worse", "different"):
            raise ValueError(
                f"headline {self.metric}: yes_if={self.yes_if!r} must be one of "
                "better, worse, different"
            )


def reported_metrics(headlines: Iterable[Headline], claims: Iterable[Claim]) -> list[str]:
    """Return the metrics of headlines and claims, each once, headlines first."""
    of_claims = [metric for claim in claims for metric in claim.metrics]
    return list(dict.fromkeys([*(headline.metric for headline in headlines), *of_claims]))

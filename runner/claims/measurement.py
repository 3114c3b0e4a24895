"""The measurement of a claim: its estimate and p-values, before a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan

from runner.stats.intervals import Interval


@dataclass(frozen=True)
class Measurement:
    """The estimate and p-values of one claim, before Holm's correction and the preconditions.

    reason          the estimate and its seeds, in words
    p, p_against    p-values of the tests that would confirm and that would refute the claim
    may_reproduce   whether all other conditions of `reproduced` hold
    may_contradict  whether all other conditions of `contradicted` hold
    notes           further facts that a reader of the verdict needs
    invalid_reason  why the estimate decides nothing; "" if it may decide
    """

    n: int
    reason: str
    may_reproduce: bool = True
    may_contradict: bool = True
    p: float = nan
    p_against: float = nan
    interval: Interval | None = None
    others: Mapping[str, Interval] = field(default_factory=dict)
    extra_estimate: Interval | None = None
    minimum_detectable_effect: float | None = None
    noise_floor: float | None = None
    unit: str = ""
    notes: tuple[str, ...] = ()
    invalid_reason: str = ""


def format_estimate(interval: Interval) -> str:
    """Return a signed mean with its limits: "+0.375 [0.208, 0.542]"."""
    return f"{interval.mean:+.3g} [{interval.low:.3g}, {interval.high:.3g}]"

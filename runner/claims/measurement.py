"""What the records say about a claim, before a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan

from runner.stats.intervals import Interval


@dataclass(frozen=True)
class Measurement:
    """What the records say about one claim, before its family and the rig are asked.

    reason    the estimate and its seeds, in words
    p         of the test that would confirm the claim; `p_against` of the one that would refute it
    supports  what else `reproduced` needs is there; `may_contradict` the same for `contradicted`
    notes     what a reader must know beside the numbers
    invalid   why nothing can be decided in spite of an estimate
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
    """A signed mean with its limits."""
    return f"{interval.mean:+.3g} [{interval.low:.3g}, {interval.high:.3g}]"

"""The verdict on a claim, with the numbers that support it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runner.claims.claim import Claim
from runner.stats.intervals import Interval


class Verdict(StrEnum):
    """The possible verdicts on a claim."""

    reproduced = "reproduced"
    contradicted = "contradicted"
    inconclusive = "inconclusive"
    invalid = "invalid"


@dataclass(frozen=True)
class Finding:
    """A claim with its verdict and the numbers that support it; printed as `verdict: reason`.

    interval               the estimate; an invalid finding may have one, which decides nothing
    p                      p-value of the test that decided; of the confirming test if none did
    p_holm                 the same after Holm's correction
    minimum_detectable_effect  of the whole rule, at Holm's first step and the observed spread; its
                           meaning depends on the kind
    n                      number of seeds used
    extra_estimate         interval over all seeds, if there are more than n
    others                 further estimates, by name
    unit                   unit of the estimates
    unequal                settings in which the arms differ, without the parts and the claim's
                           `differs`
    written_after_results  whether the claim is too late, and therefore invalid
    shipped                whether a release registered the claim
    least_n                least number of seeds that could decide the claim
    aa, positive           differences of the A/A pair and of the positive control
    """

    claim: Claim
    verdict: Verdict
    reason: str
    interval: Interval | None = None
    p: float | None = None
    p_holm: float | None = None
    minimum_detectable_effect: float | None = None
    n: int = 0
    extra_estimate: Interval | None = None
    others: Mapping[str, Interval] = field(default_factory=dict)
    noise_floor: float | None = None
    unit: str = ""
    unequal: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    written_after_results: bool = False
    shipped: bool = False
    least_n: int | None = None
    aa: Interval | None = None
    positive: Interval | None = None

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}"

    @property
    def fingerprint(self) -> str:
        """The hash of the claim as registered."""
        return self.claim.fingerprint

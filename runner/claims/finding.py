"""What a run says about a claim."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runner.claims.claim import Claim
from runner.stats.intervals import Interval


class Verdict(StrEnum):
    """What a run says about a claim."""

    reproduced = "reproduced"
    contradicted = "contradicted"
    inconclusive = "inconclusive"
    invalid = "invalid"


@dataclass(frozen=True)
class Finding:
    """A claim with its verdict and the numbers behind it; printed as `verdict: reason`.

    `n` is the number of seeds used. An invalid finding may carry an interval, as an estimate
    without a decision. `p` is that of the test which decided (of the one that would confirm, where
    neither did). `minimum_detectable_effect` is that of the whole rule, at Holm's first step, for
    the spread seen; what it means depends on the kind. `extra_estimate` is over all seeds, where
    there are more than n. `others` are estimates beside the main one. `unit` is the estimates'.
    `unequal` is what the arms differ in beside their parts and the claim's `differs`. `shipped`
    claims are registered by the release; one `written_after_results` is invalid. `least_n` seeds
    could decide it. `aa` and `positive` are the differences of the A/A pair and of the control.
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
        """The hash of the claim as it was written down."""
        return self.claim.fingerprint

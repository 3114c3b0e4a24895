"""The noise floor of a speed claim: what the machine shows where nothing is different."""

from runner.claims.claim import Tested
from runner.claims.evidence import Evidence
from runner.stats.intervals import mean_interval

MACHINE_UNITS = frozenset(
    ("s", "ms", "us", "tokens/s", "samples/s", "MiB", "GB/s", "GFLOP/s")
)  # of clocks and allocators; nothing else carries them


def needs_floor(claim: Tested, evidence: Evidence) -> bool:
    """Whether the claim is about what a clock or an allocator says."""
    return evidence.unit(claim.metric) in MACHINE_UNITS


def noise_floor(claim: Tested, evidence: Evidence, times: float = 1.0) -> float | None:
    """Upper 95 % bound of the size of the A/A pair's mean difference, max(|low|, |high|).

    low and high are the ends of the paired 95 % t-interval of A - A over the claim's seeds. In a
    difference to `times` x the control the control's noise is multiplied too: noise that is
    independent and as large in both arms grows by sqrt((1 + times^2) / 2), which is at most
    max(1, times), the factor taken. None for metrics that do not depend on the machine, and without
    an A/A pair.

    Raises InvalidClaimError where the A/A pair has no values.
    """
    if claim.aa is None or not needs_floor(claim, evidence):
        return None
    pair = claim.scores(evidence, [claim.aa.arm, claim.aa.control])
    same = mean_interval(pair.difference()[: pair.n])
    return max(1.0, times) * max(abs(same.low), abs(same.high))

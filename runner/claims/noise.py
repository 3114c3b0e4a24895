"""The noise floor of a claim about time or memory: the difference of an A/A pair on this machine.

An A/A pair never takes exactly the same time or memory, and enough timings would show it. So the
pair need only be equal within `MAX_NOISE_SHARE` of the claimed effect. The claimed effect is the
distance of the estimate from the edge that decides. A pair that differs by more decides nothing.
"""

from dataclasses import dataclass

from runner.claims.claim import StatisticalClaim
from runner.claims.evidence import Evidence
from runner.metric_names import MACHINE_UNITS
from runner.stats.intervals import Interval, abs_mean_bound

NEEDS_AA_PAIR = "a claim about time or memory needs an A/A pair (aa), which measures the noise"
MAX_NOISE_SHARE = 0.5  # largest noise floor, as a share of the claimed effect


@dataclass(frozen=True)
class NoiseWords:
    """The beginning of the note on a noise floor that is too large, and on one that is not."""

    too_large: str = "the A/A pair differs by up to"
    small: str = "the A/A pair is equal within"


A_A_DIFFERENCE = NoiseWords()


def needs_noise_floor(claim: StatisticalClaim, evidence: Evidence) -> bool:
    """Return whether the claim's metric is a time or an amount of memory."""
    return evidence.unit(claim.metric) in MACHINE_UNITS


def missing_aa_reason(claim: StatisticalClaim, evidence: Evidence) -> str:
    """Return why a claim about time or memory without an A/A pair is invalid; "" if it is valid."""
    return NEEDS_AA_PAIR if lacks_aa_pair(claim, evidence.unit(claim.metric)) else ""


def lacks_aa_pair(claim: StatisticalClaim, units: str) -> bool:
    """Return whether a claim lacks the A/A pair that a claim about time or memory needs.

    `units` are those of its metric, joined by " or ", as a plan knows them; "" if unknown.
    """
    if claim.aa is not None or claim.has_binary_scores:
        return False
    return claim.needs_aa_pair or {*units.split(" or ")} <= MACHINE_UNITS


def check_noise(
    interval: Interval,
    floor: float | None,
    *edges: float,
    passes_text: str = "",
    words: NoiseWords = A_A_DIFFERENCE,
) -> tuple[bool, tuple[str, ...]]:
    """Return whether the noise floor hides on which side of an edge a mean lies, and notes on it.

    It does if it is above `MAX_NOISE_SHARE` of the distance from the mean to the nearest edge. The
    edge is 0 by default. `passes_text` tells the number of timing passes; `words` begin the note.
    """
    if floor is None:
        return False, ()
    edge = min(edges or (0.0,), key=lambda edge: abs(interval.mean - edge))
    effect = abs(interval.mean - edge)
    if floor > MAX_NOISE_SHARE * effect or not effect:
        origin = f" from {edge:.3g}" if edge else " from 0"
        return True, (
            f"{words.too_large} {floor:.3g}{passes_text}, more than "
            f"{MAX_NOISE_SHARE:g} x the distance{origin} ({effect:.3g}): use a quieter machine or "
            "more timing.passes",
        )
    return False, (f"{words.small} {floor:.3g}",)


def format_timing_passes(claim: StatisticalClaim, evidence: Evidence) -> str:
    """Return the claim's number of timing passes as text for `check_noise`; "" without timings."""
    arms = {*claim.compared_arms, *((claim.aa.arm, claim.aa.control) if claim.aa else ())}
    counts = {count for arm in arms for count in evidence.timing_passes.get(arm, {}).values()}
    if not counts:
        return ""
    least, most = min(counts), max(counts)
    number = f"{most}" if least == most else f"{least} to {most}"
    return f" after {number} timing {'pass' if most == 1 else 'passes'}"


def noise_floor(claim: StatisticalClaim, evidence: Evidence, times: float = 1.0) -> float | None:
    """Return the upper 95 % bound of the A/A pair's mean difference, max(|low|, |high|).

    low and high are the ends of the paired 95 % t-interval of A - A over the claim's seeds. Without
    an A/A pair, and for metrics that do not depend on the machine, return None.

    A difference to `times` x the control multiplies the control's noise, too. Noise that is
    independent and equally large in both arms grows by sqrt((1 + times^2) / 2). This is at most
    max(1, times), the factor used here. A difference of two differences has twice as many values;
    its noise is at most that of `times=2`.

    Raises:
        InvalidClaimError: the A/A pair has no values.
    """
    if claim.aa is None or not needs_noise_floor(claim, evidence):
        return None
    pair = claim.scores(evidence, [claim.aa.arm, claim.aa.control])
    return max(1.0, times) * abs_mean_bound(pair.differences()[: pair.n])

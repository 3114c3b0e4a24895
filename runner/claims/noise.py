"""The noise floor of a speed claim: what the machine shows where nothing is different.

Two copies of an arm never take quite the same time or memory, and the more rounds are timed the
surer a test is of that. So an A/A pair of a clock or an allocator need not be alike: it must be
equal within `MAX_NOISE_SHARE` of the claimed effect, which is how far the estimate lies from the edge that
decides. Where it is not, nothing is decided.
"""

from runner.claims.claim import StatisticalClaim
from runner.claims.evidence import Evidence
from runner.metric_names import MACHINE_UNITS
from runner.stats.intervals import Interval, abs_mean_bound

MAX_NOISE_SHARE = 0.5  # of the claimed effect, which the noise floor may be at most


def needs_noise_floor(claim: StatisticalClaim, evidence: Evidence) -> bool:
    """Whether the claim is about what a clock or an allocator says."""
    return evidence.unit(claim.metric) in MACHINE_UNITS


def missing_aa_reason(claim: StatisticalClaim, evidence: Evidence) -> str:
    """What is wrong with a claim of times or memory that names no A/A pair; "" for all others."""
    if claim.aa is not None or not needs_noise_floor(claim, evidence):
        return ""
    return "a claim about time or memory needs an A/A pair (aa), which tells the noise"


def check_noise(
    interval: Interval, floor: float | None, *edges: float, passes_text: str = ""
) -> tuple[bool, tuple[str, ...]]:
    """Whether the machine's noise hides on which side of an edge (0 unless given) a mean lies.

    In words too, with what was `passes_text`. It does where the floor is above `MAX_NOISE_SHARE` of the mean's
    distance from the edge.
    """
    if floor is None:
        return False, ()
    edge = min(edges or (0.0,), key=lambda edge: abs(interval.mean - edge))
    effect = abs(interval.mean - edge)
    if floor > MAX_NOISE_SHARE * effect or not effect:
        around = f" from {edge:g}" if edge else ""
        return True, (
            f"the A/A pair differs by up to {floor:.3g}{passes_text}, more than {MAX_NOISE_SHARE:g} of the "
            f"distance{around}, {effect:.3g}: a quieter machine or more timing.passes could tell",
        )
    return False, (f"A/A pair equal within {floor:.3g}",)


def format_timing_passes(claim: StatisticalClaim, evidence: Evidence) -> str:
    """How often the trials of a claim were timed, as words for `check_noise`; "" where none was."""
    arms = {*claim.compared_arms, *((claim.aa.arm, claim.aa.control) if claim.aa else ())}
    counts = {count for arm in arms for count in evidence.timing_passes.get(arm, {}).values()}
    if not counts:
        return ""
    least, most = min(counts), max(counts)
    number = f"{most}" if least == most else f"{least} to {most}"
    return f" after {number} timing {'pass' if most == 1 else 'passes'}"


def noise_floor(claim: StatisticalClaim, evidence: Evidence, times: float = 1.0) -> float | None:
    """Upper 95 % bound of the size of the A/A pair's mean difference, max(|low|, |high|).

    low and high are the ends of the paired 95 % t-interval of A - A over the claim's seeds. In a
    difference to `times` x the control the control's noise is multiplied too: noise that is
    independent and as large in both arms grows by sqrt((1 + times^2) / 2), which is at most
    max(1, times), the factor taken. None for metrics that do not depend on the machine, and without
    an A/A pair.

    Raises InvalidClaimError where the A/A pair has no values.
    """
    if claim.aa is None or not needs_noise_floor(claim, evidence):
        return None
    pair = claim.scores(evidence, [claim.aa.arm, claim.aa.control])
    return max(1.0, times) * abs_mean_bound(pair.differences()[: pair.n])

"""What must hold before a claim is decided: equal cost, fair tuning, a sound and sensitive rig."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from runner.claims.claim import AAPair, Claim, PositiveControl, Tested
from runner.claims.evidence import Block, Evidence, InvalidClaimError
from runner.claims.finding import estimate
from runner.claims.noise import needs_floor
from runner.stats.intervals import has_spread, holm, mean_interval
from runner.stats.sign_flip import sign_flip_p


@dataclass(frozen=True)
class Rig:
    """What a run is known by, beside its values.

    costs      arm -> `match.by` -> cost
    tolerance  relative difference of cost that still counts as equal (`match.tolerance`), for arms
               that `tolerances` lacks
    interior   arm -> whether its tuned value lies inside the grid; arms that were tuned only
    tuned      arm -> the tuned value, as typed
    tolerances arm -> its own tolerance; of two that are compared the stricter one holds
    """

    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tolerance: float = 0.01
    interior: Mapping[str, bool] = field(default_factory=dict)
    tuned: Mapping[str, str] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)

    def check(self, claim: Claim, evidence: Evidence) -> None:
        """Raise InvalidClaimError with what does not hold."""
        self._equal_cost(claim)
        at_edge = [arm for arm in claim.compared if not self.interior.get(arm, True)]
        if at_edge:
            told = ", ".join(f"{arm}: {self.tuned.get(arm, 'its best')}" for arm in at_edge)
            raise InvalidClaimError(f"tuned value not interior to the grid ({told})")
        if isinstance(claim, Tested):
            if claim.aa:
                _same(claim, claim.aa, evidence)
            if claim.positive_control:
                _known(claim, claim.positive_control, evidence)

    def _equal_cost(self, claim: Claim) -> None:
        by = claim.equal_cost
        if by is None:
            return
        for arm in claim.compared:
            if by not in self.costs.get(arm, {}):
                raise InvalidClaimError(f"unmatched: the {by} of {arm} is not known")
        reference, *arms = claim.compared
        goal = self.costs[reference][by]
        for arm in arms:
            cost = self.costs[arm][by]
            tolerance = min(self.tolerances.get(one, self.tolerance) for one in (reference, arm))
            if abs(cost - goal) > tolerance * abs(goal):
                off = f"{cost / goal - 1:+.1%} of" if goal else f"{cost:g} against"
                raise InvalidClaimError(
                    f"unmatched: {by} of {arm} is {off} that of {reference} "
                    f"(tolerance {tolerance:.1%})"
                )


def reachable(claim: Tested, family: Sequence[Tested]) -> None:
    """Refuse a claim that its own number of seeds can never confirm, whatever the data.

    One that could only be contradicted is no fair question.
    """
    least = holm([min(1.0, other.least_p) for other in family])[family.index(claim)]
    if least >= claim.alpha:
        raise InvalidClaimError(
            f"{claim.n} seeds in a family of {len(family)} cannot reach p < {claim.alpha:g}: "
            f"the least Holm-corrected {claim.test} p is {least:.2g}"
        )


def _same(claim: Tested, pair: AAPair, evidence: Evidence) -> None:
    """The A/A pair must show chance and nothing else.

    It is called different by the rule for arms, interval and sign-flip test together; a pair with a
    `delta` must be shown to be equal within it.
    """
    name = f"{pair.arm} - {pair.control}"
    try:
        block = claim.scores(evidence, [pair.arm, pair.control])
    except InvalidClaimError as error:
        raise InvalidClaimError(f"A/A: {error}") from None
    differences = block.difference()[: block.n]
    by_chance = sign_flip_p(differences) >= claim.alpha
    if claim.counts:
        if not by_chance:
            raise InvalidClaimError(f"A/A arms differ: {name} is {differences.mean():+.3g}")
        return
    interval = mean_interval(differences, 1 - claim.alpha)
    if needs_floor(claim, evidence) and not differences.any():
        return  # an allocator may well give the same answer twice
    if not has_spread(differences, float(np.abs(block.deciding).max())):
        raise InvalidClaimError(f"A/A has no spread: {name} is {interval.mean:+.3g} at every seed")
    if pair.delta is not None:
        inner = mean_interval(differences, 1 - 2 * claim.alpha)
        if not -pair.delta < inner.low <= inner.high < pair.delta:
            raise InvalidClaimError(
                f"A/A arms are not shown to be equal: the {1 - 2 * claim.alpha:.0%} interval of "
                f"{name} is {estimate(inner)}, not within ±{pair.delta:g}"
            )
    elif not by_chance and (interval.low > 0 or interval.high < 0):
        raise InvalidClaimError(f"A/A arms differ: {name} is {estimate(interval)}")


def _known(claim: Tested, known: PositiveControl, evidence: Evidence) -> None:
    """The positive control must show itself."""
    try:
        block: Block = evidence.block(
            [(known.arm, known.metric), (known.control, known.metric)], claim.n
        )
    except InvalidClaimError as error:
        raise InvalidClaimError(f"positive control: {error}") from None
    interval = mean_interval(block.difference()[: block.n], 1 - claim.alpha)
    if not (interval.low > 0 if known.direction == "greater" else interval.high < 0):
        raise InvalidClaimError(
            f"positive control did not separate: {known.metric} of {known.arm} - "
            f"{known.control} is {estimate(interval)}, not {known.direction} than 0"
        )

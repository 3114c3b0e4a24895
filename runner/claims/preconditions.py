"""What must hold before a claim is decided: equal conditions and cost, fair tuning, controls.

The A/A pair must show chance and nothing else, the positive control must show itself.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from runner.claims.aa_pairs import SEED_OFFSET
from runner.claims.claim import AAPair, Claim, PositiveControl, StatisticalClaim
from runner.claims.evidence import Evidence, InvalidClaimError, SeedValues
from runner.claims.fairness import (
    NEGLIGIBLE_COST_EXCESS,
    Fairness,
    format_cost_excess,
    format_unequal_settings,
)
from runner.claims.measurement import format_estimate
from runner.claims.noise import needs_noise_floor
from runner.metric_names import COSTS
from runner.stats.intervals import Interval, has_spread, holm, mean_interval
from runner.stats.sign_flip import sign_flip_p

MOST_N = 64  # seeds that are tried when looking for how many could decide a claim


@dataclass(frozen=True)
class Preconditions:
    """What a run is known by, beside its values.

    costs      arm -> `match.by` -> cost
    tolerance  relative difference of cost that still counts as equal (`match.tolerance`), for arms
               that `tolerances` lacks
    interior   arm -> whether its tuned value lies inside the grid; arms that were tuned only
    tuned      arm -> the tuned value, as typed
    tolerances arm -> its own tolerance; of two that are compared the stricter one holds
    fairness   what arms differ in beside their parts
    copies     arm -> the arm that it is a copy of under other seeds; None where that is not known
    offsets    arm -> how far its seeds are shifted
    """

    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tolerance: float = 0.01
    interior: Mapping[str, bool] = field(default_factory=dict)
    tuned: Mapping[str, str] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    fairness: Fairness = field(default_factory=Fairness)
    aa_pairs: Mapping[str, str] | None = None
    seed_offsets: Mapping[str, int] = field(default_factory=dict)

    def check(self, claim: Claim, evidence: Evidence) -> None:
        """Raise InvalidClaimError with what does not hold."""
        self._equal_cost(claim)
        if claim.equal_cost and (unequal := self.unequal_settings(claim)):
            raise InvalidClaimError(f"unequal {format_unequal_settings(unequal)}")
        at_edge = [arm for arm in claim.compared_arms if not self.interior.get(arm, True)]
        if at_edge:
            told = ", ".join(f"{arm}: {self.tuned.get(arm, 'its best')}" for arm in at_edge)
            raise InvalidClaimError(f"tuned value not interior to the grid ({told})")
        if isinstance(claim, StatisticalClaim):
            if claim.aa:
                self._copies(claim.aa, claim.n)
                _same(claim, claim.aa, evidence)
            if claim.positive_control:
                _known(claim, claim.positive_control, evidence)

    def aa_difference(self, claim: StatisticalClaim, evidence: Evidence) -> Interval | None:
        """The difference of the A/A pair, for the reader; None where there is none."""
        if claim.aa is None:
            return None
        return _shown(lambda pair: claim.scores(evidence, pair), claim.aa, claim)

    def positive_control_difference(
        self, claim: StatisticalClaim, evidence: Evidence
    ) -> Interval | None:
        """The difference of the positive control, for the reader; None where there is none."""
        known = claim.positive_control
        if known is None:
            return None
        return _shown(
            lambda pair: evidence.seed_values([(arm, known.metric) for arm in pair], claim.n),
            known,
            claim,
        )

    def unequal_settings(self, claim: Claim) -> dict[str, tuple[str, str]]:
        """What the compared arms differ in beside their parts and what the claim says itself."""
        reference, *arms = claim.compared_arms
        found: dict[str, tuple[str, str]] = {}
        for arm in arms:
            found |= self.fairness.unequal_settings(claim.metric, arm, reference)
            offsets = [self.seed_offsets.get(name, 0) for name in (arm, reference)]
            if offsets[0] != offsets[1]:
                found[SEED_OFFSET] = (str(offsets[0]), str(offsets[1]))
        return {key: values for key, values in found.items() if key not in claim.differs}

    def cost_notes(self, claim: Claim) -> list[str]:
        """What is left between costs that a claim calls equal, where it is more than 1 %."""
        by = claim.equal_cost
        reference, *arms = claim.compared_arms
        if by is None:
            words = {arm: self.fairness.format_cost_difference(arm, reference) for arm in arms}
            return [f"{arm} compared with {reference}{told}" for arm, told in words.items() if told]
        goal = self.costs.get(reference, {}).get(by, 0.0)
        ratios = {arm: self.costs.get(arm, {}).get(by, 0.0) / goal for arm in arms if goal}
        return [
            f"{arm} has {format_cost_excess(by, ratio)} than {reference}"
            for arm, ratio in ratios.items()
            if abs(ratio - 1) > NEGLIGIBLE_COST_EXCESS
        ]

    def _copies(self, pair: AAPair, n: int) -> None:
        """Refuse a pair that is not one arm twice, or whose seeds overlap."""
        if self.aa_pairs is None:
            return
        names = (pair.arm, pair.control)
        original = {name: self.aa_pairs.get(name, name) for name in names}
        if original[pair.arm] != original[pair.control]:
            raise InvalidClaimError(f"A/A: {pair.arm} is no copy of {pair.control}")
        shift = abs(self.seed_offsets.get(pair.arm, 0) - self.seed_offsets.get(pair.control, 0))
        if 0 < shift < n:
            raise InvalidClaimError(
                f"A/A: the seeds of {pair.arm} and {pair.control} overlap, as their seed_offset "
                f"differs by {shift} and there are {n} seeds"
            )

    def _equal_cost(self, claim: Claim) -> None:
        by = claim.equal_cost
        if by is None:
            return
        for arm in claim.compared_arms:
            if by not in self.costs.get(arm, {}):
                raise InvalidClaimError(f"unmatched: the {COSTS[by]} of {arm} are not known")
        reference, *arms = claim.compared_arms
        goal = self.costs[reference][by]
        for arm in arms:
            cost = self.costs[arm][by]
            tolerance = min(self.tolerances.get(one, self.tolerance) for one in (reference, arm))
            if abs(cost - goal) > tolerance * abs(goal):
                off = format_cost_excess(by, cost / goal) if goal else f"{cost:g} {COSTS[by]} more"
                raise InvalidClaimError(
                    f"unmatched: {arm} has {off} than {reference} (tolerance {100 * tolerance:g} %)"
                )


def check_confirmable(claim: StatisticalClaim, family: Sequence[StatisticalClaim]) -> None:
    """Refuse a claim that its own number of seeds can never confirm, whatever the data.

    One that could only be contradicted is no fair question.
    """
    least = _least_p(claim, family)
    if least >= claim.alpha:
        enough = find_least_n(claim, family)
        cure = f"n: {enough} could" if enough else "no number of seeds could"
        raise InvalidClaimError(
            f"{claim.n} seeds in a family of {len(family)} cannot reach p < {claim.alpha:g}: "
            f"the least Holm-corrected {claim.test_name} p is {least:.2g}; {cure}"
        )


def find_least_n(claim: StatisticalClaim, family: Sequence[StatisticalClaim]) -> int | None:
    """The least number of seeds with which a claim can be decided in its family.

    None where up to `MOST_N` are too few.
    """
    place = family.index(claim)
    for n in range(claim.least_n, MOST_N + 1):
        try:
            other = dataclasses.replace(claim, n=n)
        except ValueError:  # more than its kind of test takes
            return None
        if _least_p(other, [*family[:place], other, *family[place + 1 :]]) < claim.alpha:
            return n
    return None


def _least_p(claim: StatisticalClaim, family: Sequence[StatisticalClaim]) -> float:
    return float(holm([min(1.0, other.least_p) for other in family])[family.index(claim)])


def _shown(
    block_of: Callable[[Sequence[str]], SeedValues],
    pair: AAPair | PositiveControl,
    claim: StatisticalClaim,
) -> Interval | None:
    try:
        block = block_of([pair.arm, pair.control])
        return mean_interval(block.differences()[: block.n], 1 - claim.alpha)
    except (InvalidClaimError, ValueError):
        return None


def _same(claim: StatisticalClaim, pair: AAPair, evidence: Evidence) -> None:
    """The A/A pair must show chance and nothing else.

    It is called different by the rule for arms, interval and sign-flip test together; a pair with a
    `delta` must be shown to be equal within it.
    """
    name = f"{pair.arm} - {pair.control}"
    try:
        block = claim.scores(evidence, [pair.arm, pair.control])
    except InvalidClaimError as error:
        raise InvalidClaimError(f"A/A: {error}") from None
    differences = block.differences()[: block.n]
    by_chance = sign_flip_p(differences) >= claim.alpha
    if claim.has_binary_scores:
        if not by_chance:
            raise InvalidClaimError(f"A/A arms differ: {name} is {differences.mean():+.3g}")
        return
    interval = mean_interval(differences, 1 - claim.alpha)
    if needs_noise_floor(claim, evidence):
        return  # two copies differ a little on any machine: the noise floor decides what counts
    if not has_spread(differences, float(np.abs(block.deciding_values).max())):
        raise InvalidClaimError(f"A/A has no spread: {name} is {interval.mean:+.3g} at every seed")
    if pair.delta is not None:
        inner = mean_interval(differences, 1 - 2 * claim.alpha)
        if not -pair.delta < inner.low <= inner.high < pair.delta:
            raise InvalidClaimError(
                f"A/A arms are not shown to be equal: the {1 - 2 * claim.alpha:.0%} interval of "
                f"{name} is {format_estimate(inner)}, not within ±{pair.delta:g}"
            )
    elif not by_chance and (interval.low > 0 or interval.high < 0):
        raise InvalidClaimError(f"A/A arms differ: {name} is {format_estimate(interval)}")


def _known(claim: StatisticalClaim, known: PositiveControl, evidence: Evidence) -> None:
    """The positive control must show itself."""
    try:
        block: SeedValues = evidence.seed_values(
            [(known.arm, known.metric), (known.control, known.metric)], claim.n
        )
    except InvalidClaimError as error:
        raise InvalidClaimError(f"positive control: {error}") from None
    interval = mean_interval(block.differences()[: block.n], 1 - claim.alpha)
    if not (interval.low > 0 if known.direction == "greater" else interval.high < 0):
        raise InvalidClaimError(
            f"positive control did not separate: {known.metric} of {known.arm} - "
            f"{known.control} is {format_estimate(interval)}, not {known.direction} than 0"
        )

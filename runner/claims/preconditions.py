"""The preconditions of a verdict: fair arms of equal cost and tuning, an A/A pair, a control.

The A/A pair must show only chance, and the positive control must show its difference.
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
from runner.wording.names import format_count

MAX_N = 64  # largest number of seeds that `find_least_n` tries


@dataclass(frozen=True)
class Preconditions:
    """The facts about a run, except its values, that decide whether a claim can be judged.

    costs         arm -> `match.by` -> cost
    tolerance     relative difference of cost that counts as equal (`match.tolerance`), for arms
                  that are not in `tolerances`
    interior      arm -> whether its tuned value lies inside the grid; only arms that were tuned
    tuned         arm -> the tuned override, e.g. `training.lr=0.01`
    tolerances    arm -> its own tolerance; the stricter one of two compared arms holds
    fairness      the settings outside the parts, per arm
    aa_pairs      arm -> the arm that it repeats under other seeds; None if unknown
    seed_offsets  arm -> the number that is added to its seeds
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
        """Check all preconditions of a claim.

        Raises:
            InvalidClaimError: a precondition does not hold; the message says which.
        """
        self._check_equal_cost(claim)
        if claim.equal_cost and (unequal := self.unequal_settings(claim)):
            raise InvalidClaimError(
                f"unfair: the arms also differ in {format_unequal_settings(unequal)}"
            )
        at_edge = [arm for arm in claim.compared_arms if not self.interior.get(arm, True)]
        if at_edge:
            values = ", ".join(f"{arm}: {self.tuned.get(arm, 'its best')}" for arm in at_edge)
            raise InvalidClaimError(f"the best tuned value is at an end of the grid ({values})")
        if isinstance(claim, StatisticalClaim):
            if claim.aa:
                self._check_aa_seeds(claim.aa, claim.n)
                _check_aa_difference(claim, claim.aa, evidence)
            if claim.positive_control:
                _check_positive_control(claim, claim.positive_control, evidence)

    def aa_difference(self, claim: StatisticalClaim, evidence: Evidence) -> Interval | None:
        """Return the interval of the A/A pair's difference; None if it has no value."""
        if claim.aa is None:
            return None
        return _difference(lambda pair: claim.scores(evidence, pair), claim.aa, claim)

    def positive_control_difference(
        self, claim: StatisticalClaim, evidence: Evidence
    ) -> Interval | None:
        """Return the interval of the positive control's difference; None if it has no value."""
        control = claim.positive_control
        if control is None:
            return None
        return _difference(
            lambda pair: evidence.seed_values([(arm, control.metric) for arm in pair], claim.n),
            control,
            claim,
        )

    def unequal_settings(self, claim: Claim) -> dict[str, tuple[str, str]]:
        """Return the unequal settings of the compared arms, without the claim's `differs`."""
        unequal: dict[str, tuple[str, str]] = {}
        for arm, control in claim.compared_pairs:
            unequal |= self.fairness.unequal_settings(claim.metric, arm, control)
        # All arms are paired by seed, also those of different pairs.
        reference, *arms = claim.compared_arms
        for arm in arms:
            offsets = [self.seed_offsets.get(name, 0) for name in (arm, reference)]
            if offsets[0] != offsets[1]:
                unequal[SEED_OFFSET] = (str(offsets[0]), str(offsets[1]))
        return {key: values for key, values in unequal.items() if key not in claim.differs}

    def cost_notes(self, claim: Claim) -> list[str]:
        """Return notes on the cost differences that remain between the compared arms."""
        by, pairs = claim.equal_cost, claim.compared_pairs
        if by is None:
            texts = [
                (arm, control, self.fairness.format_cost_difference(arm, control))
                for arm, control in pairs
            ]
            return [f"{arm} compared with {control}{text}" for arm, control, text in texts if text]
        goals = {control: self.costs.get(control, {}).get(by, 0.0) for _, control in pairs}
        ratios = [
            (arm, control, self.costs.get(arm, {}).get(by, 0.0) / goals[control])
            for arm, control in pairs
            if goals[control]
        ]
        return [
            f"{arm} has {format_cost_excess(by, ratio)} than {control}"
            for arm, control, ratio in ratios
            if abs(ratio - 1) > NEGLIGIBLE_COST_EXCESS
        ]

    def context_notes(self, claim: Claim) -> list[str]:
        """Return notes on the settings in which the pairs of a claim on two pairs differ."""
        notes = []
        for arm, other in claim.context_pairs:
            if unequal := self.fairness.unequal_settings(claim.metric, arm, other):
                notes.append(f"{arm} differs from {other} in {format_unequal_settings(unequal)}")
        return notes

    def _check_aa_seeds(self, pair: AAPair, n: int) -> None:
        """Check that an A/A pair is one arm twice, and that its seeds do not overlap."""
        if self.aa_pairs is None:
            return
        names = (pair.arm, pair.control)
        original = {name: self.aa_pairs.get(name, name) for name in names}
        if original[pair.arm] != original[pair.control]:
            raise InvalidClaimError(
                f"A/A pair: {pair.arm} and {pair.control} differ in more than their seeds"
            )
        shift = abs(self.seed_offsets.get(pair.arm, 0) - self.seed_offsets.get(pair.control, 0))
        if 0 < shift < n:
            raise InvalidClaimError(
                f"A/A pair: the seeds of {pair.arm} and {pair.control} overlap, as their "
                f"seed_offset differs by {shift} and there are {n} seeds"
            )

    def _check_equal_cost(self, claim: Claim) -> None:
        by = claim.equal_cost
        if by is None:
            return
        for arm in claim.compared_arms:
            if by not in self.costs.get(arm, {}):
                raise InvalidClaimError(f"unmatched: the {COSTS[by]} of {arm} are unknown")
        for arm, control in claim.compared_pairs:
            cost, goal = self.costs[arm][by], self.costs[control][by]
            tolerance = min(self.tolerances.get(one, self.tolerance) for one in (control, arm))
            if abs(cost - goal) > tolerance * abs(goal):
                off = format_cost_excess(by, cost / goal) if goal else f"{cost:g} {COSTS[by]} more"
                raise InvalidClaimError(
                    f"unmatched: {arm} has {off} than {control} (tolerance {100 * tolerance:g} %)"
                )


def check_confirmable(claim: StatisticalClaim, family: Sequence[StatisticalClaim]) -> None:
    """Check that a claim's number of seeds can confirm it.

    A claim that the run could only contradict is not a fair test.

    Raises:
        InvalidClaimError: no data with this number of seeds could confirm the claim.
    """
    least = _least_p(claim, family)
    if least >= claim.alpha:
        enough = find_least_n(claim, family)
        hint = f"use n: {enough}" if enough else "no number of seeds is enough"
        raise InvalidClaimError(
            f"{format_count(claim.n, 'seed')} in a family of {len(family)} cannot reach "
            f"p < {claim.alpha:g}: the least Holm-corrected {claim.test_name} p is {least:.2g}; "
            f"{hint}"
        )


def find_least_n(claim: StatisticalClaim, family: Sequence[StatisticalClaim]) -> int | None:
    """Return the least number of seeds that could confirm a claim in its family.

    Return None if `MAX_N` seeds, or the most that its test takes, are too few.
    """
    place = family.index(claim)
    for n in range(claim.least_n, MAX_N + 1):
        try:
            other = dataclasses.replace(claim, n=n)
        except ValueError:  # more seeds than its test takes
            return None
        if _least_p(other, [*family[:place], other, *family[place + 1 :]]) < claim.alpha:
            return n
    return None


def _least_p(claim: StatisticalClaim, family: Sequence[StatisticalClaim]) -> float:
    return float(holm([min(1.0, other.least_p) for other in family])[family.index(claim)])


def _difference(
    scores_of: Callable[[Sequence[str]], SeedValues],
    pair: AAPair | PositiveControl,
    claim: StatisticalClaim,
) -> Interval | None:
    try:
        block = scores_of([pair.arm, pair.control])
        return mean_interval(block.differences()[: block.n], 1 - claim.alpha)
    except (InvalidClaimError, ValueError):
        return None


def _check_aa_difference(claim: StatisticalClaim, pair: AAPair, evidence: Evidence) -> None:
    """Check that an A/A pair shows only chance.

    A pair without `delta` must not be called different by the rule for arms: the interval and the
    sign-flip test together. A pair with `delta` must be shown to be equal within it (TOST).
    """
    name = f"{pair.arm} - {pair.control}"
    try:
        block = claim.scores(evidence, [pair.arm, pair.control])
    except InvalidClaimError as error:
        raise InvalidClaimError(f"A/A pair: {error}") from None
    differences = block.differences()[: block.n]
    by_chance = sign_flip_p(differences) >= claim.alpha
    if claim.has_binary_scores:
        if not by_chance:
            raise InvalidClaimError(f"the A/A pair differs: {name} is {differences.mean():+.3g}")
        return
    interval = mean_interval(differences, 1 - claim.alpha)
    if needs_noise_floor(claim, evidence):
        return  # a pair differs a little on any machine: the noise floor decides instead
    if not has_spread(differences, float(np.abs(block.deciding_values).max())):
        raise InvalidClaimError(
            f"the A/A pair has no spread: {name} is {interval.mean:+.3g} at every seed"
        )
    if pair.delta is not None:
        inner = mean_interval(differences, 1 - 2 * claim.alpha)
        if not -pair.delta < inner.low <= inner.high < pair.delta:
            raise InvalidClaimError(
                f"the A/A pair is not shown to be equal: the {1 - 2 * claim.alpha:.0%} interval "
                f"of {name} is {format_estimate(inner)}, not within ±{pair.delta:g}"
            )
    elif not by_chance and (interval.low > 0 or interval.high < 0):
        raise InvalidClaimError(f"the A/A pair differs: {name} is {format_estimate(interval)}")


def _check_positive_control(
    claim: StatisticalClaim, pair: PositiveControl, evidence: Evidence
) -> None:
    """Check that the positive control shows its difference."""
    try:
        block: SeedValues = evidence.seed_values(
            [(pair.arm, pair.metric), (pair.control, pair.metric)], claim.n
        )
    except InvalidClaimError as error:
        raise InvalidClaimError(f"positive control: {error}") from None
    interval = mean_interval(block.differences()[: block.n], 1 - claim.alpha)
    if not (interval.low > 0 if pair.direction == "greater" else interval.high < 0):
        raise InvalidClaimError(
            f"the positive control does not show its difference: {pair.metric} of {pair.arm} - "
            f"{pair.control} is {format_estimate(interval)}, not {pair.direction} than 0"
        )

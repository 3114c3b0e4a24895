"""Claims and their verdicts.

A claim is written down before the run. `reproduced` needs two things that agree: the paired
interval excludes zero in the stated direction, and the exact sign-flip test, Holm-corrected over
the claim's family, is below alpha. `contradicted` is the same on the other side, `invalid` says
that the run cannot answer at all, everything else is `inconclusive`. The first `n` seeds decide, so
that adding seeds until a claim holds is impossible.

Seeds are the nominal ones: an A/A arm with a seed offset is paired by the seed before the offset.
Tables are the report's: results (arm, seed, metric, value, unit) and trials (arm, seed, status).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from runner.claims import Claim, Null, PositiveControl, nearby
from runner.power import verdict_detectable_effect
from runner.sign_flip import sign_flip_p
from runner.stats import Floats, Interval, has_spread, holm, paired_interval

if TYPE_CHECKING:
    from pandas import DataFrame

HEALTHY = {"done", "no status"}


class Verdict(StrEnum):
    """What a run says about a claim."""

    reproduced = "reproduced"
    contradicted = "contradicted"
    inconclusive = "inconclusive"
    invalid = "invalid"


@dataclass(frozen=True)
class Finding:
    """A claim with its verdict and the numbers behind it; printed as `verdict: reason`.

    `n` is the number of pairs used. An invalid finding may carry an interval, as an estimate
    without a decision. `minimum_detectable_effect` is that of the whole rule, at Holm's first
    step, for the spread seen. `extra_estimate` is over all seeds, where there are more than n.
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

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}"


class InvalidClaimError(Exception):
    """Why the records cannot decide a claim."""


@dataclass(frozen=True)
class Pairs:
    """Values of two arms by seed, first seeds first; the first `n` decide."""

    arm: Floats
    control: Floats
    n: int
    alpha: float
    n_diverged: int

    @property
    def differences(self) -> Floats:
        """Arm - control of the seeds that decide."""
        return (self.arm - self.control)[: self.n]

    @cached_property
    def interval(self) -> Interval:
        """Paired interval of the seeds that decide, at 1 - alpha."""
        return paired_interval(self.differences, 1 - self.alpha)

    @property
    def extra(self) -> Interval | None:
        """The estimate over more seeds, None without more or if one of them lacks its value."""
        if len(self.arm) == self.n or not np.isfinite(self.arm - self.control).all():
            return None
        return paired_interval(self.arm - self.control, 1 - self.alpha)

    def separates(self, direction: str) -> bool:
        """Whether the interval lies wholly on this side of zero."""
        return self.interval.low > 0 if direction == "greater" else self.interval.high < 0

    def has_spread(self) -> bool:
        """Whether the deciding differences are not all the same number."""
        scale = float(np.abs(np.concatenate([self.arm[: self.n], self.control[: self.n]])).max())
        return has_spread(self.differences, scale)


class Records:
    """Final values and states of trials, looked up by arm and seed."""

    def __init__(self, results: "DataFrame", trials: "DataFrame") -> None:
        self.values: dict[tuple[str, str], dict[int, float]] = {}
        self.states: dict[str, dict[int, str]] = {}
        for arm, seed, status in zip(trials.arm, trials.seed, trials.status, strict=True):
            self.states.setdefault(arm, {})[seed] = str(status)
        columns = (results.arm, results.seed, results.metric, results.value)
        for arm, seed, metric, value in zip(*columns, strict=True):
            by_seed = self.values.setdefault((arm, metric), {})
            if seed in by_seed:
                raise ValueError(f"Results hold {metric!r} of {arm!r}, seed {seed}, twice.")
            by_seed[seed] = value
            self.states.setdefault(arm, {}).setdefault(seed, "no status")

    def pairs(self, metric: str, arm: str, control: str, n: int, alpha: float) -> Pairs:
        """Pairs by seed. A trial without the metric is never skipped for a later seed."""
        for name in (arm, control):
            if name not in self.states:
                raise InvalidClaimError(f"no arm {name!r}{nearby(name, self.states)}")
            healthy = HEALTHY & set(self.states[name].values())
            if healthy and (name, metric) not in self.values:
                known = [m for a, m in self.values if a == name]
                raise InvalidClaimError(
                    f"arm {name!r} has no metric {metric!r}{nearby(metric, known)}"
                )
        seeds = sorted(self.states[arm].keys() & self.states[control].keys())
        columns = {
            name: np.array([self.values.get((name, metric), {}).get(s, np.nan) for s in seeds])
            for name in (arm, control)
        }
        lacking = [
            f"{name} seed {seed} ({self.states[name][seed]})"
            for name, column in columns.items()
            for seed, value in zip(seeds[:n], column, strict=False)
            if not np.isfinite(value)
        ]
        if lacking:
            raise InvalidClaimError(f"trials without a finite {metric}: {', '.join(lacking)}")
        if len(seeds) < n:
            raise InvalidClaimError(f"too few seeds ({len(seeds)} of {n})")
        states = [self.states[name][seed] for name in columns for seed in seeds[:n]]
        return Pairs(columns[arm], columns[control], n, alpha, states.count("diverged"))


def judge(
    claims: Sequence[Claim], results: "DataFrame", *, scale: str, trials: "DataFrame"
) -> list[Finding]:
    """One finding per claim, in order.

    A family counts all its claims, also the invalid ones, so that its size is fixed beforehand. A
    trial that diverged takes part with its clipped value.
    """
    if scale == "smoke":
        return [Finding(claim, Verdict.invalid, "smoke") for claim in claims]
    records = Records(results, trials)
    findings: list[Finding | None] = [None] * len(claims)
    pairs: dict[int, Pairs] = {}
    # An invalid claim stays in its family, as one that has shown nothing.
    p_values = np.ones(len(claims))
    for i, claim in enumerate(claims):
        try:
            _reachable(claim, claims)
            pairs[i] = _pairs(records, claim)
            _check_rig(records, claim)
            p_values[i] = sign_flip_p(pairs[i].differences)
        except InvalidClaimError as error:
            estimate = pairs.get(i)
            findings[i] = Finding(
                claim,
                Verdict.invalid,
                str(error),
                interval=estimate.interval if estimate else None,
                n=estimate.n if estimate else 0,
            )
    for members in _families(claims).values():
        for i, p_holm in zip(members, holm(p_values[members]), strict=True):
            if findings[i] is None:
                findings[i] = _decide(
                    claims[i], pairs[i], float(p_values[i]), float(p_holm), len(members)
                )
    return [finding for finding in findings if finding is not None]


def _families(claims: Sequence[Claim]) -> dict[str, list[int]]:
    families: dict[str, list[int]] = {}
    for i, claim in enumerate(claims):
        families.setdefault(claim.family, []).append(i)
    return families


def _reachable(claim: Claim, claims: Sequence[Claim]) -> None:
    """Refuse a claim that its own number of seeds can never decide, whatever the data."""
    family = [other for other in claims if other.family == claim.family]
    least = holm([2.0 ** (1 - other.n) for other in family])[family.index(claim)]
    if least >= claim.alpha:
        raise InvalidClaimError(
            f"{claim.n} seeds in a family of {len(family)} cannot reach p < {claim.alpha:g}: "
            f"the least Holm-corrected sign-flip p is {least:.2g}"
        )


def _pairs(records: Records, claim: Claim) -> Pairs:
    return records.pairs(claim.metric, claim.arm, claim.control, claim.n, claim.alpha)


def _check_rig(records: Records, claim: Claim) -> None:
    """The A/A pair must show chance and nothing else, the positive control must show itself."""
    if claim.null:
        name = f"{claim.null.arm} - {claim.null.control}"
        same = _rig_pairs(records, claim, claim.metric, claim.null, "A/A")
        if not same.has_spread():
            raise InvalidClaimError(
                f"A/A has no spread: {name} is {same.interval.mean:+.3g} at every seed"
            )
        if same.separates("greater") or same.separates("less"):
            raise InvalidClaimError(f"A/A arms differ: {name} is {_estimate(same.interval)}")
    known = claim.positive_control
    if known:
        pairs = _rig_pairs(records, claim, known.metric, known, "positive control")
        if not pairs.separates(known.direction):
            raise InvalidClaimError(
                f"positive control did not separate: {known.metric} of {known.arm} - "
                f"{known.control} is {_estimate(pairs.interval)}, not {known.direction} than 0"
            )


def _rig_pairs(
    records: Records, claim: Claim, metric: str, arms: Null | PositiveControl, role: str
) -> Pairs:
    try:
        return records.pairs(metric, arms.arm, arms.control, claim.n, claim.alpha)
    except InvalidClaimError as error:
        raise InvalidClaimError(f"{role}: {error}") from None


def _decide(claim: Claim, pairs: Pairs, p: float, p_holm: float, family: int) -> Finding:
    opposite = "less" if claim.direction == "greater" else "greater"
    verdict = Verdict.inconclusive
    if p_holm < claim.alpha and pairs.separates(claim.direction):
        verdict = Verdict.reproduced
    elif p_holm < claim.alpha and pairs.separates(opposite):
        verdict = Verdict.contradicted
    reason = (
        f"difference {_estimate(pairs.interval)}, {pairs.n} paired seeds, "
        f"sign-flip p = {p:.2g}, Holm {p_holm:.2g}"
    )
    if pairs.n_diverged:
        reason += f", {pairs.n_diverged} diverged trials counted at their clipped value"
    sd = float(pairs.differences.std(ddof=1))
    return Finding(
        claim,
        verdict,
        reason,
        interval=pairs.interval,
        p=p,
        p_holm=p_holm,
        minimum_detectable_effect=verdict_detectable_effect(
            sd, pairs.n, claim.alpha, family=family
        ),
        n=pairs.n,
        extra_estimate=pairs.extra,
    )


def _estimate(interval: Interval) -> str:
    return f"{interval.mean:+.3g} [{interval.low:.3g}, {interval.high:.3g}]"

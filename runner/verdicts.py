"""Claims and their verdicts, and the tables that compare arms.

A claim is written down before the run. `reproduced` needs two things that agree: the paired
interval excludes zero in the stated direction, and the exact sign-flip test, Holm-corrected over
the claim's family, is below alpha. `contradicted` is the same on the other side, `invalid` says
that the run cannot answer at all, everything else is `inconclusive`. The first `n` seeds decide, so
that adding seeds until a claim holds is impossible.

Seeds are the nominal ones: an A/A arm with a seed offset is paired by the seed before the offset.
Tables are the report's: results (arm, seed, metric, value, unit) and trials (arm, seed, status).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from runner.stats import (
    ROUNDING,
    Floats,
    Interval,
    half_width,
    has_spread,
    holm,
    minimum_detectable_effect,
    paired_interval,
    sign_flip_p,
    sign_flip_rows,
    verdict_detectable_effect,
)

if TYPE_CHECKING:
    from pandas import DataFrame

KINDS = ("difference",)
DIRECTIONS = ("greater", "less")
COMPARISON = [
    *("arm", "baseline", "metric", "unit", "n"),
    *("arm_mean", "arm_low", "arm_high", "baseline_mean", "baseline_low", "baseline_high"),
    *("difference", "low", "high", "p_sign_flip", "p_holm", "minimum_detectable_effect"),
]
HEALTHY = {"done", "no status"}


@dataclass(frozen=True)
class Null:
    """The A/A pair of a claim: the same arm twice, whose difference must be nothing but chance."""

    arm: str
    control: str


@dataclass(frozen=True)
class PositiveControl:
    """A difference known to exist: where it is not seen, the rig could not see the claim either."""

    metric: str
    arm: str
    control: str
    direction: str


@dataclass(frozen=True)
class Claim:
    """A pre-registered statement: on `metric`, `arm` is greater or less than `control`.

    Claims of one `family` are Holm-corrected together. `source` and `published` say where the
    finding comes from and which figure was printed there; they decide nothing.
    """

    id: str
    statement: str
    metric: str
    arm: str
    control: str
    direction: str
    n: int
    family: str
    source: str
    kind: str = "difference"
    alpha: float = 0.05
    published: str = ""
    null: Null | None = None
    positive_control: PositiveControl | None = None

    def __post_init__(self) -> None:
        here = f"Claim {self.id!r}"
        _one_of(f"{here}: kind", self.kind, KINDS)
        _one_of(f"{here}: direction", self.direction, DIRECTIONS)
        if not _is_number(self.n, int) or self.n < 2:
            raise ValueError(f"{here}: n={self.n!r} seeds; needed is a whole number from 2 up.")
        if not _is_number(self.alpha, (int, float)) or not 0 < self.alpha < 1:
            raise ValueError(f"{here}: alpha={self.alpha!r} must lie between 0 and 1.")
        for part in (self, self.null, self.positive_control):
            if part is not None and part.arm == part.control:
                raise ValueError(f"{here}: {part.arm!r} cannot be compared with itself.")
        if self.positive_control:
            where = f"{here}: positive_control.direction"
            _one_of(where, self.positive_control.direction, DIRECTIONS)

    @classmethod
    def from_mapping(cls, id: str, mapping: Mapping[str, Any]) -> Self:
        """The claim as written in YAML. ValueError for keys that are unknown or missing."""
        here = f"Claim {id!r}"
        given = _keywords(cls, here, mapping, reserved="id")
        parts: tuple[tuple[str, type], ...] = (
            ("null", Null),
            ("positive_control", PositiveControl),
        )
        for name, part in parts:
            if given.get(name) is not None:
                given[name] = part(**_keywords(part, f"{here}, {name}", given[name]))
        return cls(id=id, **given)


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
                raise InvalidClaimError(f"no arm {name!r}{_near(name, self.states)}")
            healthy = HEALTHY & set(self.states[name].values())
            if healthy and (name, metric) not in self.values:
                known = [m for a, m in self.values if a == name]
                raise InvalidClaimError(
                    f"arm {name!r} has no metric {metric!r}{_near(metric, known)}"
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


def compare(
    results: "DataFrame", baseline: str, metrics: Sequence[str] | None = None
) -> "DataFrame":
    """Every other arm against the baseline, a row per arm and metric that both have.

    Exploratory: claims are judged by `judge`. Means are over the `n` seeds where both values are
    finite, so `difference` is arm_mean - baseline_mean; intervals are 95 %. Where the differences
    have no spread (parameter counts) there is no interval and no p, and the difference is exact; a
    single pair has no difference at all. Holm counts the arms of a metric; the detectable effect is
    that of the interval alone.
    """
    import pandas as pd

    arms = list(dict.fromkeys(results.arm))
    if baseline not in arms:
        raise ValueError(f"No arm {baseline!r}{_near(baseline, arms)}. Arms: {', '.join(arms)}.")
    known = list(dict.fromkeys(results.metric))
    for metric in metrics or ():
        if metric not in known:
            raise ValueError(f"No metric {metric!r}{_near(metric, known)}.")
    wide = results.pivot(index="seed", columns=["arm", "metric"], values="value").astype(float)
    base = wide[baseline]
    shown = [m for m in (known if metrics is None else metrics) if m in base.columns]
    tables: list[pd.DataFrame] = []
    for arm in arms:
        shared = [m for m in shown if m in wide[arm].columns]
        if arm != baseline and shared:
            columns = _contrast(wide[arm][shared].to_numpy(), base[shared].to_numpy())
            rows = pd.DataFrame(columns).assign(arm=arm, baseline=baseline, metric=shared)
            tables.append(rows[rows.n > 0])
    if not tables:
        return pd.DataFrame(columns=COMPARISON)
    table = pd.concat(tables, ignore_index=True)
    units = results.drop_duplicates("metric").set_index("metric").unit
    table["unit"] = table.metric.map(units)
    table["p_holm"] = np.nan
    tested = table.p_sign_flip.dropna()
    for _, p in tested.groupby(table.metric):
        table.loc[p.index, "p_holm"] = holm(p.to_numpy())
    return table[COMPARISON]


def _contrast(arm: Floats, base: Floats) -> dict[str, Floats]:
    """Columns of `compare` for two arrays of shape (seeds, metrics); NaN is a missing value."""
    both = np.isfinite(arm) & np.isfinite(base)
    n = both.sum(axis=0)
    columns: dict[str, Floats] = {"n": n}
    differences = np.where(both, arm, 0.0) - np.where(both, base, 0.0)
    scale = np.abs(np.where(both, [arm, base], 0.0)).max(axis=(0, 1))
    for low, mean, high, values in (
        ("arm_low", "arm_mean", "arm_high", arm),
        ("baseline_low", "baseline_mean", "baseline_high", base),
        ("low", "difference", "high", differences),
    ):
        centre, sd = _moments(np.where(both, values, np.nan), scale)
        half = half_width(sd, n)
        columns |= {low: centre - half, mean: centre, high: centre + half}
    columns["difference"] = np.where(n < 2, np.nan, columns["difference"])
    # Seeds without a pair are zeros here, which change no sign-flip p.
    p = sign_flip_rows(differences.T)
    columns["p_sign_flip"] = np.where(np.isnan(sd), np.nan, p)
    columns["minimum_detectable_effect"] = np.array(
        [
            np.nan if np.isnan(s) else minimum_detectable_effect(float(s), int(k))
            for s, k in zip(sd, n, strict=True)
        ]
    )
    return columns


def _moments(values: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation (ddof 1) down the seeds; sd is NaN without spread or a pair."""
    there = np.isfinite(values)
    n = there.sum(axis=0)
    mean = np.where(there, values, 0.0).sum(axis=0) / np.where(n, n, np.nan)
    square = np.where(there, values - mean, 0.0) ** 2
    sd = np.sqrt(square.sum(axis=0) / np.where(n < 2, np.nan, n - 1))
    ends = np.where(there, values, -np.inf).max(axis=0), np.where(there, values, np.inf).min(axis=0)
    return mean, np.where(ends[0] - ends[1] > ROUNDING * scale, sd, np.nan)


def summarise(results: "DataFrame") -> "DataFrame":
    """Mean and 95 % interval of every arm and metric over its seeds with a finite value.

    Columns arm, metric, unit, n, mean, low, high. One seed, or no spread, gives no interval.
    """
    finite = results[np.isfinite(results.value.astype(float))]
    groups = finite.groupby(["arm", "metric"], sort=False)
    table = groups.value.agg(n="count", mean="mean", sd="std", top="max", bottom="min")
    scale = np.maximum(table.top.abs(), table.bottom.abs())
    sd = table.sd.where(table.top - table.bottom > ROUNDING * scale)
    half = half_width(sd.to_numpy(), table.n.to_numpy())
    table = table.assign(unit=groups.unit.first(), low=table["mean"] - half)
    table["high"] = table["mean"] + half
    return table.reset_index()[["arm", "metric", "unit", "n", "mean", "low", "high"]]


def _keywords(
    cls: type, here: str, mapping: Mapping[str, Any], reserved: str = ""
) -> dict[str, Any]:
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{here} must be a mapping of keys, got {mapping!r}.")
    known = {field.name: field for field in fields(cls) if field.name != reserved}
    for key in mapping:
        if key not in known:
            near = _near(str(key), known)
            raise ValueError(f"{here}: unknown key {key!r}{near}. Keys: {', '.join(known)}.")
    missing = [
        name
        for name, field in known.items()
        if field.default is MISSING and mapping.get(name) is None
    ]
    if missing:
        raise ValueError(f"{here}: missing key {', '.join(missing)}.")
    return {str(key): value for key, value in mapping.items() if value is not None}


def _one_of(here: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        near = _near(str(value), known)
        raise ValueError(f"{here}={value!r} is unknown{near}. Known: {', '.join(known)}.")


def _is_number(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _near(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known))
    return f" (near: {', '.join(close)})" if close else ""


def _estimate(interval: Interval) -> str:
    return f"{interval.mean:+.3g} [{interval.low:.3g}, {interval.high:.3g}]"

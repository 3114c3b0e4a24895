"""From claims and records to verdicts.

A claim is written down before the run, and the first `n` seeds decide, so that adding seeds until a
claim holds is impossible. `reproduced` and `contradicted` need the test of the claim's kind, Holm-
corrected over its family, and what else the kind asks for; `invalid_reason` says that the run cannot
answer at all; everything else is `inconclusive`. Holm runs twice, over the tests that would confirm
and over those that would refute, so that a family holds its level for either verdict.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from runner.claims import registration
from runner.claims.claim import Claim, StatisticalClaim
from runner.claims.evidence import Evidence, InvalidClaimError
from runner.claims.fairness import format_unequal_settings
from runner.claims.finding import Finding, Verdict
from runner.claims.measurement import Measurement
from runner.claims.preconditions import Preconditions, check_confirmable, find_least_n
from runner.claims.registration import Registration
from runner.stats.intervals import Floats, holm

if TYPE_CHECKING:
    from pandas import DataFrame


def judge(
    claims: Sequence[Claim],
    results: "DataFrame",
    *,
    scale: str,
    trials: "DataFrame",
    preconditions: Preconditions | None = None,
    clipped: "DataFrame | None" = None,
    registrations: Mapping[str, Registration] | None = None,
) -> list[Finding]:
    """One finding per claim, in order.

    A family counts all its claims, also the invalid ones, so that its size is fixed beforehand. A
    trial that diverged takes part with what its metric declares for that: `clipped` lists these
    values. A claim that `registrations` calls late is invalid. An invalid claim shows its estimate
    where there is one.
    """
    if scale == "smoke":
        return [Finding(claim, Verdict.invalid, "smoke") for claim in claims]
    evidence, preconditions = Evidence(results, trials, clipped), preconditions or Preconditions()
    known = registrations or {}
    families: dict[str, list[int]] = {}
    for i, member in enumerate(claims):
        if isinstance(member, StatisticalClaim):
            families.setdefault(member.family, []).append(i)
    examined = []
    for claim in claims:
        family: list[StatisticalClaim] = []
        if isinstance(claim, StatisticalClaim):
            family = [
                c for i in families[claim.family] if isinstance(c := claims[i], StatisticalClaim)
            ]
        examined.append(
            _examine(
                claim, family, evidence, preconditions, registration.find_registration(claim, known)
            )
        )
    # An invalid claim stays in its family, as one that has shown nothing.
    sound = [None if e.reason else e.measured for e in examined]
    p_holm = _corrected(families, [found.p if found else 1.0 for found in sound])
    p_against = _corrected(families, [found.p_against if found else 1.0 for found in sound])
    return [
        _invalid(claim, e)
        if e.reason or e.measured is None
        else _decide(claim, e, e.measured, float(p_holm[i]), float(p_against[i]))
        for i, (claim, e) in enumerate(zip(claims, examined, strict=True))
    ]


@dataclass(frozen=True)
class _Examined:
    """What is known of a claim before its family is corrected; `invalid_reason` says why it is invalid."""

    measured: Measurement | None
    reason: str
    beside: Mapping[str, Any]  # fields of the finding that hold whatever the verdict
    cost_left: Sequence[str]


def _examine(
    claim: Claim,
    family: Sequence[StatisticalClaim],
    evidence: Evidence,
    rig: Preconditions,
    written: Registration | None,
) -> _Examined:
    """Measure a claim and check all its conditions; the first that fails is the reason."""
    found, reason = _measure(claim, max(1, len(family)), evidence)
    checks: list[Callable[[], None]] = [lambda: rig.check(claim, evidence)]
    beside: dict[str, Any] = {
        "unequal": rig.unequal_settings(claim),
        "written_after_results": written is not None and written.late,
        "shipped": written is not None and written.shipped,
        "least_n": claim.least_n,
    }
    if isinstance(claim, StatisticalClaim):
        checks.insert(0, lambda: check_confirmable(claim, family))
        beside |= {"least_n": find_least_n(claim, family)}
        beside |= {
            "aa": rig.aa_difference(claim, evidence),
            "positive": rig.positive_control_difference(claim, evidence),
        }
    if written is not None and written.late:
        reason = written.invalid_reason
    for check in checks if not reason else ():
        try:
            check()
        except InvalidClaimError as error:
            reason = str(error)
            break
    reason = reason or (found.invalid_reason if found else "")
    return _Examined(found, reason, beside, rig.cost_notes(claim))


def _measure(claim: Claim, family: int, evidence: Evidence) -> tuple[Measurement | None, str]:
    """What the records say, and why it decides nothing; fewer seeds still give an estimate."""
    try:
        return claim.measure(evidence, family), ""
    except InvalidClaimError as error:
        reason = str(error)
    try:
        there = len(evidence.common_seeds(claim.compared_arms))
        if claim.least_n <= there < claim.n:
            return dataclasses.replace(claim, n=there).measure(evidence, family), reason
    except (InvalidClaimError, ValueError):
        pass
    return None, reason


def _corrected(families: Mapping[str, list[int]], p_values: Sequence[float]) -> Floats:
    corrected = np.array(p_values, dtype=float)
    for members in families.values():
        corrected[members] = holm(corrected[members])
    return corrected


def _invalid(claim: Claim, examined: _Examined) -> Finding:
    found = examined.measured
    if found is None:
        return Finding(claim, Verdict.invalid, examined.reason, **examined.beside)
    return Finding(
        claim,
        Verdict.invalid,
        examined.reason,
        interval=found.interval,
        n=found.n,
        others=found.others,
        noise_floor=found.noise_floor,
        unit=found.unit,
        **examined.beside,
    )


def _decide(
    claim: Claim, examined: _Examined, found: Measurement, p_holm: float, p_against: float
) -> Finding:
    verdict, reason = Verdict.inconclusive, found.reason
    p: float | None = None
    corrected: float | None = None
    if isinstance(claim, StatisticalClaim):
        p, corrected = found.p, p_holm
        if found.may_reproduce and p_holm < claim.alpha:
            verdict = Verdict.reproduced
        elif found.may_contradict and p_against < claim.alpha:
            verdict, p, corrected = Verdict.contradicted, found.p_against, p_against
        reason += f", {claim.test_name} p = {p:.2g}, Holm {corrected:.2g}"
    else:
        verdict = Verdict.reproduced if found.may_reproduce else Verdict.contradicted
    notes = [*found.notes, *examined.cost_left]
    if unequal := examined.beside["unequal"]:
        notes.append(f"the arms also differ in {format_unequal_settings(unequal)}")
    return Finding(
        claim,
        verdict,
        ", ".join([reason, *notes]),
        interval=found.interval,
        p=p,
        p_holm=corrected,
        minimum_detectable_effect=found.minimum_detectable_effect,
        n=found.n,
        extra_estimate=found.extra_estimate,
        others=found.others,
        noise_floor=found.noise_floor,
        unit=found.unit,
        **examined.beside,
    )

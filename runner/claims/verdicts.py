"""The verdicts on claims, from the records of a run.

A claim is written before the run, and its first `n` seeds decide. So adding seeds until a claim
holds is impossible. The verdicts:

- `invalid`: a precondition fails, so the run cannot judge the claim;
- `reproduced`, `contradicted`: the Holm-corrected test and all other conditions of the kind agree;
- `inconclusive`: everything else.

Holm's correction runs twice: over the tests that would confirm, and over the tests that would
refute. So a family keeps its level for either verdict.
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
    history: "DataFrame | None" = None,
    registrations: Mapping[str, Registration] | None = None,
) -> list[Finding]:
    """Return one finding per claim, in order.

    - A family counts all its claims, also invalid ones, so its size is fixed before the run.
    - A diverged trial enters with the value that its metric declares; `clipped` lists these values.
    - Claims on curves read `history`, with columns arm, seed, step, metric, value.
    - A claim that is late according to `registrations` is invalid.
    - An invalid claim has its estimate, if there is one.
    """
    # The numbers of a smoke run are of a few steps and mean nothing.
    if scale == "smoke":
        return [
            Finding(claim, Verdict.invalid, "scale=smoke only checks that everything runs")
            for claim in claims
        ]
    evidence, preconditions = (
        Evidence(results, trials, clipped, history),
        preconditions or Preconditions(),
    )
    known = registrations or {}
    # Claims of one family are corrected together; exact claims have no p-value and no family.
    families: dict[str, list[int]] = {}
    for i, member in enumerate(claims):
        if isinstance(member, StatisticalClaim):
            families.setdefault(member.family, []).append(i)
    # Measure every claim before any verdict: Holm's correction needs all p-values of a family.
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
    # An invalid claim stays in its family with p = 1: the other claims must not become easier.
    valid = [None if e.reason else e.measurement for e in examined]
    # Confirming and refuting tests are two families: each verdict keeps the level by itself.
    p_holm = _holm_per_family(families, [m.p if m else 1.0 for m in valid])
    p_against = _holm_per_family(families, [m.p_against if m else 1.0 for m in valid])
    return [
        _invalid_finding(claim, e)
        if e.reason or e.measurement is None
        else _decide(claim, e, e.measurement, float(p_holm[i]), float(p_against[i]))
        for i, (claim, e) in enumerate(zip(claims, examined, strict=True))
    ]


@dataclass(frozen=True)
class _Examined:
    """A claim before its family is corrected; `reason` says why it is invalid, "" if it is not."""

    measurement: Measurement | None
    reason: str
    finding_fields: Mapping[str, Any]  # fields of the finding that do not depend on the verdict
    arm_notes: Sequence[str]  # notes on the cost and settings of the compared arms


def _examine(
    claim: Claim,
    family: Sequence[StatisticalClaim],
    evidence: Evidence,
    preconditions: Preconditions,
    registered: Registration | None,
) -> _Examined:
    """Measure a claim and check its preconditions; the first that fails is the reason."""
    # Measure first: an invalid claim shows its estimate, too.
    measurement, reason = _measure(claim, max(1, len(family)), evidence)
    checks: list[Callable[[], None]] = [lambda: preconditions.check(claim, evidence)]
    # These facts are in the report for every verdict.
    finding_fields: dict[str, Any] = {
        "unequal": preconditions.unequal_settings(claim),
        "written_after_results": registered is not None and registered.late,
        "shipped": registered is not None and registered.shipped,
        "least_n": claim.least_n,
    }
    # Only a test over seeds has a least p-value, an A/A pair and a positive control. Check the
    # least p-value first: with too few seeds, the other checks say little.
    if isinstance(claim, StatisticalClaim):
        checks.insert(0, lambda: check_confirmable(claim, family))
        finding_fields |= {"least_n": find_least_n(claim, family)}
        finding_fields |= {
            "aa": preconditions.aa_difference(claim, evidence),
            "positive": preconditions.positive_control_difference(claim, evidence),
        }
    # A late claim is always invalid, so this reason replaces that of missing values.
    if registered is not None and registered.late:
        reason = registered.invalid_reason
    # Missing values and lateness explain more than a failed precondition: check no further.
    for check in checks if not reason else ():
        try:
            check()
        except InvalidClaimError as error:
            reason = str(error)
            break
    # The kind's own objection comes last: it holds only for a claim that is valid otherwise.
    reason = reason or (measurement.invalid_reason if measurement else "")
    notes = [*preconditions.cost_notes(claim), *preconditions.context_notes(claim)]
    return _Examined(measurement, reason, finding_fields, notes)


def _measure(claim: Claim, family: int, evidence: Evidence) -> tuple[Measurement | None, str]:
    """Return the measurement, if any, and the reason why it decides nothing; "" if it may decide.

    Fewer seeds than the claim's n still give an estimate.
    """
    try:
        return claim.measure(evidence, family), ""
    except InvalidClaimError as error:
        reason = str(error)
    try:
        n_seeds = len(evidence.common_seeds(claim.compared_arms))
        if claim.least_n <= n_seeds < claim.n:
            return dataclasses.replace(claim, n=n_seeds).measure(evidence, family), reason
    except (InvalidClaimError, ValueError):
        pass
    return None, reason


def _holm_per_family(families: Mapping[str, list[int]], p_values: Sequence[float]) -> Floats:
    corrected = np.array(p_values, dtype=float)
    for members in families.values():
        corrected[members] = holm(corrected[members])
    return corrected


def _invalid_finding(claim: Claim, examined: _Examined) -> Finding:
    measurement = examined.measurement
    if measurement is None:
        return Finding(claim, Verdict.invalid, examined.reason, **examined.finding_fields)
    return Finding(
        claim,
        Verdict.invalid,
        examined.reason,
        interval=measurement.interval,
        n=measurement.n,
        others=measurement.others,
        noise_floor=measurement.noise_floor,
        unit=measurement.unit,
        **examined.finding_fields,
    )


def _decide(
    claim: Claim,
    examined: _Examined,
    measurement: Measurement,
    p_holm: float,
    p_against: float,
) -> Finding:
    # Without evidence for either side, the claim is inconclusive.
    verdict, reason = Verdict.inconclusive, measurement.reason
    p: float | None = None
    corrected: float | None = None
    # A test decides only if the kind's other condition agrees, e.g. the interval and noise floor.
    if isinstance(claim, StatisticalClaim):
        p, corrected = measurement.p, p_holm
        if measurement.may_reproduce and p_holm < claim.alpha:
            verdict = Verdict.reproduced
        elif measurement.may_contradict and p_against < claim.alpha:
            # Report the p-value of the test that decided, here the refuting one.
            verdict, p, corrected = Verdict.contradicted, measurement.p_against, p_against
        reason += f", {claim.test_name} p = {p:.2g}, Holm {corrected:.2g}"
    # An exact claim has no test: it holds at every seed, or it does not.
    else:
        verdict = Verdict.reproduced if measurement.may_reproduce else Verdict.contradicted
    # A verdict names the differences between the arms that the preconditions allow.
    notes = [*measurement.notes, *examined.arm_notes]
    if unequal := examined.finding_fields["unequal"]:
        notes.append(f"the arms also differ in {format_unequal_settings(unequal)}")
    return Finding(
        claim,
        verdict,
        ", ".join([reason, *notes]),
        interval=measurement.interval,
        p=p,
        p_holm=corrected,
        # The following numbers help a reader to judge the verdict; they did not decide it.
        minimum_detectable_effect=measurement.minimum_detectable_effect,
        n=measurement.n,
        extra_estimate=measurement.extra_estimate,
        others=measurement.others,
        noise_floor=measurement.noise_floor,
        unit=measurement.unit,
        **examined.finding_fields,
    )

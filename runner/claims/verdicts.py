"""From claims and records to verdicts.

A claim is written down before the run, and the first `n` seeds decide, so that adding seeds until a
claim holds is impossible. `reproduced` and `contradicted` need the test of the claim's kind, Holm-
corrected over its family, and what else the kind asks for; `invalid` says that the run cannot
answer at all; everything else is `inconclusive`. Holm runs twice, over the tests that would confirm
and over those that would refute, so that a family holds its level for either verdict.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from runner.claims import registration
from runner.claims.claim import Claim, Tested
from runner.claims.evidence import Evidence, InvalidClaimError
from runner.claims.fairness import unequal_words
from runner.claims.finding import Finding, Verdict
from runner.claims.measured import Measured
from runner.claims.registration import Registration
from runner.claims.rig import Rig, least_n, reachable
from runner.stats.intervals import Floats, holm

if TYPE_CHECKING:
    from pandas import DataFrame


def judge(
    claims: Sequence[Claim],
    results: "DataFrame",
    *,
    scale: str,
    trials: "DataFrame",
    rig: Rig | None = None,
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
    evidence, rig = Evidence(results, trials, clipped), rig or Rig()
    known = registrations or {}
    families: dict[str, list[int]] = {}
    for i, member in enumerate(claims):
        if isinstance(member, Tested):
            families.setdefault(member.family, []).append(i)
    examined = []
    for claim in claims:
        family: list[Tested] = []
        if isinstance(claim, Tested):
            family = [c for i in families[claim.family] if isinstance(c := claims[i], Tested)]
        examined.append(_examine(claim, family, evidence, rig, registration.of(claim, known)))
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
    """What is known of a claim before its family is corrected; `reason` says why it is invalid."""

    measured: Measured | None
    reason: str
    beside: Mapping[str, Any]  # fields of the finding that hold whatever the verdict
    cost_left: Sequence[str]


def _examine(
    claim: Claim,
    family: Sequence[Tested],
    evidence: Evidence,
    rig: Rig,
    written: Registration | None,
) -> _Examined:
    """Measure a claim and check all its conditions; the first that fails is the reason."""
    found, reason = _measure(claim, max(1, len(family)), evidence)
    checks: list[Callable[[], None]] = [lambda: rig.check(claim, evidence)]
    beside: dict[str, Any] = {
        "unequal": rig.unequal(claim),
        "written_after_results": written is not None and written.late,
        "shipped": written is not None and written.shipped,
        "least_n": claim.least_n,
    }
    if isinstance(claim, Tested):
        checks.insert(0, lambda: reachable(claim, family))
        beside |= {"least_n": least_n(claim, family)}
        beside |= {
            "aa": rig.shown_aa(claim, evidence),
            "positive": rig.shown_control(claim, evidence),
        }
    if written is not None and written.late:
        reason = written.reason
    for check in checks if not reason else ():
        try:
            check()
        except InvalidClaimError as error:
            reason = str(error)
            break
    reason = reason or (found.invalid if found else "")
    return _Examined(found, reason, beside, rig.cost_left(claim))


def _measure(claim: Claim, family: int, evidence: Evidence) -> tuple[Measured | None, str]:
    """What the records say, and why it decides nothing; fewer seeds still give an estimate."""
    try:
        return claim.measure(evidence, family), ""
    except InvalidClaimError as error:
        reason = str(error)
    try:
        there = len(evidence.seeds(claim.compared))
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
    claim: Claim, examined: _Examined, found: Measured, p_holm: float, p_against: float
) -> Finding:
    verdict, reason = Verdict.inconclusive, found.reason
    p: float | None = None
    corrected: float | None = None
    if isinstance(claim, Tested):
        p, corrected = found.p, p_holm
        if found.supports and p_holm < claim.alpha:
            verdict = Verdict.reproduced
        elif found.opposes and p_against < claim.alpha:
            verdict, p, corrected = Verdict.contradicted, found.p_against, p_against
        reason += f", {claim.test} p = {p:.2g}, Holm {corrected:.2g}"
    else:
        verdict = Verdict.reproduced if found.supports else Verdict.contradicted
    notes = [*found.notes, *examined.cost_left]
    if unequal := examined.beside["unequal"]:
        notes.append(f"the arms also differ in {unequal_words(unequal)}")
    return Finding(
        claim,
        verdict,
        ", ".join([reason, *notes]),
        interval=found.interval,
        p=p,
        p_holm=corrected,
        minimum_detectable_effect=found.detectable,
        n=found.n,
        extra_estimate=found.extra,
        others=found.others,
        noise_floor=found.noise_floor,
        unit=found.unit,
        **examined.beside,
    )

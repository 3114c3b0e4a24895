"""From claims and records to verdicts.

A claim is written down before the run, and the first `n` seeds decide, so that adding seeds until a
claim holds is impossible. `reproduced` and `contradicted` need the test of the claim's kind, Holm-
corrected over its family, and what else the kind asks for; `invalid` says that the run cannot
answer at all; everything else is `inconclusive`. Holm runs twice, over the tests that would confirm
and over those that would refute, so that a family holds its level for either verdict.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from runner.claims.claim import Claim, Tested
from runner.claims.evidence import Evidence, InvalidClaimError
from runner.claims.finding import Finding, Measured, Verdict
from runner.claims.rig import Rig, reachable
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
) -> list[Finding]:
    """One finding per claim, in order.

    A family counts all its claims, also the invalid ones, so that its size is fixed beforehand. A
    trial that diverged takes part with its clipped value.
    """
    if scale == "smoke":
        return [Finding(claim, Verdict.invalid, "smoke") for claim in claims]
    evidence, rig = Evidence(results, trials), rig or Rig()
    tested = {i: claim for i, claim in enumerate(claims) if isinstance(claim, Tested)}
    families: dict[str, list[int]] = {}
    for i, member in tested.items():
        families.setdefault(member.family, []).append(i)
    measured: list[Measured | None] = []
    reasons: list[str] = []
    for claim in claims:
        found, reason = None, ""
        try:
            size = 1
            if isinstance(claim, Tested):
                family = families[claim.family]
                reachable(claim, [tested[i] for i in family])
                size = len(family)
            found = claim.measure(evidence, size)
            rig.check(claim, evidence)
            reason = found.invalid
        except InvalidClaimError as error:
            reason = str(error)
        measured.append(found)
        reasons.append(reason)
    # An invalid claim stays in its family, as one that has shown nothing.
    sound = [None if reason else found for found, reason in zip(measured, reasons, strict=True)]
    p_holm = _corrected(families, [found.p if found else 1.0 for found in sound])
    p_against = _corrected(families, [found.p_against if found else 1.0 for found in sound])
    return [
        _invalid(claim, found, reason)
        if reason or found is None
        else _decide(claim, found, float(p_holm[i]), float(p_against[i]))
        for i, (claim, found, reason) in enumerate(zip(claims, measured, reasons, strict=True))
    ]


def _corrected(families: Mapping[str, list[int]], p_values: Sequence[float]) -> Floats:
    corrected = np.array(p_values, dtype=float)
    for members in families.values():
        corrected[members] = holm(corrected[members])
    return corrected


def _invalid(claim: Claim, found: Measured | None, reason: str) -> Finding:
    if found is None:
        return Finding(claim, Verdict.invalid, reason)
    return Finding(
        claim,
        Verdict.invalid,
        reason,
        interval=found.interval,
        n=found.n,
        others=found.others,
        noise_floor=found.noise_floor,
        unit=found.unit,
    )


def _decide(claim: Claim, found: Measured, p_holm: float, p_against: float) -> Finding:
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
    return Finding(
        claim,
        verdict,
        ", ".join([reason, *found.notes]),
        interval=found.interval,
        p=p,
        p_holm=corrected,
        minimum_detectable_effect=found.detectable,
        n=found.n,
        extra_estimate=found.extra,
        others=found.others,
        noise_floor=found.noise_floor,
        unit=found.unit,
    )

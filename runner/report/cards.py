"""What is shown of a verdict, as text: the published figure beside ours, and what decided."""

import math
from typing import Any

from runner import quantity
from runner.claims.finding import Finding
from runner.report.record import StudyRecord
from runner.stats.intervals import Interval


def card(finding: Finding, study: StudyRecord) -> dict[str, Any]:
    """What a verdict card shows; a row without content is an empty text."""
    claim, interval = finding.claim, finding.interval
    subject = [study.label(claim.metric)] if claim.metric else []

    def shown(found: Interval) -> str:
        text = quantity.with_interval(
            found.mean, found.low, found.high, found.n, difference=claim.signed
        )
        return f"{text} {finding.unit}" if finding.unit else text

    extra = finding.extra_estimate
    return {
        "id": claim.id,
        "kind": claim.kind.replace("_", " "),
        "verdict": str(finding.verdict),
        "statement": claim.statement,
        "published": claim.published,
        "source": claim.source,
        "what": ": ".join([*subject, claim.what]),
        "expected": claim.expected,
        "ours": shown(interval) if interval else "no estimate",
        "limits": claim.limits if interval and not math.isnan(interval.low) else "",
        "others": [f"{name}: {shown(found)}" for name, found in finding.others.items()],
        "n": f"{finding.n} of {claim.n}",
        "p": "" if finding.p is None else quantity.p_value(finding.p),
        "p_holm": "" if finding.p_holm is None else quantity.p_value(finding.p_holm),
        "detectable": _detectable(finding),
        "sensitivity": claim.sensitivity,
        "noise": ""
        if finding.noise_floor is None
        else quantity.quantity(finding.noise_floor, finding.unit),
        "reason": finding.reason,
        "extra": f"{shown(extra)} over {extra.n} seeds" if extra else "",
        "registered": finding.fingerprint,
    }


def _detectable(finding: Finding) -> str:
    effect = finding.minimum_detectable_effect
    if effect is None:
        return ""
    return "none: too few seeds" if math.isinf(effect) else quantity.quantity(effect, finding.unit)

"""Verdict cards: published value, measured value and the reason of a verdict, as text."""

import math
from collections.abc import Callable
from typing import Any

from runner.claims.claim import AAPair, PositiveControl, StatisticalClaim
from runner.claims.fairness import format_unequal_settings
from runner.claims.finding import Finding
from runner.report.study_record import StudyRecord
from runner.stats.intervals import Interval
from runner.wording import quantity


def verdict_card(finding: Finding, study: StudyRecord) -> dict[str, Any]:
    """Return the rows of a verdict card; a row without content is an empty text."""
    claim, interval = finding.claim, finding.interval
    subject = [study.label(claim.metric)] if claim.metric else []

    def with_unit(estimate: Interval) -> str:
        text = quantity.format_mean(*estimate, is_difference=claim.shows_sign)
        return f"{text} {finding.unit}" if finding.unit else text

    extra = finding.extra_estimate
    aa, positive = (
        (claim.aa, claim.positive_control) if isinstance(claim, StatisticalClaim) else (None, None)
    )
    return {
        "id": claim.id,
        "kind": claim.kind.replace("_", " "),
        "verdict": str(finding.verdict),
        "statement": claim.statement,
        "published": claim.published,
        "source": claim.source,
        "comparison": ": ".join([*subject, claim.estimate_label]),
        "expected": claim.expected,
        "measured": with_unit(interval) if interval else "no estimate",
        "limits": claim.interval_label if interval and not math.isnan(interval.low) else "",
        "others": [f"{name}: {with_unit(other)}" for name, other in finding.others.items()],
        "n": f"{claim.n} / {finding.n}",
        "p": "" if finding.p is None else quantity.format_p_value(finding.p),
        "p_holm": "" if finding.p_holm is None else quantity.format_p_value(finding.p_holm),
        "detectable": _detectable(finding),
        "sensitivity": claim.sensitivity,
        "noise": ""
        if finding.noise_floor is None
        else quantity.format_quantity(finding.noise_floor, finding.unit),
        "aa": _format_pair(finding.aa, aa, with_unit),
        "positive": _format_pair(finding.positive, positive, with_unit),
        "unequal": format_unequal_settings(finding.unequal),
        "shipped": finding.shipped,
        "reason": finding.reason,
        "extra": f"{with_unit(extra)} over {extra.n} seeds" if extra else "",
        "registered": finding.fingerprint,
    }


def _format_pair(
    interval: Interval | None,
    pair: AAPair | PositiveControl | None,
    with_unit: Callable[[Interval], str],
) -> str:
    """Return the difference of a claim's A/A pair or positive control; "" if it names none."""
    if pair is None:
        return ""
    name = f"{pair.arm} minus {pair.control}"
    if isinstance(pair, PositiveControl):
        name = f"{pair.metric}, {name}, must be {pair.direction} than 0"
    return f"{name}: {with_unit(interval) if interval else 'no value'}"


def _detectable(finding: Finding) -> str:
    effect = finding.minimum_detectable_effect
    if effect is None:
        return ""
    return (
        "none: too few seeds"
        if math.isinf(effect)
        else quantity.format_quantity(effect, finding.unit)
    )

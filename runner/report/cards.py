"""Verdict cards: published value, measured value, A/A pair and positive control, as text."""

import math
from typing import Any

from runner.claims.claim import AAPair, PositiveControl, StatisticalClaim
from runner.claims.directed_difference import DirectedDifference
from runner.claims.fairness import format_unequal_settings
from runner.claims.finding import Finding, Verdict
from runner.claims.kinds.equivalence import Equivalence
from runner.report.published import published_phrase, verdict_phrase
from runner.report.study_record import StudyRecord
from runner.stats.intervals import Interval
from runner.wording import quantity
from runner.wording.phrases import capitalise

DETECTABLE_NAMES = {
    "difference": "detectable difference",
    "equivalence": "detectable margin",
    "slope": "precision of the slope",
    "failure_rate": "detectable share",
    "curve_slope": "detectable slope",
}


def verdict_card(finding: Finding, study: StudyRecord) -> dict[str, Any]:
    """Return the rows of a verdict card; a row without content is an empty text.

    The rows name metrics in words. The reason of a decided verdict repeats other rows, so it is
    only in `reason`, and `remark` is empty.
    """
    claim, interval = finding.claim, finding.interval
    metrics = metrics_in_words(finding)
    subject = [capitalise(study.label(claim.metric))] if claim.metric else []
    extra = finding.extra_estimate
    aa, positive = (
        (claim.aa, claim.positive_control) if isinstance(claim, StatisticalClaim) else (None, None)
    )
    reason = study.in_words(finding.reason, metrics)
    is_decided = finding.verdict in (Verdict.reproduced, Verdict.contradicted)
    sign = claim.shows_sign
    return {
        "id": claim.id,
        "kind": claim.kind.replace("_", " "),
        "verdict": str(finding.verdict),
        "tag": verdict_phrase(finding),
        "statement": claim.statement,
        "published": claim.published,
        "published_is": published_phrase(claim),
        "source": claim.source,
        "comparison": ": ".join([*subject, study.in_words(claim.estimate_label, metrics)]),
        "expected": study.in_words(claim.expected, metrics) + _unit_of_limit(finding),
        "measured": _with_unit(interval, finding.unit, sign) if interval else "no estimate",
        "limits": claim.interval_label if interval and not math.isnan(interval.low) else "",
        "others": [
            f"{study.in_words(name, metrics)}: {_with_unit(other, finding.unit, sign)}"
            for name, other in finding.others.items()
        ],
        "n": _seeds(finding),
        "p": "" if finding.p is None else quantity.format_p_value(finding.p),
        "p_holm": "" if finding.p_holm is None else quantity.format_p_value(finding.p_holm),
        "detectable": _detectable(finding),
        "detectable_name": DETECTABLE_NAMES.get(claim.kind, "detectable difference"),
        "sensitivity": claim.sensitivity,
        "noise": ""
        if finding.noise_floor is None
        else quantity.format_quantity(finding.noise_floor, finding.unit),
        "noise_meaning": claim.noise_meaning if isinstance(claim, StatisticalClaim) else "",
        "aa": _aa_row(finding, aa),
        "positive": _positive_row(finding, positive, study),
        "unequal": format_unequal_settings(finding.unequal),
        "shipped": finding.shipped,
        "reason": reason,
        "remark": "" if is_decided else reason,
        "extra": f"{_with_unit(extra, finding.unit, sign)} over {extra.n} seeds" if extra else "",
        "registered": finding.fingerprint,
    }


def metrics_in_words(finding: Finding) -> list[str]:
    """Return the metrics that texts about a finding may name."""
    return [*finding.claim.named_metrics, *finding.others]


def _unit_of_limit(finding: Finding) -> str:
    """Return the recorded unit for a limit in words, where the measured value has another unit."""
    claim, interval = finding.claim, finding.interval
    limit = claim.margin if isinstance(claim, DirectedDifference) else None
    limit = claim.delta if isinstance(claim, Equivalence) else limit
    if not limit or interval is None:
        return ""
    display = quantity.display_unit(finding.unit, [interval.mean])
    return "" if display.factor == 1 else f" {finding.unit}".rstrip()


def _with_unit(estimate: Interval, unit: str, shows_sign: bool = True) -> str:
    """Return an estimate with its interval, in a unit that a person reads."""
    display = quantity.display_unit(unit, [estimate.mean])
    text = quantity.format_mean(*estimate, is_difference=shows_sign, display=display)
    number, space, rest = text.partition(" ")
    return display.with_name(number) + space + rest


def _seeds(finding: Finding) -> str:
    """Return the number of seeds that decided, and the claim's own number if it differs."""
    planned = finding.claim.n
    return str(planned) if finding.n == planned else f"{finding.n} of {planned}"


def _aa_row(finding: Finding, pair: AAPair | None) -> str:
    """Return the difference of the claim's A/A pair in words; "" if the claim names none."""
    if pair is None:
        return ""
    name = f"{pair.arm} minus {pair.control}"
    interval = finding.aa
    if interval is None:
        return f"{name}: no value"
    text = f"{name}: {_with_unit(interval, finding.unit)}"
    if pair.delta is not None:
        display = quantity.display_unit(finding.unit, [interval.mean])
        delta = display.with_name(f"±{pair.delta / display.factor:.4g}")
        return f"{text}, must be shown to lie within {delta}"
    if math.isnan(interval.low):
        return text
    includes = interval.low <= 0 <= interval.high
    return f"{text}, {'includes 0, as expected' if includes else 'excludes 0'}"


def _positive_row(finding: Finding, control: PositiveControl | None, study: StudyRecord) -> str:
    """Return the difference of the claim's positive control in words; "" if it names none."""
    if control is None:
        return ""
    name = f"{study.label(control.metric)}, {control.arm} minus {control.control}"
    interval = finding.positive
    if interval is None:
        return f"{name}: no value"
    units = study.results["unit"][study.results["metric"] == control.metric]
    unit = str(units.iloc[0]) if len(units) else ""
    side = "above" if control.direction == "greater" else "below"
    is_shown = interval.low > 0 if side == "above" else interval.high < 0
    remark = f"{side} 0, as it must be" if is_shown else f"not shown to be {side} 0"
    return f"{name}: {_with_unit(interval, unit)}, {remark}"


def _detectable(finding: Finding) -> str:
    effect = finding.minimum_detectable_effect
    if effect is None:
        return ""
    if math.isinf(effect):
        return "none: too few seeds"
    return quantity.format_quantity(effect, finding.unit, digits=2)

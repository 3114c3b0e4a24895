"""The comparisons of the answer: each headline metric, its baseline, and the other arms.

Four sorts of arms are in the tables, but not compared here. The second arm of an A/A pair shares no
seeds with the baseline, so its values cannot be paired. A control arm only tests whether the study
can show a difference. An arm with another kind of task solves another problem. A value in another
unit cannot be subtracted. A headline with its own baseline covers the arms that train on the same
data as that baseline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np
import pandas as pd

from runner.claims.fairness import format_unequal_settings
from runner.claims.headline import Headline
from runner.metric_names import NOTHING_IF_DIVERGED
from runner.report.study_record import StudyRecord
from runner.stats.comparison import pivot_results
from runner.stats.intervals import Floats
from runner.stats.standing import Contrast, Decision, Standing, alpha_at_look, decide_standings
from runner.wording import quantity
from runner.wording.quantity import DisplayUnit

EQUAL_WORDS = "equal under every seed"


@dataclass(frozen=True)
class HeadlineComparison:
    """The comparison of one arm with the baseline of a headline.

    n, n_planned  seeds that have both values, and planned seeds
    n_diverged    the arm's trials that diverged
    unequal       settings that differ in addition to the parts: key -> the two values
    cost_by       the cost that is compared, as in `match.by`; cost_ratio is arm / baseline
    cost          the difference in cost in words; "" if the costs are equal
    baseline_mean the baseline's mean over the seeds that have a value; NaN for a metric that may be
                  below 0, since a share of it means nothing
    display       the unit in which all values of this headline are printed
    """

    headline: Headline
    arm: str
    baseline: str
    unit: str
    decision: Decision
    n: int
    n_planned: int
    n_diverged: int
    unequal: Mapping[str, tuple[str, str]]
    cost_by: str
    cost_ratio: float
    cost: str
    baseline_mean: float = nan
    display: DisplayUnit = quantity.PLAIN

    @property
    def standing(self) -> Standing:
        """The result of the comparison: better, worse, different, ..."""
        return self.decision.standing

    @property
    def has_interval(self) -> bool:
        """Whether the difference has an interval; counts and single seeds have none."""
        return self.decision.interval is not None and isfinite(self.decision.interval.low)

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        interval = self.decision.interval
        return interval is not None and (interval.low > 0 or interval.high < 0)

    @property
    def is_same(self) -> bool:
        """Whether the arm has the baseline's value under every seed, in a metric that is tested."""
        interval = self.decision.interval
        is_zero = interval is not None and interval.mean == interval.low == interval.high == 0
        return is_zero and self.standing is Standing.not_distinguished

    @property
    def amount_display(self) -> DisplayUnit:
        """The unit of the difference in a sentence: `display`, or a finer one that is readable."""
        size = self.decision.interval.mean if self.decision.interval else nan
        return quantity.amount_unit(self.unit, size, self.display)

    @property
    def difference(self) -> str:
        """The mean difference with its interval, as text."""
        interval = self.decision.interval
        if interval is None:
            return quantity.NO_VALUE
        return quantity.format_mean(*interval, is_difference=True, display=self.display)

    @property
    def caveat(self) -> str:
        """Text after the result: ", at 24.4 % more parameters; it also differs in ..."."""
        also = (
            f"; it also differs in {format_unequal_settings(self.unequal)}" if self.unequal else ""
        )
        return self.cost + also

    @property
    def words(self) -> str:
        """The result with its caveat: "better, at 24.4 % more parameters"."""
        undecided = self.standing is Standing.undecided
        why = self.decision.reason if undecided else EQUAL_WORDS if self.is_same else ""
        reason = f" ({why})" if why else ""
        return f"{self.standing}{reason}{self.caveat}"

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as in answer.json; a number that is not known is None."""
        interval = self.decision.interval
        low, high = (interval.low, interval.high) if interval else (nan, nan)
        numbers = {"difference": interval.mean if interval else nan, "low": low, "high": high}
        return {
            "metric": self.headline.metric,
            "label": self.headline.label,
            "arm": self.arm,
            "baseline": self.baseline,
            "unit": self.unit,
            "standing": str(self.standing),
            **{name: finite_or_none(value) for name, value in numbers.items()},
            "p": finite_or_none(self.decision.p),
            "reason": self.decision.reason,
            "n": self.n,
            "n_missing": self.n_planned - self.n,
            "n_diverged": self.n_diverged,
            "unequal": list(self.unequal),
            "cost": {"by": self.cost_by, "ratio": finite_or_none(self.cost_ratio)},
            "minimum_detectable_effect": finite_or_none(self.decision.minimum_detectable_effect),
            "words": self.words,
        }


def finite_or_none(value: float) -> float | None:
    """Return the value, or None if it is not finite."""
    return float(value) if isfinite(value) else None


def compare_headlines(study: StudyRecord, results: pd.DataFrame) -> list[HeadlineComparison]:
    """Return all comparisons of a study's headlines, tested as one family."""
    if results.empty:
        return []
    wide = pivot_results(results)
    seeds = sorted({*study.trials["seed"], *wide.index})
    wide = wide.reindex(seeds)
    units = results.drop_duplicates("metric").set_index("metric")["unit"]
    own_units = results.drop_duplicates(["arm", "metric"]).set_index(["arm", "metric"])["unit"]

    means = wide.mean()
    displays = {
        headline.metric: quantity.display_unit(
            str(units[headline.metric]), means.xs(headline.metric, level="metric").tolist()
        )
        for headline in study.headline
        if headline.metric in units
    }

    def is_comparable(arm: str, metric: str) -> bool:
        return (arm, metric) in wide.columns or has_no_done_trial(study, arm)

    def have_one_unit(arm: str, baseline: str, metric: str) -> bool:
        keys = [key for key in ((arm, metric), (baseline, metric)) if key in own_units]
        return len({own_units[key] for key in keys}) < 2

    pairs = [
        (headline, study.baseline_of(headline), arm)
        for headline in study.headline
        for arm in headline_arms(study, headline)
        if headline.metric in units
        and is_comparable(study.baseline_of(headline), headline.metric)
        and is_comparable(arm, headline.metric)
        and have_one_unit(arm, study.baseline_of(headline), headline.metric)
    ]
    contrasts = [
        Contrast(
            _values(wide, arm, headline.metric),
            _values(wide, baseline, headline.metric),
            headline.direction,
            study.metric_declarations.get(headline.metric, NOTHING_IF_DIVERGED).deterministic,
        )
        for headline, baseline, arm in pairs
    ]
    return [
        _comparison(
            study,
            headline,
            baseline,
            arm,
            contrast,
            decision,
            str(units[headline.metric]),
            displays[headline.metric],
        )
        for (headline, baseline, arm), contrast, decision in zip(
            pairs,
            contrasts,
            decide_standings(contrasts, alpha_at_look(study.n_looks)),
            strict=True,
        )
    ]


def headline_arms(study: StudyRecord, headline: Headline) -> Sequence[str]:
    """Return the arms that a headline compares with its baseline, in the study's order."""
    baseline = study.baseline_of(headline)
    has_own_baseline = baseline != study.baseline
    return [
        arm
        for arm in study.arms
        if arm != baseline
        and arm not in study.controls
        and study.seed_offsets.get(arm, 0) == study.seed_offsets.get(baseline, 0)
        and study.fairness.same_task(arm, baseline)
        and not (has_own_baseline and not study.fairness.same_data(arm, baseline))
    ]


def has_no_done_trial(study: StudyRecord, arm: str) -> bool:
    """Return whether no trial of an arm is done, which may be why a metric has no value.

    The answer names such an arm as undecided.
    """
    mine = study.trials[study.trials["arm"] == arm]
    return bool((mine["status"] != "done").all())


def _values(wide: pd.DataFrame, arm: str, metric: str) -> Floats:
    if (arm, metric) not in wide.columns:
        return np.full(len(wide), np.nan)
    return wide[arm, metric].to_numpy(dtype=float)


def _comparison(
    study: StudyRecord,
    headline: Headline,
    baseline: str,
    arm: str,
    contrast: Contrast,
    decision: Decision,
    unit: str,
    display: DisplayUnit,
) -> HeadlineComparison:
    by, ratio = study.fairness.cost_comparison(arm, baseline)
    baseline_mean = _finite_mean(contrast.baseline)
    return HeadlineComparison(
        headline=headline,
        arm=arm,
        baseline=baseline,
        unit="" if unit == "1" else unit,
        decision=decision,
        n=int(contrast.both_finite.sum()),
        n_planned=len(contrast.arm),
        n_diverged=study.n_diverged(arm),
        unequal=study.fairness.unequal_settings(headline.metric, arm, baseline),
        cost_by=by,
        cost_ratio=ratio,
        cost=study.fairness.format_cost_difference(arm, baseline),
        baseline_mean=baseline_mean if study.starts_at_zero(headline.metric) else nan,
        display=display,
    )


def _finite_mean(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else nan

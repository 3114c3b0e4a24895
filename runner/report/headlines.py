"""The comparisons that the answer is made of: each headline, its baseline, and its other arms.

A/A copies and controls are shown in the tables and compared with nothing here: a copy shares no
seeds with the others, so that nothing is paired, and a control is there to show that the study
could see a difference. A headline with a baseline of its own is about the arms that learn from the
same data as that one.
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


@dataclass(frozen=True)
class HeadlineComparison:
    """One arm beside the baseline of a headline, with all that a sentence about the two says.

    `n` of `n_planned` seeds have both values; `n_diverged` counts the arm's trials that diverged.
    `unequal_settings` holds what differs beside the parts, `cost_by` and `cost_ratio` the cost (1 is equal), `cost_comparison`
    what must be said of it.
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

    @property
    def standing(self) -> Standing:
        """The word for it."""
        return self.decision.standing

    @property
    def has_interval(self) -> bool:
        """Whether the difference has limits; that of counts and that of one seed have none."""
        return self.decision.interval is not None and isfinite(self.decision.interval.low)

    @property
    def difference(self) -> str:
        """The mean difference with its interval, in words."""
        interval = self.decision.interval
        if interval is None:
            return quantity.NO_VALUE
        return quantity.format_mean(*interval, is_difference=True)

    @property
    def caveat(self) -> str:
        """What must follow the word: ", at 24.4 % more parameters; it also differs in ..."."""
        also = (
            f"; it also differs in {format_unequal_settings(self.unequal)}" if self.unequal else ""
        )
        return self.cost + also

    @property
    def words(self) -> str:
        """The word with its reservation: "better, at 24.4 % more parameters"."""
        undecided = self.standing is Standing.undecided
        reason = f" ({self.decision.reason})" if undecided else ""
        return f"{self.standing}{reason}{self.caveat}"

    def to_json(self) -> dict[str, Any]:
        """What answer.json says of it; a number that is not known is None."""
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
            **{name: known(value) for name, value in numbers.items()},
            "p": known(self.decision.p),
            "reason": self.decision.reason,
            "n": self.n,
            "n_missing": self.n_planned - self.n,
            "n_diverged": self.n_diverged,
            "unequal": list(self.unequal),
            "cost": {"by": self.cost_by, "ratio": known(self.cost_ratio)},
            "minimum_detectable_effect": known(self.decision.minimum_detectable_effect),
            "words": self.words,
        }


def known(value: float) -> float | None:
    """The value, or None where it is not finite."""
    return float(value) if isfinite(value) else None


def compare_headlines(study: StudyRecord, results: pd.DataFrame) -> list[HeadlineComparison]:
    """All comparisons of a study's headlines, decided as one family."""
    if results.empty:
        return []
    wide = pivot_results(results)
    seeds = sorted({*study.trials["seed"], *wide.index})
    wide = wide.reindex(seeds)
    units = results.drop_duplicates("metric").set_index("metric")["unit"]

    def there(arm: str, metric: str) -> bool:
        return (arm, metric) in wide.columns or has_no_done_trial(study, arm)

    chosen = [
        (headline, study.baseline_of(headline), arm)
        for headline in study.headline
        for arm in headline_arms(study, headline)
        if headline.metric in units
        and there(study.baseline_of(headline), headline.metric)
        and there(arm, headline.metric)
    ]
    contrasts = [
        Contrast(
            _values(wide, arm, headline.metric),
            _values(wide, baseline, headline.metric),
            headline.direction,
            study.metric_declarations.get(headline.metric, NOTHING_IF_DIVERGED).deterministic,
        )
        for headline, baseline, arm in chosen
    ]
    return [
        _compared(study, headline, baseline, arm, contrast, decision, str(units[headline.metric]))
        for (headline, baseline, arm), contrast, decision in zip(
            chosen,
            contrasts,
            decide_standings(contrasts, alpha_at_look(study.n_looks)),
            strict=True,
        )
    ]


def headline_arms(study: StudyRecord, headline: Headline) -> Sequence[str]:
    """The arms that a headline compares with its baseline, in the study's order."""
    baseline = study.baseline_of(headline)
    own = baseline != study.baseline
    return [
        arm
        for arm in study.arms
        if arm != baseline
        and arm not in study.controls
        and study.seed_offsets.get(arm, 0) == study.seed_offsets.get(baseline, 0)
        and not (own and not study.fairness.same_data(arm, baseline))
    ]


def has_no_done_trial(study: StudyRecord, arm: str) -> bool:
    """Whether no trial of an arm is done, so that a metric it lacks may have been lost by that.

    Such an arm is told, and never left out in silence.
    """
    mine = study.trials[study.trials["arm"] == arm]
    return bool((mine["status"] != "done").all())


def _values(wide: pd.DataFrame, arm: str, metric: str) -> Floats:
    if (arm, metric) not in wide.columns:
        return np.full(len(wide), np.nan)
    return wide[arm, metric].to_numpy(dtype=float)


def _compared(
    study: StudyRecord,
    headline: Headline,
    baseline: str,
    arm: str,
    contrast: Contrast,
    decision: Decision,
    unit: str,
) -> HeadlineComparison:
    by, ratio = study.fairness.cost_comparison(arm, baseline)
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
    )

"""The record of a study: everything that its report is made from."""

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from runner.claims.aa_pairs import find_aa_pairs
from runner.claims.claim import Claim
from runner.claims.fairness import ConditionValue, Fairness
from runner.claims.headline import Headline, reported_metrics
from runner.claims.preconditions import Preconditions
from runner.claims.registration import Registration
from runner.figures.figure import Figure
from runner.metric_names import COST_METRICS, Metric, metric_label
from runner.report.declarations import labels_of
from runner.report.repeated_looks import RepeatedLooks
from runner.wording import quantity

BUDGET_KEYS = frozenset(("training.steps", "training.batch_size"))
"""Keys that are an advantage if larger; they count as differences even if they were tuned."""
CLIPPED_COLUMNS = ["arm", "seed", "metric"]


@dataclass(frozen=True)
class StudyRecord:
    """One finished study.

    results   frame: arm, seed, metric, value, unit; the final values
    history   frame: arm, seed, step, metric, value; the curves
    trials    frame: arm, seed, status, seconds, reused, folder, message; from the trial store also
              code, versions, machine, passes (number of timing passes). status: pending, running,
              untimed (the first of two stages is done), done, diverged, failed or killed. Trials
              that are done or diverged have results
    arms      arm -> its overrides; the order of arms is that of every table and colour
    tables    name -> frame: arm, seed and the columns of the trials' tables/<name>.csv
    hparams   arm -> resolved values, for the HParams table; if empty, the values in `arms`
    costs, interior, tuned, tolerances  facts on arms for claims, as in `Preconditions`
    clipped   frame: arm, seed, metric; substitute values of diverged trials, not measured ones
    setting_notes  those of the notes that are about settings of arms, which a sweep repeats
    controls  control arms, which test the study's sensitivity; the answer does not compare them
    typed     the user's overrides that change training or measurement
    conditions  arm -> key -> value, as in `Fairness.conditions`
    affects   option -> metrics, as in `Fairness.affects`
    metric_declarations  metric -> its declaration, for all metrics of `results`
    preset_tolerance  the preset's `match.tolerance`
    plugins   the plug-ins of the trials: module, package, version, hash of its code
    registrations  claim id -> when it was registered, and whether its results were known then
    samples   whether page and TensorBoard show passages of the data
    looks     the looks at these arms; None for a smoke run
    """

    experiment: str
    question: str
    scale: str
    command: str
    arms: dict[str, list[str]]
    baseline: str
    headline: list[Headline]
    results: pd.DataFrame
    history: pd.DataFrame
    trials: pd.DataFrame
    config_yaml: str
    environment: dict[str, object]
    claims: list[Claim] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    setting_notes: list[str] = field(default_factory=list)
    not_tested: list[str] = field(default_factory=list)
    cost_metrics: list[str] = field(default_factory=lambda: list(COST_METRICS))
    hparams: dict[str, dict[str, float | str | bool]] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    costs: dict[str, dict[str, float]] = field(default_factory=dict)
    interior: dict[str, bool] = field(default_factory=dict)
    tuned: dict[str, str] = field(default_factory=dict)
    tolerances: dict[str, float] = field(default_factory=dict)
    registrations: dict[str, Registration] = field(default_factory=dict)
    looks: RepeatedLooks | None = None
    clipped: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CLIPPED_COLUMNS))
    controls: list[str] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    conditions: dict[str, dict[str, ConditionValue]] = field(default_factory=dict)
    affects: dict[str, tuple[str, ...]] = field(default_factory=dict)
    metric_declarations: dict[str, Metric] = field(default_factory=dict)
    preset_tolerance: float = 0.01
    plugins: list[dict[str, str]] = field(default_factory=list)
    samples: bool = True

    def __post_init__(self) -> None:
        if self.baseline not in self.arms:
            raise ValueError(f"baseline={self.baseline!r}: must be one of {list(self.arms)}")

    @property
    def environment_rows(self) -> list[tuple[str, str]]:
        """The facts on machine, packages and plug-ins, with their names, for the page."""
        plugins = [
            " ".join([each["module"], each["package"], each["version"], f"(code {each['code']})"])
            for each in self.plugins
        ]
        rows = [(key, str(value)) for key, value in self.environment.items()]
        return [*rows, ("plugins", " ".join(", ".join(plugins).split()))] if plugins else rows

    @property
    def metrics(self) -> list[str]:
        """The metrics of headlines and claims, each once."""
        return reported_metrics(self.headline, self.claims)

    def baseline_of(self, headline: Headline) -> str:
        """Return the baseline of a headline; the study's if that arm is absent."""
        return headline.baseline if headline.baseline in self.arms else self.baseline

    @property
    def apart(self) -> list[str]:
        """The second arms of A/A pairs and the control arms, which tables show apart."""
        pairs = self.aa_pairs
        return [arm for arm in self.arms if arm in pairs or arm in self.controls]

    @property
    def settings(self) -> Mapping[str, Mapping[str, float | str | bool]]:
        """The resolved values of each arm; if there are none, the values in its overrides."""
        return self.hparams or {
            arm: {key.lstrip("+"): value for key, _, value in (o.partition("=") for o in overrides)}
            for arm, overrides in self.arms.items()
        }

    @property
    def aa_pairs(self) -> dict[str, str]:
        """The A/A pairs: an arm -> the arm of which it is a repetition under other seeds."""
        settings = self.settings
        return find_aa_pairs({arm: settings.get(arm, {}) for arm in self.arms})

    @property
    def fairness(self) -> Fairness:
        """The conditions and costs of the arms, for statements on fair comparisons."""
        tuned = frozenset(override.partition("=")[0] for override in self.tuned.values())
        tuned = frozenset(key for key in tuned if key.startswith("training.")) - BUDGET_KEYS
        return Fairness(self.conditions, self.affects, self.preset_tolerance, self.costs, tuned)

    @property
    def n_looks(self) -> int:
        """The number of looks at these arms, including this one."""
        return self.looks.number if self.looks else 1

    @property
    def preconditions(self) -> Preconditions:
        """The facts that decide whether a verdict is valid."""
        return Preconditions(
            self.costs,
            interior=self.interior,
            tuned=self.tuned,
            tolerances=self.tolerances,
            fairness=self.fairness,
            aa_pairs=self.aa_pairs,
            seed_offsets=self.seed_offsets,
        )

    @property
    def seed_offsets(self) -> dict[str, int]:
        """The seed offset of each arm; arms of one offset share their seeds."""
        return {arm: int(float(v.get("seed_offset", 0))) for arm, v in self.settings.items()}

    def n_diverged(self, arm: str) -> int:
        """Return the number of an arm's trials that diverged."""
        mine = self.trials[self.trials["arm"] == arm]
        return int((mine["status"] == "diverged").sum())

    def value_unit(self, metric: str, unit: str) -> str:
        """Return the unit to print an arm's value in, where arms are not compared.

        It is the recorded unit. A metric that is declared as a share is printed in percent.
        """
        declared = self.metric_declarations.get(metric)
        is_share = declared is not None and (declared.lowest, declared.highest) == (0, 1)
        return quantity.SHARE if is_share and unit in quantity.PURE_NUMBERS else unit

    def starts_at_zero(self, metric: str) -> bool:
        """Return whether no value of a metric is below 0, so that a share of a value has a sense.

        It is unknown for a metric without a declaration, and then assumed.
        """
        declared = self.metric_declarations.get(metric)
        return declared is None or declared.lowest >= 0

    def possible_interval(self, metric: str, low: float, high: float) -> tuple[float, float]:
        """Return the part of a mean's interval that lies within the declared limits of a metric."""
        declared = self.metric_declarations.get(metric)
        if declared is None:
            return low, high
        possible = np.clip((low, high), declared.lowest, declared.highest)
        return float(possible[0]), float(possible[1])

    def label(self, metric: str) -> str:
        """Return a metric or template in words: a headline's own label, or its declaration's."""
        own = (h.label for h in self.headline if h.metric == metric)
        return next(own, "") or metric_label(metric, self._labels)

    @functools.cached_property
    def _labels(self) -> dict[str, Metric]:
        return labels_of(self.metric_declarations)

    def in_words(self, text: str, metrics: Iterable[str]) -> str:
        """Return a text in which these names of metrics or templates stand as words.

        A part of a longer name or word stays as it is.
        """
        names = sorted({*metrics} - {""}, key=len, reverse=True)
        if not names:
            return text
        pattern = rf"(?<![\w/])(?:{'|'.join(map(re.escape, names))})(?![\w/])"
        return re.sub(pattern, lambda match: self.label(match[0]), text)

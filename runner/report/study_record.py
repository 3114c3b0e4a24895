"""What a report is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from runner.claims.aa_pairs import find_aa_pairs
from runner.claims.claim import Claim
from runner.claims.fairness import ConditionValue, Fairness
from runner.claims.headline import Headline
from runner.claims.preconditions import Preconditions
from runner.claims.registration import Registration
from runner.figures.figure import Figure
from runner.metric_names import COST_METRICS, Metric
from runner.report.repeated_looks import RepeatedLooks

# Tuned or not, an arm that has more of these gains by it.
SPENT = frozenset(("training.steps", "training.batch_size"))
CLIPPED_COLUMNS = ["arm", "seed", "metric"]


@dataclass(frozen=True)
class StudyRecord:
    """One finished study; the frames are as the engine gathers them.

    results  arm, seed, metric, value, unit (final values)
    history  arm, seed, step, metric, value
    trials   arm, seed, status, seconds, reused, folder, message; from the engine also code, digest
             (of result.json), versions, machine, passes (how often it was timed). status: pending,
             running, untimed (its first of two stages is done), done, diverged, failed or killed;
             done and diverged have results
    arms     what one types for each arm, in the order of every table and colour
    tables   name -> arm, seed and the columns of what each trial keeps in tables/<name>.csv
    hparams  resolved values per arm for the HParams table; without them overrides are split at `=`
    costs, interior, tuned, tolerances  as in `preconditions.Rig`: what claims must know of arms
    clipped  arm, seed, metric: final values that stand for a diverged trial and were not measured
    controls    arms that show that the study could see a difference; the answer compares them not
    typed       what was typed and changes what is trained or measured
    conditions  arm -> key -> value, as in `Fairness.conditions`
    affects     option -> metrics, as in `Fairness.affects`
    declared    metric -> its declaration, for all metrics of `results`
    preset_tolerance  the preset's `match.tolerance`
    registrations  claim id -> when it was written down, and whether its results were known then
    looks    how often these arms were looked at; None for a smoke run
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

    def __post_init__(self) -> None:
        if self.baseline not in self.arms:
            raise ValueError(f"baseline={self.baseline!r} is no arm; arms are {list(self.arms)}")

    @property
    def metrics(self) -> list[str]:
        """Headline and claim metrics, each once."""
        of_claims = [metric for claim in self.claims for metric in claim.metrics]
        return list(dict.fromkeys([*(h.metric for h in self.headline), *of_claims]))

    def baseline_of(self, headline: Headline) -> str:
        """The arm that a headline's metric is compared with; the study's where that is absent."""
        return headline.baseline if headline.baseline in self.arms else self.baseline

    @property
    def settings(self) -> Mapping[str, Mapping[str, float | str | bool]]:
        """The resolved values of each arm, or what its overrides say where no others are known."""
        return self.hparams or {
            arm: {key.lstrip("+"): value for key, _, value in (o.partition("=") for o in overrides)}
            for arm, overrides in self.arms.items()
        }

    @property
    def aa_pairs(self) -> dict[str, str]:
        """The A/A pairs: for each arm that is another once more under other seeds, that other."""
        settings = self.settings
        return find_aa_pairs({arm: settings.get(arm, {}) for arm in self.arms})

    @property
    def fairness(self) -> Fairness:
        """What arms differ in beside their parts, and what they cost."""
        tuned = frozenset(override.partition("=")[0] for override in self.tuned.values())
        tuned = frozenset(key for key in tuned if key.startswith("training.")) - SPENT
        return Fairness(self.conditions, self.affects, self.preset_tolerance, self.costs, tuned)

    @property
    def n_looks(self) -> int:
        """How often these arms have been looked at, this time included."""
        return self.looks.number if self.looks else 1

    @property
    def preconditions(self) -> Preconditions:
        """What verdicts need to know beside the values."""
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
        """How far the seeds of each arm are shifted; arms of one offset share their seeds."""
        return {arm: int(float(v.get("seed_offset", 0))) for arm, v in self.settings.items()}

    def n_diverged(self, arm: str) -> int:
        """How many of an arm's trials diverged."""
        mine = self.trials[self.trials["arm"] == arm]
        return int((mine["status"] == "diverged").sum())

    def label(self, metric: str) -> str:
        """A headline's label, or the metric's own name."""
        return next((h.label for h in self.headline if h.metric == metric), metric)

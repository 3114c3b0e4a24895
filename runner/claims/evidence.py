"""Final values, curves and states of trials, looked up by arm and seed.

Seeds do not include `seed_offset`: an A/A pair is paired by the seed before the offset is added.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from runner.claims.curves import TrialCurve, TrialCurves
from runner.metric_names import placeholders, template_pattern
from runner.stats.intervals import Floats, Interval, mean_interval
from runner.wording.names import name_hint

if TYPE_CHECKING:
    from pandas import DataFrame

HEALTHY = {"done", "no status"}


class InvalidClaimError(Exception):
    """The reason why the records cannot decide a claim."""


@dataclass(frozen=True)
class SeedValues:
    """A number for each seed and column, the first seeds first.

    The first `n` rows decide the claim and are finite; `n_clipped` of their numbers are substitutes
    for diverged trials.
    """

    values: Floats  # (seeds, columns)
    seeds: tuple[int, ...]
    n: int
    n_clipped: int = 0

    @property
    def deciding_values(self) -> Floats:
        """The first n rows, which decide the claim: (n, columns)."""
        return self.values[: self.n]

    def differences(self, times: float = 1.0) -> Floats:
        """Return the first column minus `times` x the second, for every seed."""
        return np.asarray(self.values[:, 0] - times * self.values[:, 1])

    def interval_over_all_seeds(self, numbers: Floats, confidence: float) -> Interval | None:
        """Return the interval over all seeds; None if there are only n or a value is missing."""
        if len(numbers) == self.n or not np.isfinite(numbers).all():
            return None
        return mean_interval(numbers, confidence)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes of a verdict on the substitute values of diverged trials."""
        if not self.n_clipped:
            return ()
        values = (
            "value replaces that of a diverged trial"
            if self.n_clipped == 1
            else "values replace those of diverged trials"
        )
        return (f"{self.n_clipped} {values}: the value before training, or the declared worst",)


class Evidence:
    """Final values, curves and states of trials, from the tables of the report.

    results        columns arm, seed, metric, value, unit
    trials         columns arm, seed, status; optionally passes
    clipped        columns arm, seed, metric: values that replace those of diverged trials
    history        columns arm, seed, step, metric, value: the curves
    timing_passes  arm -> seed -> number of timing passes, for trials that were timed
    """

    def __init__(
        self,
        results: "DataFrame",
        trials: "DataFrame",
        clipped: "DataFrame | None" = None,
        history: "DataFrame | None" = None,
    ) -> None:
        self._curves = TrialCurves(history)
        rows = (
            () if clipped is None else zip(clipped.arm, clipped.seed, clipped.metric, strict=True)
        )
        self.clipped = set(rows)
        self.values: dict[tuple[str, str], dict[int, float]] = {}
        self.states: dict[str, dict[int, str]] = {}
        for arm, seed, status in zip(trials.arm, trials.seed, trials.status, strict=True):
            self.states.setdefault(arm, {})[seed] = str(status)
        self.timing_passes: dict[str, dict[int, int]] = {}
        if "passes" in trials:
            for arm, seed, passes in zip(trials.arm, trials.seed, trials.passes, strict=True):
                if np.isfinite(passes) and passes:
                    self.timing_passes.setdefault(arm, {})[seed] = int(passes)
        # Lists, since pandas takes long to give out its texts one by one.
        columns = ("arm", "seed", "metric", "value", "unit")
        arms, seeds, metrics, values, units = (results[name].tolist() for name in columns)
        for arm, seed, metric, value in zip(arms, seeds, metrics, values, strict=True):
            by_seed = self.values.setdefault((arm, metric), {})
            if seed in by_seed:
                raise ValueError(f"Results hold {metric!r} of {arm!r}, seed {seed}, twice.")
            by_seed[seed] = value
            self.states.setdefault(arm, {}).setdefault(seed, "no status")
        self.units = dict(zip(metrics, units, strict=True))
        self.arm_units = dict(zip(zip(arms, metrics, strict=True), units, strict=True))

    def unit(self, metric: str) -> str:
        """Return the unit of a metric, or of the metrics of a template; "" for a pure number."""
        if placeholders(metric):
            pattern = template_pattern(metric)
            metric = next((known for known in self.units if pattern.fullmatch(known)), metric)
        unit = str(self.units.get(metric, ""))
        return "" if unit == "1" else unit

    def common_seeds(self, arms: Sequence[str]) -> list[int]:
        """Return the seeds of which all these arms have a trial, in order.

        Raises:
            InvalidClaimError: an arm does not exist.
        """
        for arm in arms:
            if arm not in self.states:
                raise InvalidClaimError(f"there is no arm {arm!r}; {name_hint(arm, self.states)}")
        return sorted(set.intersection(*(set(self.states[arm]) for arm in arms)))

    def seed_values(self, columns: Sequence[tuple[str, str]], n: int) -> SeedValues:
        """Return the values of each (arm, metric) by seed.

        A trial without a value is an error: no later seed replaces it.

        Raises:
            InvalidClaimError: arms, metrics, seeds or values are missing, or two arms have a metric
                in different units.
        """
        self.check_units(columns)
        seeds = self.common_seeds([arm for arm, _ in columns])
        for arm, metric in columns:
            if (arm, metric) not in self.values and HEALTHY & set(self.states[arm].values()):
                known = [m for a, m in self.values if a == arm]
                raise InvalidClaimError(
                    f"arm {arm!r} has no metric {metric!r}; {name_hint(metric, known)}"
                )
        values = np.array([[self.value(a, m, seed) for a, m in columns] for seed in seeds])
        missing = {
            f"{columns[j][0]} seed {seeds[i]} ({self.states[columns[j][0]][seeds[i]]})": columns[j][
                1
            ]
            for j, i in np.argwhere(~np.isfinite(values[:n].T))
        }
        if missing:
            metric = next(iter(missing.values()))
            raise InvalidClaimError(f"trials without a finite {metric}: {', '.join(missing)}")
        self.check_enough_seeds(seeds, n)
        n_clipped = len({(a, s, m) for a, m in columns for s in seeds[:n]} & self.clipped)
        return SeedValues(values, tuple(seeds), n, n_clipped)

    def score_seeds(
        self, arms: Sequence[str], n: int, score: Callable[[str, int], float]
    ) -> SeedValues:
        """Return a score of each arm and seed; NaN where a seed after the first `n` has none.

        Raises:
            InvalidClaimError: an arm does not exist, seeds are missing, or a deciding trial has no
                score.
        """
        seeds = self.common_seeds(arms)
        values = np.full((len(seeds), len(arms)), np.nan)
        for i, seed in enumerate(seeds):
            for j, arm in enumerate(arms):
                try:
                    values[i, j] = score(arm, seed)
                except InvalidClaimError:
                    if i < n:
                        raise
        self.check_enough_seeds(seeds, n)
        return SeedValues(values, tuple(seeds), n)

    def check_units(self, columns: Sequence[tuple[str, str]]) -> None:
        """Raise InvalidClaimError where two columns (arm, metric) have a metric in two units."""
        for metric in dict.fromkeys(metric for _, metric in columns):
            units = {
                str(self.arm_units[arm, metric]): arm
                for arm, name in columns
                if name == metric and (arm, metric) in self.arm_units
            }
            if len(units) > 1:
                text = ", ".join(f"{unit} of {arm!r}" for unit, arm in units.items())
                raise InvalidClaimError(f"{metric} has different units: {text}")

    def value(self, arm: str, metric: str, seed: int) -> float:
        """Return one final value, NaN if there is none."""
        return float(self.values.get((arm, metric), {}).get(seed, np.nan))

    def finished_curve(self, arm: str, metric: str, seed: int) -> TrialCurve:
        """Return the curve of a trial that trained to its end.

        Raises:
            InvalidClaimError: the trial diverged or has no result, or it has no such curve.
        """
        state = self.states.get(arm, {}).get(seed, "missing")
        curve = self._curves.curve(arm, metric, seed)
        if state not in HEALTHY:
            raise InvalidClaimError(f"trials without a whole curve: {arm} seed {seed} ({state})")
        if curve is None:
            raise InvalidClaimError(f"{arm} seed {seed} has no curve of {metric!r}")
        return curve

    def find_metrics(self, arm: str, template: str) -> dict[str, dict[str, str]]:
        """Return the arm's metrics that match a template, with the values of its placeholders.

        Raises:
            InvalidClaimError: no metric matches, or the arm does not exist.
        """
        self.common_seeds([arm])
        pattern = template_pattern(template)
        matches = {m: pattern.fullmatch(m) for a, m in self.values if a == arm}
        metrics = {metric: match.groupdict() for metric, match in matches.items() if match}
        if not metrics:
            raise InvalidClaimError(f"arm {arm!r} has no metric like {template!r}")
        return metrics

    @staticmethod
    def check_enough_seeds(seeds: Sequence[int], n: int) -> None:
        """Raise InvalidClaimError if there are fewer than `n` seeds."""
        if len(seeds) < n:
            raise InvalidClaimError(f"too few seeds ({len(seeds)} of {n})")

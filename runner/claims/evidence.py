"""Final values and states of trials, looked up by arm and seed.

Seeds are the nominal ones: an A/A arm with a seed offset is paired by the seed before the offset.
Tables are the report's: results (arm, seed, metric, value, unit) and trials (arm, seed, status).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from runner.metric_names import placeholders, template_pattern
from runner.stats.intervals import Floats, Interval, mean_interval
from runner.wording.names import name_hint

if TYPE_CHECKING:
    from pandas import DataFrame

HEALTHY = {"done", "no status"}


class InvalidClaimError(Exception):
    """Why the records cannot decide a claim."""


@dataclass(frozen=True)
class SeedValues:
    """A number for each seed and column, first seeds first; the first `n` decide and are finite."""

    values: Floats  # (seeds, columns)
    seeds: tuple[int, ...]
    n: int
    n_clipped: int = 0

    @property
    def deciding_values(self) -> Floats:
        """The rows that decide, (n, columns)."""
        return self.values[: self.n]

    def differences(self, times: float = 1.0) -> Floats:
        """First column minus `times` the second, for every seed."""
        return np.asarray(self.values[:, 0] - times * self.values[:, 1])

    def interval_over_all_seeds(self, numbers: Floats, confidence: float) -> Interval | None:
        """The estimate over more seeds; None without more or if one of them lacks its value."""
        if len(numbers) == self.n or not np.isfinite(numbers).all():
            return None
        return mean_interval(numbers, confidence)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of values that stand for trials that diverged."""
        if not self.n_clipped:
            return ()
        stand = "value stands" if self.n_clipped == 1 else "values stand"
        return (f"{self.n_clipped} {stand} for diverged trials: where they started, or the worst",)


class Evidence:
    """Final values and states of trials; `clipped` lists values that were not measured.

    `timing_passes` holds how often a trial was timed, arm -> seed -> number, where the table says so.
    """

    def __init__(
        self,
        results: "DataFrame",
        trials: "DataFrame",
        clipped: "DataFrame | None" = None,
    ) -> None:
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
        columns = (results.arm, results.seed, results.metric, results.value)
        for arm, seed, metric, value in zip(*columns, strict=True):
            by_seed = self.values.setdefault((arm, metric), {})
            if seed in by_seed:
                raise ValueError(f"Results hold {metric!r} of {arm!r}, seed {seed}, twice.")
            by_seed[seed] = value
            self.states.setdefault(arm, {}).setdefault(seed, "no status")
        self.units = dict(zip(results.metric, results.unit, strict=True))

    def unit(self, metric: str) -> str:
        """The unit of a metric, or of those that match a template; "" for a pure number."""
        if placeholders(metric):
            form = template_pattern(metric)
            metric = next((known for known in self.units if form.fullmatch(known)), metric)
        unit = str(self.units.get(metric, ""))
        return "" if unit == "1" else unit

    def common_seeds(self, arms: Sequence[str]) -> list[int]:
        """The seeds that all these arms have a trial of, in order."""
        for arm in arms:
            if arm not in self.states:
                raise InvalidClaimError(f"there is no arm {arm!r}; {name_hint(arm, self.states)}")
        return sorted(set.intersection(*(set(self.states[arm]) for arm in arms)))

    def seed_values(self, columns: Sequence[tuple[str, str]], n: int) -> SeedValues:
        """Values of (arm, metric) by seed. A trial without one is never skipped for a later seed.

        Raises InvalidClaimError for arms, metrics or values that are not there.
        """
        seeds = self.common_seeds([arm for arm, _ in columns])
        for arm, metric in columns:
            if (arm, metric) not in self.values and HEALTHY & set(self.states[arm].values()):
                known = [m for a, m in self.values if a == arm]
                raise InvalidClaimError(
                    f"arm {arm!r} has no metric {metric!r}; {name_hint(metric, known)}"
                )
        values = np.array([[self.value(a, m, seed) for a, m in columns] for seed in seeds])
        lacking = {
            f"{columns[j][0]} seed {seeds[i]} ({self.states[columns[j][0]][seeds[i]]})": columns[j][
                1
            ]
            for j, i in np.argwhere(~np.isfinite(values[:n].T))
        }
        if lacking:
            metric = next(iter(lacking.values()))
            raise InvalidClaimError(f"trials without a finite {metric}: {', '.join(lacking)}")
        self.check_enough_seeds(seeds, n)
        n_clipped = len({(a, s, m) for a, m in columns for s in seeds[:n]} & self.clipped)
        return SeedValues(values, tuple(seeds), n, n_clipped)

    def value(self, arm: str, metric: str, seed: int) -> float:
        """One final value; NaN where there is none."""
        return float(self.values.get((arm, metric), {}).get(seed, np.nan))

    def find_metrics(self, arm: str, template: str) -> dict[str, dict[str, str]]:
        """The arm's metrics that match a template, with the values of its placeholders."""
        self.common_seeds([arm])
        form = template_pattern(template)
        found = {m: form.fullmatch(m) for a, m in self.values if a == arm}
        matches = {metric: match.groupdict() for metric, match in found.items() if match}
        if not matches:
            raise InvalidClaimError(f"arm {arm!r} has no metric like {template!r}")
        return matches

    @staticmethod
    def check_enough_seeds(seeds: Sequence[int], n: int) -> None:
        """Refuse fewer seeds than the claim names."""
        if len(seeds) < n:
            raise InvalidClaimError(f"too few seeds ({len(seeds)} of {n})")

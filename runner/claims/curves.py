"""The logged curves of trials: their points, slope in a window, and value between points."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from runner.stats.intervals import Floats, fit_slopes

if TYPE_CHECKING:
    from pandas import DataFrame


Key = tuple[str, int]  # arm and seed
COLUMNS = ("arm", "seed", "step", "value")


@dataclass(frozen=True)
class TrialCurve:
    """The logged points of one metric of one trial, in ascending order of steps.

    Attributes:
        steps: the steps, each once.
        values: the value at each step; some may not be finite.
        last_step: the last step at which the trial logged any metric, where its training ended.
    """

    steps: Floats
    values: Floats
    last_step: float

    def between(self, start: float, end: float) -> tuple[Floats, Floats]:
        """Return the steps and values of the points between two shares of the training."""
        chosen = (self.steps >= start * self.last_step) & (self.steps <= end * self.last_step)
        return self.steps[chosen], self.values[chosen]

    def value_at(self, step: float) -> float:
        """Return the value at a step, on the straight line between the points around it.

        NaN outside the logged steps, and where a point around it is not finite.
        """
        if not len(self.steps) or not self.steps[0] <= step <= self.steps[-1]:
            return float("nan")
        after = int(np.searchsorted(self.steps, step))
        if self.steps[after] == step:
            return float(self.values[after])
        x0, x1 = self.steps[after - 1], self.steps[after]
        y0, y1 = self.values[after - 1], self.values[after]
        with np.errstate(invalid="ignore"):
            return float(y0 + (y1 - y0) * (step - x0) / (x1 - x0))


class TrialCurves:
    """The curves of a study's trials, from a frame with arm, seed, step, metric, value.

    Only the metrics that a claim asks for are indexed.
    """

    def __init__(self, history: "DataFrame | None") -> None:
        self._history = history
        self._by_metric: dict[str, dict[Key, TrialCurve]] = {}
        self._rows: dict[str, Any] = {}  # metric -> positions of its rows
        self._last_steps: dict[Key, float] = {}

    def curve(self, arm: str, metric: str, seed: int) -> TrialCurve | None:
        """Return the curve of a trial; None if it has no point."""
        if metric not in self._by_metric:
            self._by_metric[metric] = self._index(metric)
        return self._by_metric[metric].get((arm, seed))

    def _index(self, metric: str) -> dict[Key, TrialCurve]:
        if self._history is None or not len(self._history):
            return {}
        if not self._rows:
            groups = self._history.groupby("metric", sort=False).indices
            self._rows = {str(name): positions for name, positions in groups.items()}
            last = self._history.groupby(["arm", "seed"], sort=False)["step"].max()
            self._last_steps = {cast("Key", key): float(step) for key, step in last.items()}
        if metric not in self._rows:
            return {}
        rows = self._rows[metric]
        points: dict[Key, dict[float, float]] = {}
        columns = (self._history[name].to_numpy()[rows].tolist() for name in COLUMNS)
        for arm, seed, step, value in zip(*columns, strict=True):
            # A point that was logged twice counts once, with its last value.
            points.setdefault((arm, seed), {})[step] = value
        return {
            key: TrialCurve(
                np.array(sorted(by_step), dtype=float),
                np.array([by_step[step] for step in sorted(by_step)], dtype=float),
                self._last_steps[key],
            )
            for key, by_step in points.items()
        }


def window_slope(steps: Floats, values: Floats, *, logarithmic: bool) -> float:
    """Return the least-squares slope of values over steps, or over their natural logarithms."""
    return float(fit_slopes(np.log(steps) if logarithmic else steps, values[None])[0])

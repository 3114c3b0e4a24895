"""The record of a sweep: everything that its page is made from, on disk in the sweep's folder."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

RECORD_FILE = "sweep.json"
RESULT_COLUMNS = ["arm", "metric", "unit", "n", "mean", "low", "high"]
VALUE_COLUMNS = ["point", "arm", "seed", "metric", "value"]
COMPARISON_TEXTS = [
    *("arm", "baseline", "metric", "experiment"),
    *("standing", "sweep_standing", "words"),
]
COMPARISON_NUMBERS = [
    *("n", "n_looks", "difference", "low", "high"),
    *("p", "p_sign_flip", "p_holm", "p_sweep"),
]
KEY_PREFIX = "swept "
"""Before the name of a swept key that is also the name of another column, such as arm."""
FORMAT = 1


@dataclass(frozen=True)
class PointRecord:
    """One point of a sweep.

    Attributes:
        number: its place in the sweep, from 1.
        name: the name that a YAML file gives it; otherwise "".
        settings: swept key -> value.
        overrides: the overrides of its study, as typed.
        state: done, failed, refused or not run.
        exit_code: the exit code of a command with only this point.
        message: what went wrong, in words.
        log: the log of the first failed trial, relative to the folder of outputs.
        run: the run folder with its report, relative to the folder of outputs; "" without one.
        experiment: the name of the question.
        n_looks: the number of looks at its arms.
    """

    number: int
    name: str
    settings: Mapping[str, Any]
    overrides: tuple[str, ...]
    state: str
    exit_code: int
    message: str = ""
    log: str = ""
    run: str = ""
    experiment: str = ""
    n_looks: int = 1


@dataclass(frozen=True)
class SweepHeadline:
    """A headline metric of one experiment of the sweep.

    Attributes:
        arms: the arms with this metric, in the study's order, without A/A pairs and controls.
        baseline: the arm that the others are compared with.
        lowest, highest: the limits of possible values, for intervals; None is no limit.
    """

    experiment: str
    metric: str
    label: str
    direction: str
    baseline: str
    unit: str
    arms: tuple[str, ...]
    lowest: float | None = None
    highest: float | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest possible value."""
        low, high = self.lowest, self.highest
        return -math.inf if low is None else low, math.inf if high is None else high


@dataclass(frozen=True)
class SweepRecord:
    """One finished sweep.

    Attributes:
        command: the command of the sweep.
        title: the title of the page: that of a sweep in YAML, or the question.
        scale: the scale of the points; several are joined by commas.
        keys: the swept keys.
        headlines: the headline metrics of all points.
        notes: lines on the sweep, and on settings of its points that some arms lack.
        results: a row per point, arm and metric: columns point, `RESULT_COLUMNS`.
        comparison: a row per comparison of a headline: the columns of a run's comparison.csv, and
            point, n_looks, p_holm, p_sweep and sweep_standing.
        values: a row per point, arm, seed and headline metric: `VALUE_COLUMNS`.
        verdicts: a mapping per claim and point: the entry of verdicts.json, with `point`.
        lines: sentences on the family of tests.
    """

    command: str
    title: str
    scale: str
    keys: tuple[str, ...]
    points: tuple[PointRecord, ...]
    headlines: tuple[SweepHeadline, ...]
    results: pd.DataFrame
    comparison: pd.DataFrame
    values: pd.DataFrame
    verdicts: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    lines: tuple[str, ...] = field(default=())

    @property
    def is_smoke(self) -> bool:
        """Whether all points are smoke runs, which are no evidence."""
        return self.scale == "smoke"

    def label(self, headline: SweepHeadline) -> str:
        """Return the name of a headline, with its experiment if the sweep has several."""
        several = len({one.experiment for one in self.headlines}) > 1
        return f"{headline.label} in {headline.experiment}" if several else headline.label

    @property
    def reported(self) -> list[PointRecord]:
        """The points that have a report."""
        return [point for point in self.points if point.run]

    @property
    def failed(self) -> list[PointRecord]:
        """The points that failed, were refused or did not run."""
        return [point for point in self.points if point.state != "done"]

    def point(self, number: int) -> PointRecord:
        """Return a point by its number."""
        return self.points[number - 1]

"""Collect the record of a sweep from the run folders of its points; nothing is computed again."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runner.claims.aa_pairs import find_aa_pairs
from runner.claims.headline import Headline
from runner.config import ConfigError, Scale
from runner.metric_names import NOTHING_IF_DIVERGED
from runner.plan.report_spec import ReportSpec
from runner.report import declarations, untrusted_run
from runner.report.run_folder import CONFIG_FILE
from runner.stats.comparison import pivot_results, summarise_arms
from runner.sweeps.family import correct_over_points
from runner.sweeps.outcomes import PointOutcome
from runner.sweeps.record import (
    COMPARISON_NUMBERS,
    COMPARISON_TEXTS,
    RESULT_COLUMNS,
    VALUE_COLUMNS,
    PointRecord,
    SweepHeadline,
    SweepRecord,
)
from runner.sweeps.wording import name_points
from runner.wording.names import format_count
from runner.wording.output import describe_error, truncate_middle
from runner.wording.phrases import join_with_and

READ_ERRORS = (ConfigError, OSError, ValueError, KeyError, TypeError, AttributeError)
"""The errors of a run folder that is damaged, or was deleted since its report."""


class RunFiles:
    """The files of one run, as a sweep's record needs them."""

    def __init__(self, folder: Path) -> None:
        self.summary = untrusted_run.read_summary(folder)
        text = untrusted_run.read_run_file(folder, CONFIG_FILE).decode("utf-8", "replace")
        self.outline: ReportSpec = untrusted_run.read_outline(folder, text)
        self.results = untrusted_run.read_results(folder, self.summary)
        # Only the rows of headlines have a standing.
        rows = pd.read_csv(folder / "comparison.csv", keep_default_na=False, na_values=[""])
        self.comparison = rows[rows["standing"].notna()]
        self.verdicts: list[dict[str, Any]] = json.loads(
            (folder / "verdicts.json").read_text(encoding="utf-8")
        )

    @property
    def experiment(self) -> str:
        """The name of the question."""
        return str(self.summary["experiment"])

    @property
    def n_looks(self) -> int:
        """The number of looks at the arms of the run."""
        looks = self.summary["looks"]
        return int(looks["number"]) if looks else 1

    @property
    def arms(self) -> list[str]:
        """The arms in the study's order, without A/A pairs and controls."""
        trials = dict.fromkeys(row["arm"] for row in self.summary["trials"])
        settings = {arm: self.summary["hparams"].get(arm, {}) for arm in trials}
        apart = {*find_aa_pairs(settings), *self.summary["controls"]}
        return [arm for arm in trials if arm not in apart]

    def headlines(self) -> list[SweepHeadline]:
        """Return the headline metrics that the run has values of."""
        return [one for headline in self.outline.headline if (one := self._headline(headline)).arms]

    def _headline(self, headline: Headline) -> SweepHeadline:
        rows = self.results[self.results["metric"] == headline.metric]
        known = {*rows["arm"]}
        own = headline.baseline
        baseline = str(own if own in self.summary["arms"] else self.summary["baseline"])
        units = rows["unit"].unique()
        declared = declarations.metrics_of(self.summary, rows)
        limits = declared.get(headline.metric, NOTHING_IF_DIVERGED)
        return SweepHeadline(
            experiment=self.experiment,
            metric=headline.metric,
            label=headline.label,
            direction=headline.direction,
            unit=str(units[0]) if len(units) else "",
            baseline=baseline,
            arms=tuple(arm for arm in self.arms if arm in known),
            lowest=limits.lowest if math.isfinite(limits.lowest) else None,
            highest=limits.highest if math.isfinite(limits.highest) else None,
        )


def collect_sweep(
    outcomes: Sequence[PointOutcome],
    *,
    outputs: Path,
    title: str,
    command: str,
    notes: Sequence[str],
) -> SweepRecord:
    """Return the record of a sweep from the run folders of its points.

    A point whose run folder is damaged counts as failed.

    Raises:
        ConfigError: no run folder can be read.
    """
    points, runs, damages = [], {}, []
    for number, one in enumerate(outcomes, 1):
        fault = ""
        if one.outcome.folder:
            try:
                runs[number] = RunFiles(Path(one.outcome.folder))
            except READ_ERRORS as error:
                reason = str(error) if isinstance(error, ConfigError) else describe_error(error)
                fault = f"its report cannot be read ({truncate_middle(reason, 200)})"
                damages.append(f"Point {number} is left out: {fault}.")
        points.append(
            PointRecord(
                number=number,
                name=one.point.name,
                settings=one.point.settings,
                overrides=one.point.overrides,
                state="failed" if fault else one.outcome.state,
                exit_code=1 if fault else one.outcome.exit_code,
                message=fault or one.outcome.message,
                log=relative_path(one.outcome.log, outputs),
                run="" if fault else relative_path(one.outcome.folder, outputs),
                experiment=one.outcome.experiment,
                n_looks=runs[number].n_looks if number in runs else 1,
            )
        )
    if not runs:
        raise ConfigError(" ".join(damages) or "no point has a report")
    keys = dict.fromkeys(key for point in points for key in point.settings)
    headlines = merge_headlines([one for run in runs.values() for one in run.headlines()])
    judged, smoke_notes = leave_out_smoke_runs(runs)
    comparison = _comparisons(judged)
    family = correct_over_points(comparison, _differences(runs, comparison))
    over = f"A sweep over {join_with_and([*keys]) or 'several studies'}"
    questions = dict.fromkeys(run.outline.question for run in runs.values())
    setting_notes = notes_of_points(
        [(points[i - 1], run.summary.get("setting_notes", [])) for i, run in runs.items()]
    )
    return SweepRecord(
        command=command,
        title=title or (next(iter(questions)) if len(questions) == 1 else over),
        scale=", ".join(dict.fromkeys(run.outline.scale for run in runs.values())),
        keys=tuple(keys),
        points=tuple(points),
        headlines=tuple(headlines),
        results=_results(runs),
        comparison=family.comparison,
        values=_values(runs, headlines),
        verdicts=tuple(
            {"point": number, **verdict} for number, run in runs.items() for verdict in run.verdicts
        ),
        notes=(*notes, *damages, *smoke_notes, *setting_notes),
        lines=tuple(family.sentences),
    )


def notes_of_points(notes: Sequence[tuple[PointRecord, Sequence[str]]]) -> list[str]:
    """Return the notes of all points, each once; one that is not of all points names its points."""
    points_of: dict[str, list[PointRecord]] = {}
    for point, own in notes:
        for note in dict.fromkeys(own):
            points_of.setdefault(note, []).append(point)
    return [
        note if len(points) == len(notes) else f"{note} ({name_points(points, len(notes))})"
        for note, points in points_of.items()
    ]


def leave_out_smoke_runs(
    runs: Mapping[int, RunFiles],
) -> tuple[Mapping[int, RunFiles], list[str]]:
    """Return the runs whose comparisons count, and a note if smoke runs are left out.

    If all are smoke runs, all are returned: then the page says that they are no evidence.
    """
    judged = {i: run for i, run in runs.items() if run.outline.scale != Scale.smoke}
    if len(judged) in (0, len(runs)):
        return runs, []
    points = format_count(len(runs) - len(judged), "point")
    return judged, [
        f"The arms of {points} are not compared, because scale=smoke is no evidence for or "
        "against any arm."
    ]


def relative_path(path: str, outputs: Path) -> str:
    """Return a path relative to the folder of outputs; "" stays."""
    return os.path.relpath(path, outputs.absolute()) if path else ""


def merge_headlines(headlines: Sequence[SweepHeadline]) -> list[SweepHeadline]:
    """Return the headlines of all points, each once, with the arms and the limits of any point."""
    merged: dict[SweepHeadline, list[SweepHeadline]] = {}
    for one in headlines:
        key = dataclasses.replace(one, arms=(), lowest=None, highest=None)
        merged.setdefault(key, []).append(one)
    return [
        dataclasses.replace(
            key,
            arms=tuple(dict.fromkeys(arm for one in same for arm in one.arms)),
            lowest=_widest([one.lowest for one in same], min),
            highest=_widest([one.highest for one in same], max),
        )
        for key, same in merged.items()
    ]


def _widest(limits: Sequence[float | None], choose: Callable[[list[float]], float]) -> float | None:
    """Return the limit that holds at all points; None, no limit, if one point has none."""
    known = [limit for limit in limits if limit is not None]
    return choose(known) if len(known) == len(limits) else None


def _comparisons(runs: Mapping[int, RunFiles]) -> pd.DataFrame:
    tables = [
        run.comparison.assign(point=number, experiment=run.experiment, n_looks=run.n_looks)
        for number, run in runs.items()
        if len(run.comparison)
    ]
    return (
        pd.concat(tables, ignore_index=True)
        if tables
        else pd.DataFrame(columns=["point", *COMPARISON_TEXTS, *COMPARISON_NUMBERS])
    )


def _differences(runs: Mapping[int, RunFiles], comparison: pd.DataFrame) -> list[pd.Series | None]:
    """Return the paired differences of each comparison by seed.

    They are None if their mean is not that of the report, which replaces diverged values.
    """
    wide = {number: pivot_results(run.results) for number, run in runs.items()}
    columns: list[pd.Series | None] = []
    for row in comparison.to_dict("records"):
        values, metric = wide[row["point"]], row["metric"]
        pair = [(row[name], metric) for name in ("arm", "baseline")]
        column = None
        if all(key in values for key in pair):
            difference = (values[pair[0]] - values[pair[1]]).dropna()
            is_same = np.isclose(difference.mean(), row["difference"], rtol=1e-9, atol=1e-12)
            column = difference if is_same else None
        columns.append(column)
    return columns


def _results(runs: Mapping[int, RunFiles]) -> pd.DataFrame:
    tables = [summarise_arms(run.results).assign(point=number) for number, run in runs.items()]
    return pd.concat(tables, ignore_index=True)[["point", *RESULT_COLUMNS]]


def _values(runs: Mapping[int, RunFiles], headlines: Sequence[SweepHeadline]) -> pd.DataFrame:
    metrics = {headline.metric for headline in headlines}
    tables = [
        run.results[run.results["metric"].isin(metrics)].assign(point=number)
        for number, run in runs.items()
    ]
    return pd.concat(tables, ignore_index=True)[VALUE_COLUMNS]

"""The TensorBoard data of a run: means over the seeds of each arm.

    tb/           layout of the margin charts, columns of the HParams table, texts, figures
    tb/<arm>/     the arm's row of the HParams table, and its curves:
                  mean over seeds, and the limits of its 95 % t-interval, at the steps where every
                  seed of the arm has a value

TensorBoard sorts charts by tag, digits first, and opens the first two groups. So a tag begins with
a group of this module: headlines, figures, claims, held-out and training loss, and then the other
metrics by name. The limits of intervals and the values of the HParams table come last.

TensorBoard selects no run if there are more than 40. So at most 39 arms have a run. An expert or a
head has no counterpart under another seed. So metrics of a single one have no mean here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runner.figures.seeds import seeds_with_results
from runner.metric_names import find_metric_or_default, has_exchangeable_part
from runner.records import tensorboard
from runner.report.hparams_table import LIMITS, arm_hparams, arm_table
from runner.report.study_record import StudyRecord
from runner.stats.bands import mean_bands
from runner.stats.comparison import summarise_arms
from runner.wording.names import format_count

MAX_CHARTS = 200  # more charts are more than the Custom Scalars tab can show
HEADLINES, FIGURES, CLAIMS = "1 headlines", "2 figures", "3 claims"
FAMILIES = {"val": "4 val", "train": "5 train"}  # the first part of a metric's name -> its group
BANDS = "~ bands"


def write_dashboard(
    folder: Path, study: StudyRecord, *, texts: Mapping[str, str], images: Mapping[str, bytes]
) -> None:
    """Write the data into a new folder.

    `texts` are markdown, `images` encoded PNGs, both by tag.
    """
    arms = select_arms(study)
    left_out = [arm for arm in study.arms if arm not in arms]
    if left_out:
        texts = {**texts, "arms without a run": describe_left_out(arms, left_out)}
    bands, hparams, values = _bands(study), arm_hparams(study), _final_values(study)
    charts = _charts(study, bands)
    tags = {tag for arm in arms for tag in values[arm]}
    root = [tensorboard.margin_layout(charts)] if charts else []
    root += [arm_table(study, [hparams[arm] for arm in arms], tags)]
    root += [tensorboard.text_summary(tag, markdown) for tag, markdown in texts.items()]
    root += [
        tensorboard.image_summary(f"{FIGURES}/{place} {tag}", png)
        for place, (tag, png) in enumerate(images.items(), start=1)
    ]
    _write(folder, map(tensorboard.event, root))
    for arm in arms:
        row = [
            tensorboard.session_start(hparams[arm]),
            tensorboard.scalar_summary(values[arm]),
            tensorboard.session_end(success=bool(values[arm])),
        ]
        curves = _curves(study, bands[bands["arm"] == arm])
        _write(folder / arm, [*map(tensorboard.event, row), *curves])


def select_arms(study: StudyRecord) -> list[str]:
    """Return the arms that get a run, in the study's order: at most 39.

    Baselines and the arms of claims take precedence. Controls, and arms that repeat another one
    under other seeds, come last.
    """
    named = {study.baseline, *(study.baseline_of(headline) for headline in study.headline)}
    named |= {arm for claim in study.claims for arm in claim.named_arms}
    minor = {*study.controls, *study.aa_pairs}
    ranked = sorted(study.arms, key=lambda arm: 0 if arm in named else 2 if arm in minor else 1)
    first = ranked[: tensorboard.MAX_RUNS - 1]  # one run is the study's own
    return [arm for arm in study.arms if arm in first]


def describe_left_out(arms: Sequence[str], left_out: Sequence[str]) -> str:
    """Return the text that names the arms without a run."""
    return (
        f"TensorBoard selects no run if there are more than {tensorboard.MAX_RUNS}. So only "
        f"{format_count(len(arms), 'arm')} of {len(arms) + len(left_out)} have a run here. "
        "Baselines and the arms of claims come first, then the other arms in order. Controls, "
        "and arms that repeat another one under other seeds, come last. The report has all arms. "
        f"Without a run: {', '.join(left_out)}."
    )


def curve_tag(study: StudyRecord, metric: str) -> str:
    """Return the tag of a metric's mean, which begins with the group of its chart."""
    if metric in study.metrics:
        place = study.metrics.index(metric) + 1
        group = HEADLINES if place <= len(study.headline) else CLAIMS
        return f"{group}/{place} {metric}"
    family, slash, rest = metric.partition("/")
    return f"{FAMILIES.get(family, family)}{slash}{rest}"


def _bands(study: StudyRecord) -> pd.DataFrame:
    """Return the means and intervals of all curves that have one, in the order of the steps."""
    seeds = seeds_with_results(study.trials, study.results, study.history)
    metrics = study.history["metric"].unique()
    declared = study.metric_declarations
    shared = [
        metric
        for metric in metrics
        if not has_exchangeable_part(metric, find_metric_or_default(metric, declared))
    ]
    history = study.history[study.history["metric"].isin(shared)]
    bands = mean_bands(history, ["arm", "metric", "step"], seeds=seeds)
    # A step at which a seed of the arm is missing has no mean, and so no point.
    return bands[bands["mean"].notna()].sort_values("step", kind="stable")


def _charts(study: StudyRecord, bands: pd.DataFrame) -> dict[str, list[tensorboard.MarginChart]]:
    """Return the margin charts by category, both in the order in which they are shown."""
    with_limits = bands[bands["low"].notna()]["metric"].unique()
    tags = {metric: curve_tag(study, metric) for metric in with_limits}
    places = {metric: place for place, metric in enumerate(study.metrics)}
    metrics = sorted(
        tags, key=lambda metric: (places.get(metric, len(places)), _natural(tags[metric]))
    )
    categories: dict[str, list[tensorboard.MarginChart]] = {}
    for metric in metrics[:MAX_CHARTS]:
        tag, label = tags[metric], study.label(metric)
        title = metric if label == metric else f"{label} ({metric})"
        category = tag.partition("/")[0].lstrip("0123456789 ")
        low, high = (f"{BANDS}/{metric} {limit}" for limit in LIMITS[1:])
        # Insert at the front: TensorBoard shows a category's charts from the last to the first.
        categories.setdefault(category, []).insert(0, (title, tag, low, high))
    return categories


def _natural(tag: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts `layer2` before `layer10`, as TensorBoard does."""
    words = re.findall(r"\d+|\D+", tag)
    return [(not w.isdecimal(), int(w) if w.isdecimal() else 0, w) for w in words]


def _final_values(study: StudyRecord) -> dict[str, dict[str, float]]:
    """Return the values of each arm in the HParams table by tag: means of final values, limits."""
    reported = study.results[study.results["metric"].isin(study.metrics)]
    values: dict[str, dict[str, float]] = {arm: {} for arm in study.arms}
    for row in summarise_arms(reported).to_dict("records"):
        values[row["arm"]] |= {
            tensorboard.table_tag(row["metric"], part): row[part]
            for part in LIMITS
            if np.isfinite(row[part])
        }
    return values


def _curves(study: StudyRecord, bands: pd.DataFrame) -> list[Any]:
    """Return the events of an arm's means and limits, one for each step."""
    tags = {metric: curve_tag(study, metric) for metric in bands["metric"].unique()}
    values: dict[int, dict[str, float]] = {}
    for step, metric, mean, *limits in bands[["step", "metric", *LIMITS]].itertuples(index=False):
        at_step = values.setdefault(int(step), {})
        at_step[tags[metric]] = mean
        for name, limit in zip(LIMITS[1:], limits, strict=True):
            if np.isfinite(limit):
                at_step[f"{BANDS}/{metric} {name}"] = limit
    return [
        tensorboard.event(tensorboard.scalar_summary(each), step) for step, each in values.items()
    ]


def _write(folder: Path, events: Iterable[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / tensorboard.EVENT_FILE).write_bytes(tensorboard.event_file(events))

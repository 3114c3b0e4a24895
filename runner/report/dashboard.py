"""The aggregated TensorBoard run of a study.

    tb/           layout of the margin charts, columns of the HParams table, texts, figures
    tb/<arm>/     <metric>, <metric>_low, <metric>_high: mean over seeds and its 95 % t-interval,
                  at the steps where every seed of the arm has a value

The HParams table has a row for each trial. The row comes from the trial's own event file, if
TensorBoard reads the trials too (`--logdir outputs/<experiment>`). This run does not repeat the
trials: with more than 40 runs, TensorBoard starts with none selected, and its charts are empty.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from runner.figures.seeds import seeds_with_results
from runner.records import tensorboard
from runner.report.hparams_table import differing_hparams, write_hparams_table
from runner.report.study_record import StudyRecord
from runner.stats.bands import mean_bands

MAX_CHARTS = 200  # a chart per expert and layer is more than the Custom Scalars tab can show


def write_dashboard(
    folder: Path, study: StudyRecord, *, texts: Mapping[str, str], images: Mapping[str, bytes]
) -> None:
    """Write the aggregated run into a new folder.

    `texts` are markdown, `images` encoded PNGs, both by tag.
    """
    seeds = seeds_with_results(study.trials, study.results, study.history)
    bands = mean_bands(study.history, ["arm", "metric", "step"], seeds=seeds)
    # A step at which a seed of the arm is missing has no mean, and so no point.
    bands = bands[(bands["n"] >= 2) & bands["mean"].notna()].sort_values("step", kind="stable")
    root = [tensorboard.margin_layout(_charts(bands))]
    root += [tensorboard.text_summary(tag, markdown) for tag, markdown in texts.items()]
    root += [tensorboard.image_summary(f"figures/{tag}", png) for tag, png in images.items()]
    _write(folder, [(0, summary) for summary in root])
    write_hparams_table(folder, study, differing_hparams(study))
    for arm in study.arms:
        _write(folder / arm, _curves(bands[bands["arm"] == arm]))


def _charts(bands: pd.DataFrame) -> dict[str, list[tensorboard.MarginChart]]:
    metrics = sorted(bands["metric"].unique(), key=lambda metric: (metric.count("/"), metric))
    categories: dict[str, list[tensorboard.MarginChart]] = {}
    for metric in metrics[:MAX_CHARTS]:
        chart = (metric, metric, f"{metric}_low", f"{metric}_high")
        # Insert at the front: TensorBoard shows a category's charts from the last to the first.
        categories.setdefault(metric.partition("/")[0], []).insert(0, chart)
    return categories


def _curves(bands: pd.DataFrame) -> list[tuple[int, Any]]:
    summaries = []
    for step, rows in bands.groupby("step"):
        values: dict[str, float] = {}
        for metric, mean, low, high in rows[["metric", "mean", "low", "high"]].itertuples(
            index=False
        ):
            values |= {metric: mean, f"{metric}_low": low, f"{metric}_high": high}
        summaries.append((int(str(step)), tensorboard.scalar_summary(values)))
    return summaries


def _write(folder: Path, summaries: list[tuple[int, Any]]) -> None:
    """Write one event file; without summaries, write none."""
    if not summaries:
        return
    folder.mkdir(parents=True, exist_ok=True)
    writer = tensorboard.open_writer(folder)
    for step, summary in summaries:
        writer.add_event(tensorboard.event(summary, step))
    writer.close()

"""The aggregated TensorBoard run of a study.

    tb/           layout of the margin charts, HParams table, texts, figures
    tb/<arm>/     <metric>, <metric>_low, <metric>_high: mean over seeds and its 95 % t-interval;
                  a row of the HParams table, with the final values as final/<metric>

The rows of single trials come from the trials' own event files, wherever TensorBoard reads
those too (`--logdir outputs/<experiment>`). They are not repeated here: with more
than 40 runs TensorBoard starts with none selected, and its charts are empty.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runner import events
from runner.report.record import StudyRecord
from runner.stats.bands import mean_bands

ENDS = ("_low", "_high")
MAX_CHARTS = 200  # a chart per expert and layer is more than the Custom Scalars tab can show


def write_dashboard(
    folder: Path, study: StudyRecord, *, texts: Mapping[str, str], images: Mapping[str, bytes]
) -> None:
    """Write the aggregated run; `texts` are markdown, `images` encoded PNGs, both by tag."""
    bands = mean_bands(study.history, ["arm", "metric", "step"])
    bands = bands[bands["n"] >= 2].sort_values("step", kind="stable")
    differing, values = differing_hparams(study)
    root = [events.margin_layout(_charts(bands)), _table(study, differing)]
    root += [events.text(tag, markdown) for tag, markdown in texts.items()]
    root += [events.image(f"figures/{tag}", png) for tag, png in images.items()]
    _write(folder, [(0, summary) for summary in root])
    summary = mean_bands(study.results, ["arm", "metric"])
    for arm in study.arms:
        row = _row(summary[summary["arm"] == arm], study.metrics, {**values[arm], "arm": arm})
        _write(folder / arm, [*row, *_curves(bands[bands["arm"] == arm])])


def differing_hparams(
    study: StudyRecord,
) -> tuple[list[str], dict[str, dict[str, float | str | bool]]]:
    """The hyperparameters that are not the same in all arms, and each arm's values of them."""
    full = study.hparams or {
        arm: {key.lstrip("+"): value for key, _, value in (o.partition("=") for o in overrides)}
        for arm, overrides in study.arms.items()
    }
    names = sorted({name for values in full.values() for name in values} - {"arm", "seed"})
    absent = object()
    differing = [
        name
        for name in names
        if len({full.get(arm, {}).get(name, absent) for arm in study.arms}) > 1
    ]
    return differing, {
        arm: {name: full[arm][name] for name in differing if name in full.get(arm, {})}
        for arm in study.arms
    }


def _charts(bands: pd.DataFrame) -> dict[str, list[events.MarginChart]]:
    metrics = sorted(bands["metric"].unique(), key=lambda metric: (metric.count("/"), metric))
    categories: dict[str, list[events.MarginChart]] = {}
    for metric in metrics[:MAX_CHARTS]:
        chart = (metric, metric, f"{metric}_low", f"{metric}_high")
        # In front of the others: TensorBoard shows a category's charts from the last to the first.
        categories.setdefault(metric.partition("/")[0], []).insert(0, chart)
    return categories


def _table(study: StudyRecord, differing: list[str]) -> Any:
    metrics = {
        f"final/{metric}{end}": f"{study.label(metric)}{end.replace('_', ' ')}"
        for metric in study.metrics
        for end in ("", *ENDS)
    }
    return events.hparams_table(["arm", "seed", *differing], metrics)


def _curves(bands: pd.DataFrame) -> list[tuple[int, Any]]:
    written = []
    for step, rows in bands.groupby("step"):
        values: dict[str, float] = {}
        for metric, mean, low, high in rows[["metric", "mean", "low", "high"]].itertuples(
            index=False
        ):
            values |= {metric: mean, f"{metric}_low": low, f"{metric}_high": high}
        written.append((int(str(step)), events.scalars(values)))
    return written


def _row(
    summary: pd.DataFrame, metrics: list[str], hparams: events.HParams
) -> list[tuple[int, Any]]:
    """An arm's row: opened, filled, closed. Without a group name it gets its own."""
    finals = {}
    shown = summary[summary["metric"].isin(metrics)]
    for metric, mean, low, high in shown[["metric", "mean", "low", "high"]].itertuples(index=False):
        finals[f"final/{metric}"] = mean
        if np.isfinite(low):
            finals |= {f"final/{metric}_low": low, f"final/{metric}_high": high}
    return [
        (0, events.session_start(hparams, "")),
        (0, events.scalars(finals)),
        (0, events.session_end(success=True)),
    ]


def _write(folder: Path, summaries: list[tuple[int, Any]]) -> None:
    """Write one event file in place of what was there."""
    if not summaries:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("events.out.tfevents.*"):
        stale.unlink()
    writer = events.open_writer(folder)
    for step, summary in summaries:
        writer.add_event(events.event(summary, step))
    writer.close()

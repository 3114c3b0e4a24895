"""The tables of a sweep's page: a row for each point and arm; failed points; verdicts."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from runner.report.tables import DIRECTION_WORDS
from runner.sweeps.jobs import format_value
from runner.sweeps.outcomes import NO_LOG
from runner.sweeps.record import PointRecord, SweepHeadline, SweepRecord
from runner.sweeps.wording import comparison_rows, name_point
from runner.wording import quantity
from runner.wording.phrases import capitalise

BASELINE = "baseline"


def headline_table(sweep: SweepRecord, headline: SweepHeadline) -> dict[str, Any]:
    """Return the table of one headline: a row for each point and arm."""
    means = sweep.results[sweep.results["metric"] == headline.metric]
    means = means[means["arm"].isin(headline.arms) & means["unit"].eq(headline.unit)]
    display = quantity.display_unit(headline.unit, means["mean"].tolist())
    mean_of = {(row["point"], row["arm"]): row for row in means.to_dict("records")}
    compared = {
        (row["point"], arm): row
        for arm in headline.arms
        for row in comparison_rows(sweep, headline, arm)
    }
    rows = []
    for point in sweep.reported:
        if point.experiment != headline.experiment:
            continue
        for arm in headline.arms:
            mean = mean_of.get((point.number, arm))
            if mean is None and (point.number, arm) not in compared:
                continue
            row = point_cells(sweep, point) | {"arm": arm} | _mean_cells(mean, headline, display)
            if arm == headline.baseline:
                row |= {"words": BASELINE if compared else ""}
            else:
                row |= _result_cells(compared.get((point.number, arm)), display)
            rows.append(row)
    return {
        "title": capitalise(sweep.label(headline)),
        "metric": headline.metric,
        "unit": display.name,
        "direction": DIRECTION_WORDS[headline.direction],
        "baseline": headline.baseline,
        "rows": rows,
        "has_difference": any(row.get("difference") for row in rows),
        "has_p": any(row.get("p") for row in rows),
        "has_result": any(row.get("standing") for row in rows),
    }


def point_cells(sweep: SweepRecord, point: PointRecord) -> dict[str, Any]:
    """Return the cells that name a point: a cell for each swept key, and its link."""
    values = [point.settings.get(key) for key in sweep.keys]
    cells = [
        {"text": format_value(value) if key in point.settings else "", "sort": sort_key(value)}
        for key, value in zip(sweep.keys, values, strict=True)
    ]
    return {"name": point.name, "number": point.number, "cells": cells, "link": report_link(point)}


def report_link(point: PointRecord) -> str:
    """Return the relative address of a point's own report, from the page; "" without one."""
    return f"../../{point.run}/report.html" if point.run else ""


def log_path(point: PointRecord) -> str:
    """Return the relative address of the log of a point's first failed trial; "" without one."""
    return f"../../{point.log}" if point.log else ""


def sort_key(value: Any) -> str:
    """Return the text that a column of swept values is sorted by."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return repr(float(value)) if is_number else format_value(value)


def _mean_cells(
    mean: Mapping[Any, Any] | None, headline: SweepHeadline, display: quantity.DisplayUnit
) -> dict[str, str]:
    if mean is None:
        return {"value": "no value", "sort": ""}
    low, high = map(float, np.clip((mean["low"], mean["high"]), *headline.limits))
    text = quantity.format_mean(float(mean["mean"]), low, high, int(mean["n"]), display=display)
    return {"value": text, "sort": repr(float(mean["mean"]))}


def _result_cells(row: Mapping[Any, Any] | None, display: quantity.DisplayUnit) -> dict[str, str]:
    """Return the cells of a comparison: difference, corrected p, result and its caveat."""
    if row is None:
        return {}
    cells = {"standing": str(row["sweep_standing"]), "words": ""}
    mean = float(row["difference"])
    if math.isfinite(mean):
        cells["difference"] = quantity.format_mean(
            mean,
            float(row["low"]),
            float(row["high"]),
            int(row["n"]),
            is_difference=True,
            display=display,
        )
        cells["sort_difference"] = repr(mean)
    if math.isfinite(p := float(row["p_sweep"])):
        cells |= {"p": quantity.format_p_value(p), "sort_p": repr(p)}
    words = str(row["words"]) if isinstance(row["words"], str) else ""
    caveat = words.removeprefix(str(row["standing"])).removeprefix(",").strip()
    if row["sweep_standing"] != row["standing"]:
        own = f"{row['standing']} before this correction"
        caveat = f"{own}; {caveat}" if caveat else own
    cells["caveat"] = caveat
    return cells


def failed_rows(sweep: SweepRecord) -> list[dict[str, Any]]:
    """Return a row for each point that failed, was refused or did not run."""
    return [
        point_cells(sweep, point)
        | {"state": point.state, "message": point.message, "log": log_path(point)}
        | {"no_log": NO_LOG if point.state == "failed" and not point.log else ""}
        for point in sweep.failed
    ]


def verdict_tables(sweep: SweepRecord) -> list[dict[str, Any]]:
    """Return a table for each claim: its verdict at every point."""
    tables: dict[tuple[str, str], dict[str, Any]] = {}
    for verdict in sweep.verdicts:
        point = sweep.point(int(verdict["point"]))
        statement = str(verdict["claim"].get("statement", ""))
        table = tables.setdefault(
            (point.experiment, str(verdict["id"])),
            {"id": verdict["id"], "statement": statement, "rows": []},
        )
        word = str(verdict["verdict"])
        reason = str(verdict["line"]).removeprefix(word).removeprefix(":").strip()
        table["rows"].append(
            point_cells(sweep, point)
            | {"label": name_point(point), "verdict": word, "reason": capitalise(reason)}
        )
    return list(tables.values())

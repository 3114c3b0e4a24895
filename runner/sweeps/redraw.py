"""Write the page of a sweep again, from the files of its folder. The folder may be untrusted."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from runner.config import ConfigError
from runner.records.schemas import (
    is_count,
    is_number_or_null,
    is_shallow_mapping,
    is_string,
    is_string_list,
)
from runner.report import untrusted_run
from runner.sweeps.record import (
    COMPARISON_NUMBERS,
    COMPARISON_TEXTS,
    FORMAT,
    RECORD_FILE,
    RESULT_COLUMNS,
    VALUE_COLUMNS,
    PointRecord,
    SweepHeadline,
    SweepRecord,
)
from runner.sweeps.report import FRAMES, VERDICTS_FILE, write_page
from runner.sweeps.task import EXIT_CODES

MAX_POINTS = 10_000
Check = Callable[[Any], bool]
POINT_SCHEMA: dict[str, Check] = {
    "number": is_count,
    "name": is_string,
    "settings": is_shallow_mapping,
    "overrides": is_string_list,
    "state": lambda value: value in EXIT_CODES,
    "exit_code": is_count,
    "message": is_string,
    "log": is_string,
    "run": is_string,
    "experiment": is_string,
    "n_looks": lambda value: is_count(value) and value > 0,
}
NO_LIMITS = {"lowest": None, "highest": None}  # a record of an earlier version has no limits
HEADLINE_SCHEMA: dict[str, Check] = {
    **dict.fromkeys(("experiment", "metric", "label", "baseline", "unit"), is_string),
    "direction": lambda value: value in ("less", "greater", "none"),
    "arms": is_string_list,
    **dict.fromkeys(NO_LIMITS, is_number_or_null),
}
SWEEP_SCHEMA: dict[str, Check] = {
    **dict.fromkeys(("command", "title", "scale"), is_string),
    **dict.fromkeys(("keys", "notes", "lines"), is_string_list),
    "points": lambda value: _are_rows(value, POINT_SCHEMA) and 0 < len(value) <= MAX_POINTS,
    "headlines": lambda value: _are_rows(value, HEADLINE_SCHEMA),
}


def _are_rows(value: Any, schema: dict[str, Check]) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, dict)
        and row.keys() == schema.keys()
        and all(check(row[key]) for key, check in schema.items())
        for row in value
    )


def redraw_sweep(folder: Path) -> Path:
    """Write the page and the figures of a sweep again, and return the page.

    Raises:
        ConfigError: a file is missing or damaged, or leads out of the folder.
    """
    untrusted_run.check_links(folder)
    sweep = read_sweep(folder)
    try:
        return write_page(folder, sweep)
    except OSError:
        raise
    except Exception as error:  # an untrusted folder can cause any other error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"{folder}: no page can be made from its records ({reason})") from error


def read_sweep(folder: Path) -> SweepRecord:
    """Return the record of a sweep from the files of its folder.

    Raises:
        ConfigError: a file is missing or does not match the schema.
    """
    content = untrusted_run.read_run_json(folder, RECORD_FILE)
    if content.pop("format", None) != FORMAT:
        raise ConfigError(f"{folder}: {RECORD_FILE} is of another version; run the sweep again")
    headlines = content.get("headlines")
    if isinstance(headlines, list) and all(isinstance(row, dict) for row in headlines):
        content["headlines"] = [NO_LIMITS | row for row in headlines]
    for key, check in SWEEP_SCHEMA.items():
        if key not in content or not check(content[key]):
            raise ConfigError(
                f"{folder}: {RECORD_FILE} is not the record of a sweep: {key} does not match the "
                "schema"
            )
    points = [_point(row, content["keys"]) for row in content["points"]]
    if [point.number for point in points] != list(range(1, len(points) + 1)):
        raise ConfigError(f"{folder}: {RECORD_FILE}: the points are not numbered from 1")
    results, comparison, values = (
        _read_frame(folder, name, attribute, len(points)) for name, attribute in FRAMES.items()
    )
    return SweepRecord(
        command=content["command"],
        title=content["title"],
        scale=content["scale"],
        keys=tuple(content["keys"]),
        notes=tuple(content["notes"]),
        lines=tuple(content["lines"]),
        points=tuple(points),
        headlines=tuple(
            SweepHeadline(**row | {"arms": tuple(row["arms"])}) for row in content["headlines"]
        ),
        verdicts=_read_verdicts(folder, len(points)),
        results=results,
        comparison=comparison,
        values=values,
    )


def _point(row: dict[str, Any], keys: list[str]) -> PointRecord:
    """Return a point; JSON files have sorted keys, but a point's settings have their own order."""
    settings = {key: row["settings"][key] for key in keys if key in row["settings"]}
    return PointRecord(**row | {"settings": settings, "overrides": tuple(row["overrides"])})


def _read_frame(folder: Path, name: str, attribute: str, n_points: int) -> pd.DataFrame:
    columns: dict[str, type] = {
        "results": {**dict.fromkeys(RESULT_COLUMNS, float), "arm": str, "metric": str, "unit": str},
        "comparison": {
            **dict.fromkeys(COMPARISON_TEXTS, str),
            **dict.fromkeys(COMPARISON_NUMBERS, float),
        },
        "values": {**dict.fromkeys(VALUE_COLUMNS, float), "arm": str, "metric": str, "seed": int},
    }[attribute]
    content = untrusted_run.read_run_file(folder, name)
    try:
        frame = pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""])
        frame = frame[["point", *(column for column in columns if column != "point")]]
        texts = [column for column, kind in columns.items() if kind is str]
        frame[texts] = frame[texts].fillna("").astype(str)
        frame = frame.astype({**columns, "point": int})
        if not frame["point"].between(1, n_points).all():
            raise ValueError("a row names a point that sweep.json lacks")
    except Exception as error:  # pandas raises many kinds of errors for damaged files
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(f"{folder}: {name} is not a table of this sweep ({reason})") from error
    return frame


def _read_verdicts(folder: Path, n_points: int) -> tuple[dict[str, Any], ...]:
    try:
        content = json.loads(untrusted_run.read_run_file(folder, VERDICTS_FILE))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{folder}: {VERDICTS_FILE} is damaged: it is not JSON") from error
    if not isinstance(content, list) or not all(_is_verdict(row, n_points) for row in content):
        raise ConfigError(f"{folder}: {VERDICTS_FILE} is not a list of verdicts of this sweep")
    return tuple(content)


def _is_verdict(row: Any, n_points: int) -> bool:
    return (
        is_shallow_mapping(row)
        and is_count(row.get("point"))
        and 1 <= row["point"] <= n_points
        and all(is_string(row.get(key)) for key in ("id", "verdict", "line"))
        and isinstance(row.get("claim"), dict)
    )

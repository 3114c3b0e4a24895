"""Read a run folder that may be untrusted. Imports no torch.

- Only a few files of limited size are read, all of them in the folder itself.
- They are read as plain data: `${...}` stays text, and YAML makes no objects and has no anchors.
- Names are checked before they become paths, and values before they are used.
- No file outside the folder is written.
"""

import io
import json
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import yaml

from runner.config import ConfigError, Scale, Study
from runner.plan.report_spec import ReportSpec, read_report_spec
from runner.records.files import is_folder, read_bytes
from runner.records.schemas import is_shallow_mapping
from runner.report import records_archive
from runner.report.collection import RESULT_COLUMNS
from runner.report.run_folder import CONFIG_FILE, ENVIRONMENT_FILE, RESULTS_FILE, SUMMARY_FILE
from runner.report.run_schemas import OPTIONAL_SUMMARY_SCHEMA, OUTLINE_SCHEMA, SUMMARY_SCHEMA
from runner.wording.names import check_file_name
from runner.wording.output import truncate_middle

MEBI = 2**20
MAX_BYTES = {
    CONFIG_FILE: MEBI,
    ENVIRONMENT_FILE: 4 * MEBI,
    SUMMARY_FILE: 64 * MEBI,
    RESULTS_FILE: 128 * MEBI,
    **dict.fromkeys(("comparison.csv", "values.csv"), 128 * MEBI),
    **dict.fromkeys(("verdicts.json", "sweep.json"), 64 * MEBI),
    records_archive.FILE: records_archive.MAX_ARCHIVE_BYTES,
}
MAX_NODES, MAX_DEPTH = 50_000, 30  # of a YAML file
CONVERTERS: dict[str, Callable[[str], Any]] = {
    "value": lambda text: float(text or "nan"),
    "seed": int,
}
REPORT_FOLDERS = ("figures", "tb")  # folders of a run that a report writes into


def read_run_file(folder: Path, name: str) -> bytes:
    """Return the content of a file in the folder.

    Raises:
        ConfigError: the file is missing, a link, not a regular file, unreadable or too large.
    """
    if reason := unreadable_reason(folder, name):
        raise ConfigError(f"{folder}: {reason}")
    try:
        return read_bytes(folder / name, MAX_BYTES[name])
    except OSError as error:
        raise ConfigError(f"{folder}: {name} cannot be read ({error.strerror})") from error


def unreadable_reason(folder: Path, name: str) -> str:
    """Return why a file cannot be read, without opening it; "" if it can."""
    path = folder / name
    try:
        status = path.lstat()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return f"{name} is missing" if missing else f"{name} cannot be read ({error.strerror})"
    if stat.S_ISLNK(status.st_mode):
        return f"{name} is a link; it must be a file of the run folder"
    if not stat.S_ISREG(status.st_mode):
        return f"{name} is not a regular file"
    if status.st_size > (limit := MAX_BYTES[name]):
        return f"{name} has {status.st_size / MEBI:,.0f} MiB; must be at most {limit // MEBI} MiB"
    return ""


def check_links(folder: Path) -> None:
    """Refuse a run folder in which a report would be written through a link.

    Raises:
        ConfigError: naming the first such link.
    """
    for name in REPORT_FOLDERS:
        top = folder / name
        if os.path.lexists(top) and (top.is_symlink() or not is_folder(top)):
            raise ConfigError(f"{folder}: {name} is a link or not a folder; remove it")
        for parent, folders, _ in os.walk(top):
            for below in folders:
                if os.path.islink(os.path.join(parent, below)):  # noqa: PTH114, PTH118
                    link = Path(parent, below).relative_to(folder)
                    raise ConfigError(f"{folder}: {link} is a link to a folder; remove it")


def read_run_json(folder: Path, name: str) -> dict[str, Any]:
    """Return a JSON file as a mapping.

    Raises:
        ConfigError: the file cannot be read, or does not hold a mapping.
    """
    try:
        content = json.loads(read_run_file(folder, name))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{folder}: {name} is damaged: it is not JSON") from error
    if not isinstance(content, dict) or not content or not is_shallow_mapping(content):
        raise ConfigError(f"{folder}: {name} is damaged: it is not the record of a run")
    return content


def read_summary(folder: Path) -> dict[str, Any]:
    """Return study.json, with every key checked against `SUMMARY_SCHEMA`.

    Runs of older versions do not have the keys of `OPTIONAL_SUMMARY_SCHEMA`.

    Raises:
        ConfigError: the file is damaged, or of an older version.
    """
    summary = read_run_json(folder, SUMMARY_FILE)
    missing = [key for key in SUMMARY_SCHEMA if key not in summary]
    if missing and isinstance(command := summary.get("command"), str) and "trials" in summary:
        raise ConfigError(
            f"{folder} was written by an older version and cannot be redrawn "
            f"({SUMMARY_FILE} lacks {missing[0]}); run it again: {truncate_middle(command, 120)}"
        )
    optional = {key: check for key, check in OPTIONAL_SUMMARY_SCHEMA.items() if key in summary}
    for key, check in (SUMMARY_SCHEMA | optional).items():
        if key not in summary or not check(summary[key]):
            raise ConfigError(
                f"{folder}: {SUMMARY_FILE} is not the record of a run: "
                f"{key} does not match the schema"
            )
    arms = summary["arms"]
    if summary["baseline"] not in arms or not {t["arm"] for t in summary["trials"]} <= {*arms}:
        raise ConfigError(f"{folder}: {SUMMARY_FILE} names an arm that it lacks")
    check_names(folder, "experiment", [summary["experiment"]])
    check_names(folder, "arm", arms)
    return {key: summary[key] for key in (*SUMMARY_SCHEMA, *optional)}


def trials_from_summary(summary: Mapping[str, Any]) -> pd.DataFrame:
    """Return the trials of a summary, with the columns that `StudyRecord` lists for `trials`."""
    columns = {
        "message": "",
        "code": "",
        "reused": False,
        "folder": "",
        "seconds": None,
        "passes": 0,
        "versions": None,
        "machine": None,
    }
    frame = pd.DataFrame([{**columns, **row} for row in summary["trials"]])
    return frame.astype({"seconds": float, "seed": int})


def read_results(folder: Path, summary: Mapping[str, Any]) -> pd.DataFrame:
    """Return the final values of a run, bit for bit.

    Raises:
        ConfigError: results.csv does not match the schema, or has a trial that the summary lacks.
    """
    try:
        frame = parse_results(io.BytesIO(read_run_file(folder, RESULTS_FILE)))
    except (ValueError, TypeError, UnicodeError, OverflowError, pd.errors.ParserError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{folder}: {RESULTS_FILE} is not a table of final values") from error
    trials = {(row["arm"], row["seed"]) for row in summary["trials"]}
    if not {*zip(frame.arm, frame.seed, strict=True)} <= trials:
        raise ConfigError(f"{folder}: {RESULTS_FILE} has a trial that {SUMMARY_FILE} lacks")
    if frame.duplicated(["arm", "seed", "metric"]).any():
        raise ConfigError(f"{folder}: {RESULTS_FILE} has two values for one metric of one trial")
    return frame


def parse_results(source: io.BytesIO | Path) -> pd.DataFrame:
    """Return results.csv as a frame, bit for bit.

    Raises:
        ValueError: the file does not match the schema.
    """
    frame = pd.read_csv(
        source,
        dtype={"arm": str, "metric": str, "unit": str},
        converters=CONVERTERS,
        keep_default_na=False,
    )
    if list(frame.columns) != RESULT_COLUMNS:
        raise ValueError(f"the columns must be {', '.join(RESULT_COLUMNS)}")
    return frame.astype({"seed": "int64", "value": float})


def read_outline(folder: Path, text: str) -> ReportSpec:
    """Return the part of config.yaml that specifies the report; no text is resolved or imported.

    Raises:
        ConfigError: the text is not the config of a run.
    """
    try:
        tree = plain_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ConfigError(f"{folder}: {CONFIG_FILE}: {truncate_middle(reason, 150)}") from error
    for key, check in OUTLINE_SCHEMA.items():
        if not isinstance(tree, dict) or not check(tree.get(key)):
            raise ConfigError(
                f"{folder}: {CONFIG_FILE} is not the config of a run: "
                f"{key} does not match the schema"
            )
    fields = {key: tree.get(key) for key in OUTLINE_SCHEMA} | {"scale": Scale(tree["scale"])}
    fields["report"] = SimpleNamespace(samples=(fields["report"] or {}).get("samples", True))
    for key in ("claims", "figures"):
        check_names(folder, key.removesuffix("s"), fields[key])
    try:
        return read_report_spec(cast(Study, SimpleNamespace(**fields)))
    except ConfigError as error:
        raise ConfigError(f"{folder}: {CONFIG_FILE}: {truncate_middle(error, 200)}") from error
    except Exception as error:
        raise ConfigError(
            f"{folder}: {CONFIG_FILE} has a claim or figure that does not match the schema"
        ) from error


def check_names(folder: Path, kind: str, names: Iterable[str]) -> None:
    """Check that names can be used as file names.

    Raises:
        ConfigError: naming the first name that cannot.
    """
    for name in names:
        try:
            check_file_name(kind, name)
        except ConfigError as error:
            raise ConfigError(f"{folder}: {error}") from error


def plain_yaml(text: str) -> Any:
    """Return YAML as plain data.

    Raises:
        ValueError: the text has an alias (a few of them can expand to gigabytes), or it is larger
            or deeper than any config of ablab.
        yaml.YAMLError: the text is not YAML, or has a tag that would make an object.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    # Count the parser's events, which come one by one, before any object is built.
    for number, event in enumerate(yaml.parse(text, Loader=loader)):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("anchors and aliases are not allowed in a run's config")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if number > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError("it is larger or deeper than a config can be")
    return yaml.load(text, Loader=loader)

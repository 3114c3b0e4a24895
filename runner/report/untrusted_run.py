"""Reading a run's folder as a stranger's: whoever has sent it may have put anything there.

What is read are a few files of limited size, as plain data: text with `${...}` is text, YAML makes
no objects and has no anchors, names are checked before they become paths, and values before they
are used. Nothing outside of the folder is read, and nothing written there. No torch.
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
MOST_BYTES = {
    CONFIG_FILE: MEBI,
    ENVIRONMENT_FILE: 4 * MEBI,
    SUMMARY_FILE: 64 * MEBI,
    RESULTS_FILE: 128 * MEBI,
    records_archive.FILE: records_archive.MAX_ARCHIVE_BYTES,
}
MOST_NODES, MOST_DEPTH = 50_000, 30  # of a YAML file
CONVERTERS: dict[str, Callable[[str], Any]] = {
    "value": lambda text: float(text or "nan"),
    "seed": int,
}
WRITTEN = ("figures", "tb")  # folders of a run that a report writes into


def read_run_file(folder: Path, name: str) -> bytes:
    """The content of a file that lies in the folder itself.

    Raises:
        ConfigError: it is missing, a link, no file, unreadable or too large.
    """
    if found := unreadable_reason(folder, name):
        raise ConfigError(f"{folder}: {found}")
    try:
        return read_bytes(folder / name, MOST_BYTES[name])
    except OSError as error:
        raise ConfigError(f"{folder}: {name} cannot be read ({error.strerror})") from error


def unreadable_reason(folder: Path, name: str) -> str:
    """Why a file is not read, whatever it holds; "" if it can be."""
    path = folder / name
    try:
        found = path.lstat()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return f"{name} is missing" if missing else f"{name} cannot be read ({error.strerror})"
    if stat.S_ISLNK(found.st_mode):
        return f"{name} is a link; a run holds its own files"
    if not stat.S_ISREG(found.st_mode):
        return f"{name} is no file"
    if found.st_size > (most := MOST_BYTES[name]):
        return f"{name} has {found.st_size / MEBI:,.0f} MiB; at most {most // MEBI} are read"
    return ""


def check_links(folder: Path) -> None:
    """Refuse a run in which a report would be written through a link to another place.

    Raises:
        ConfigError: with the first such link.
    """
    for name in WRITTEN:
        top = folder / name
        if os.path.lexists(top) and (top.is_symlink() or not is_folder(top)):
            raise ConfigError(f"{folder}: {name} is no folder of its own; remove it")
        for place, folders, _ in os.walk(top):
            for below in folders:
                if os.path.islink(os.path.join(place, below)):  # noqa: PTH114, PTH118
                    where = Path(place, below).relative_to(folder)
                    raise ConfigError(f"{folder}: {where} is a link to a folder; remove it")


def read_run_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file as a mapping. Raises ConfigError where it is none."""
    try:
        found = json.loads(read_run_file(folder, name))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{folder}: {name} is damaged: no JSON") from error
    if not isinstance(found, dict) or not found or not is_shallow_mapping(found):
        raise ConfigError(f"{folder}: {name} is damaged: no record of a run")
    return found


def read_summary(folder: Path) -> dict[str, Any]:
    """study.json, every key of the form that a report relies on; older runs lack those of `OPTIONAL_SUMMARY_SCHEMA`.

    Raises:
        ConfigError: it is damaged, or of an older version.
    """
    found = read_run_json(folder, SUMMARY_FILE)
    older = [key for key in SUMMARY_SCHEMA if key not in found]
    if older and isinstance(command := found.get("command"), str) and "trials" in found:
        raise ConfigError(
            f"{folder} was written by an older version, which did not record what a report needs "
            f"({SUMMARY_FILE} lacks {older[0]}); run it again: {truncate_middle(command, 120)}"
        )
    later = {key: check for key, check in OPTIONAL_SUMMARY_SCHEMA.items() if key in found}
    for key, check in (SUMMARY_SCHEMA | later).items():
        if key not in found or not check(found[key]):
            raise ConfigError(
                f"{folder}: {SUMMARY_FILE} is no record of a run: {key} has another form"
            )
    arms = found["arms"]
    if found["baseline"] not in arms or not {t["arm"] for t in found["trials"]} <= {*arms}:
        raise ConfigError(f"{folder}: {SUMMARY_FILE} names an arm that it lacks")
    check_names(folder, "experiment", [found["experiment"]])
    check_names(folder, "arm", arms)
    return {key: found[key] for key in (*SUMMARY_SCHEMA, *later)}


def trials_from_summary(found: Mapping[str, Any]) -> pd.DataFrame:
    """The trials of a summary, with the columns that `read_run_json.StudyRecord` names."""
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
    frame = pd.DataFrame([{**columns, **row} for row in found["trials"]])
    return frame.astype({"seconds": float, "seed": int})


def read_results(folder: Path, found: Mapping[str, Any]) -> pd.DataFrame:
    """The final values of a run, to the bit.

    Raises:
        ConfigError: they have another form, or are of trials that the summary lacks.
    """
    try:
        frame = parse_results(io.BytesIO(read_run_file(folder, RESULTS_FILE)))
    except (ValueError, TypeError, UnicodeError, OverflowError, pd.errors.ParserError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{folder}: {RESULTS_FILE} is no table of final values") from error
    known = {(row["arm"], row["seed"]) for row in found["trials"]}
    if not {*zip(frame.arm, frame.seed, strict=True)} <= known:
        raise ConfigError(f"{folder}: {RESULTS_FILE} has a trial that {SUMMARY_FILE} lacks")
    if frame.duplicated(["arm", "seed", "metric"]).any():
        raise ConfigError(f"{folder}: {RESULTS_FILE} has two values of one metric of one trial")
    return frame


def parse_results(source: io.BytesIO | Path) -> pd.DataFrame:
    """results.csv as it was written. Raises ValueError where it has another form."""
    frame = pd.read_csv(
        source,
        dtype={"arm": str, "metric": str, "unit": str},
        converters=CONVERTERS,
        keep_default_na=False,
    )
    if list(frame.columns) != RESULT_COLUMNS:
        raise ValueError("other columns")
    return frame.astype({"seed": "int64", "value": float})


def read_outline(folder: Path, text: str) -> ReportSpec:
    """What config.yaml says of the report. Nothing in it is resolved, imported or run.

    Raises:
        ConfigError: it is no config of a run.
    """
    try:
        tree = plain_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ConfigError(f"{folder}: {CONFIG_FILE}: {truncate_middle(reason, 150)}") from error
    for key, check in OUTLINE_SCHEMA.items():
        if not isinstance(tree, dict) or not check(tree.get(key)):
            raise ConfigError(
                f"{folder}: {CONFIG_FILE} is no config of a run: {key} has another form"
            )
    chosen = {key: tree[key] for key in OUTLINE_SCHEMA} | {"scale": Scale(tree["scale"])}
    for what in ("claims", "figures"):
        check_names(folder, what.removesuffix("s"), chosen[what])
    try:
        return read_report_spec(cast(Study, SimpleNamespace(**chosen)))
    except ConfigError as error:
        raise ConfigError(f"{folder}: {CONFIG_FILE}: {truncate_middle(error, 200)}") from error
    except Exception as error:
        raise ConfigError(
            f"{folder}: {CONFIG_FILE} has a claim or a figure of another form"
        ) from error


def check_names(folder: Path, what: str, names: Iterable[str]) -> None:
    """Refuse names that are no names of files, which they become."""
    for name in names:
        try:
            check_file_name(what, name)
        except ConfigError as error:
            raise ConfigError(f"{folder}: {error}") from error


def plain_yaml(text: str) -> Any:
    """YAML as plain data.

    Raises:
        ValueError: it has an anchor (a few of which can stand for gigabytes), or more than any
            config of ours.
        yaml.YAMLError: it is no YAML, or has a tag that would make an object.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    # Events come one by one: what is too much is found before anything is built.
    for number, event in enumerate(yaml.parse(text, Loader=loader)):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("anchors and aliases are not allowed in a run's config")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if number > MOST_NODES or depth > MOST_DEPTH:
            raise ValueError("it holds more than a config can")
    return yaml.load(text, Loader=loader)

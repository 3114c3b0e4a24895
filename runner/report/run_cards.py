"""One card for each run and sweep in a folder of outputs, read from small files. No torch.

The folder may be untrusted. No link is followed, files have a largest size, and a value that does
not match its schema is left out. A page of many runs must be written in a moment, so the large
files of a run (results.csv, records.zip) are not read.
"""

import datetime
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from runner.records.files import list_names, read_bytes
from runner.report.run_folder import CONFIG_FILE, SUMMARY_FILE, TIME, TIME_LENGTH
from runner.wording.output import truncate_middle

ANSWER_FILE, VERDICTS_FILE, REPORT_FILE = "answer.json", "verdicts.json", "report.html"
RUNS, TRIALS, SWEEPS, SWEEP_FILE = "runs", "trials", "sweeps", "sweep.json"
MAX_FILE_BYTES = {
    ANSWER_FILE: 2**20,
    VERDICTS_FILE: 2**22,
    CONFIG_FILE: 2**20,
    SUMMARY_FILE: 2**22,
    SWEEP_FILE: 2**22,
}
MAX_SENTENCE, MAX_QUESTION, MAX_NAME, MAX_VERDICTS, MAX_KEYS = 400, 300, 100, 6, 4
CONFIG_KEYS = ("question", "scale", "n_seeds")
NO_SWEEP_PAGE = "output of jobs; this sweep has no page over points"
"""The title of a sweep whose jobs computed one study, or that has not ended."""


@dataclass(frozen=True)
class RunCard:
    """One run, as a list of runs shows it.

    Attributes:
        experiment: the name of the experiment's folder.
        name: the name of the run folder.
        time: the time in that name, or that of the folder; "" if there is none.
        question: the question of the study.
        scale: smoke, quick or full.
        n_seeds: the number of seeds; None if it is unknown.
        settings: typed overrides that change training or measurement, which tell runs of one
            experiment apart.
        answer: the first sentence of the answer.
        verdicts: verdict -> number of claims.
        has_report: whether the folder has a report.
        fault: why the run cannot be described; "" if it can.
    """

    experiment: str
    name: str
    time: str = ""
    question: str = ""
    scale: str = ""
    n_seeds: int | None = None
    settings: tuple[str, ...] = ()
    answer: str = ""
    verdicts: Mapping[str, int] = field(default_factory=dict)
    has_report: bool = False
    fault: str = ""


@dataclass(frozen=True)
class SweepCard:
    """One sweep: its time, title and swept keys; its numbers of points and of points not done."""

    name: str
    time: str = ""
    title: str = ""
    keys: tuple[str, ...] = ()
    n_points: int = 0
    n_not_done: int = 0
    has_report: bool = False


def list_experiment_folders(outputs: Path) -> list[str]:
    """Return the names of the folders that hold trials or runs of an experiment; no links."""
    return [
        name
        for name in list_names(outputs)
        if not name.startswith(".")
        and is_own_folder(outputs / name)
        and any(is_own_folder(outputs / name / part) for part in (RUNS, TRIALS))
    ]


def list_run_names(experiment_folder: Path) -> list[str]:
    """Return the names of an experiment's run folders, the newest first; no links."""
    runs = experiment_folder / RUNS
    if not is_own_folder(runs):
        return []
    names = [name for name in list_names(runs) if not name.startswith(".")]
    return [name for name in reversed(names) if is_own_folder(runs / name)]


def read_run_cards(outputs: Path) -> list[RunCard]:
    """Return a card for each run below a folder of outputs: by experiment, the newest run first."""
    return [
        read_run_card(outputs, experiment, name)
        for experiment in list_experiment_folders(outputs)
        for name in list_run_names(outputs / experiment)
    ]


def read_run_card(outputs: Path, experiment: str, name: str) -> RunCard:
    """Return the card of one run; files that are missing or damaged leave it empty."""
    folder = outputs / experiment / RUNS / name
    config = read_config_keys(folder)
    answer, verdicts = read_own_json(folder, ANSWER_FILE), read_own_json(folder, VERDICTS_FILE)
    sentence = answer.get("sentence") if isinstance(answer, dict) else None
    seeds = config.get("n_seeds")
    is_count = isinstance(seeds, int) and not isinstance(seeds, bool) and seeds > 0
    summary = read_own_json(folder, SUMMARY_FILE)
    typed = summary.get("typed") if isinstance(summary, dict) else None
    settings = [as_line(one, MAX_NAME) for one in typed] if isinstance(typed, list) else []
    fault = ""
    if not is_own_file(folder, SUMMARY_FILE):
        fault = "the report of this run was not finished"
    elif not isinstance(sentence, str):
        fault = "its answer cannot be read"
    return RunCard(
        experiment=experiment,
        name=name,
        time=describe_time(folder),
        question=as_line(config.get("question"), MAX_QUESTION),
        scale=as_line(config.get("scale"), MAX_NAME),
        n_seeds=seeds if is_count else None,
        settings=(*settings[:MAX_KEYS], *(["..."] if len(settings) > MAX_KEYS else [])),
        answer=as_line(first_sentence(sentence), MAX_SENTENCE) if isinstance(sentence, str) else "",
        verdicts=count_verdicts(verdicts),
        has_report=is_own_file(folder, REPORT_FILE),
        fault=fault,
    )


def read_sweep_cards(outputs: Path) -> list[SweepCard]:
    """Return a card for each sweep below a folder of outputs, the newest first."""
    sweeps = outputs / SWEEPS
    if not is_own_folder(sweeps):
        return []
    names = [name for name in reversed(list_names(sweeps)) if not name.startswith(".")]
    return [read_sweep_card(sweeps / name) for name in names if is_own_folder(sweeps / name)]


def read_sweep_card(folder: Path) -> SweepCard:
    """Return the card of one sweep; a missing or damaged file leaves it empty."""
    record = read_own_json(folder, SWEEP_FILE)
    record = record if isinstance(record, dict) else {}
    points = record.get("points")
    points = points if isinstance(points, list) else []
    keys = record.get("keys")
    keys = keys if isinstance(keys, list) else []
    has_report = is_own_file(folder, REPORT_FILE)
    done = [point for point in points if isinstance(point, dict) and point.get("exit_code") == 0]
    return SweepCard(
        name=folder.name,
        time=describe_time(folder),
        title=as_line(record.get("title"), MAX_QUESTION) or ("" if has_report else NO_SWEEP_PAGE),
        keys=tuple(as_line(key, MAX_NAME) for key in keys[:MAX_KEYS]),
        n_points=len(points),
        n_not_done=len(points) - len(done),
        has_report=has_report,
    )


def read_config_keys(folder: Path) -> dict[str, Any]:
    """Return the keys `CONFIG_KEYS` of a run's config.yaml, without parsing the rest of it."""
    content = read_own_file(folder, CONFIG_FILE)
    text = "" if content is None else content.decode("utf-8", "replace")
    values: dict[str, Any] = {}
    for key in CONFIG_KEYS:
        # A value ends at the next line that is not indented.
        block = re.search(rf"^{key}:.*\n(?:[ ].*\n|\n)*", text, re.MULTILINE)
        if block is None or len(block[0]) > 4 * MAX_QUESTION:
            continue
        try:
            values[key] = yaml.safe_load(block[0])[key]
        except (yaml.YAMLError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return values


def count_verdicts(record: Any) -> dict[str, int]:
    """Return the number of claims with each verdict, the most frequent first."""
    entries: Sequence[Any] = record if isinstance(record, list) else ()
    verdicts = [entry.get("verdict") for entry in entries if isinstance(entry, dict)]
    counts = Counter(as_line(name, MAX_NAME) for name in verdicts if isinstance(name, str))
    return dict(counts.most_common(MAX_VERDICTS))


def first_sentence(text: str) -> str:
    """Return the first sentence of an answer; a point within a number or a name ends none."""
    first, end, _ = text.partition(". ")
    return f"{first}{end}".strip()


def as_line(value: Any, n_characters: int) -> str:
    """Return a text as one short line without control characters; "" for any other value."""
    return " ".join(truncate_middle(value, n_characters).split()) if isinstance(value, str) else ""


def describe_time(folder: Path) -> str:
    """Return the time in a folder's name, else that of the folder, as `2026-11-26 04:51`."""
    try:
        moment = datetime.datetime.strptime(folder.name[:TIME_LENGTH], TIME)
    except ValueError:
        try:
            moment = datetime.datetime.fromtimestamp(folder.stat().st_mtime)
        except (OSError, ValueError, OverflowError):
            return ""
    return moment.strftime("%Y-%m-%d %H:%M")


def read_own_json(folder: Path, name: str) -> Any:
    """Return the content of a JSON file of a folder; None if it is missing or damaged."""
    content = read_own_file(folder, name)
    try:
        return None if content is None else json.loads(content)
    except (ValueError, RecursionError):
        return None


def read_own_file(folder: Path, name: str) -> bytes | None:
    """Return the content of a regular file of limited size; None for a link or any other file."""
    if not is_own_file(folder, name):
        return None
    try:
        return read_bytes(folder / name, MAX_FILE_BYTES[name])
    except OSError:
        return None


def is_own_file(folder: Path, name: str) -> bool:
    """Return whether a folder has a regular file of this name, which is not a link."""
    try:
        return stat.S_ISREG(os.lstat(folder / name).st_mode)
    except (OSError, ValueError):
        return False


def is_own_folder(path: Path) -> bool:
    """Return whether a path is a folder and not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False

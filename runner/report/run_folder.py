"""The run folder, which is the folder of one invocation: its name and the names of its files."""

import contextlib
import datetime
import os
import time
from pathlib import Path

from runner.config import ConfigError
from runner.plan.plan import Plan
from runner.records.files import list_names, remove
from runner.report import records_archive

SUMMARY_FILE, RESULTS_FILE, CONFIG_FILE, ENVIRONMENT_FILE = (
    "study.json",
    "results.csv",
    "config.yaml",
    "environment.json",
)
VERIFIED_FILES = (
    RESULTS_FILE,
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    records_archive.FILE,
)  # files whose digests are in study.json
MAX_DRAFT_AGE = 24 * 3600  # seconds; an older draft was left by a killed report
TIME = "%Y-%m-%d_%H-%M-%S-%f"  # format of the time in a run folder's name


def create_run_folder(plan: Plan) -> Path:
    """Create a new folder for one invocation, and return it.

    Its name is the time. It sorts after the names of earlier runs, even if the clock was set back.

    Raises:
        ConfigError: the folder cannot be created.
    """
    runs = plan.outputs / plan.experiment / "runs"
    remove_drafts(runs)
    now = max([datetime.datetime.now(), *map(after, list_names(runs))])
    folder = runs / f"{now.strftime(TIME)}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=False)
    except OSError as error:
        raise ConfigError(
            f"outputs={plan.outputs}: the report cannot be written to {runs} "
            f"({error.strerror or error}); give another folder"
        ) from error
    return folder


def remove_drafts(runs: Path) -> None:
    """Remove the drafts of killed reports: drafts that are older than any report takes."""
    for draft in [*runs.glob("*/.writing-*"), *runs.glob("*/tb/.writing-*")]:
        with contextlib.suppress(OSError):
            through_link = draft.parent.resolve() != runs.resolve() / draft.parent.relative_to(runs)
            if not through_link and time.time() - draft.lstat().st_mtime > MAX_DRAFT_AGE:
                remove(draft)


def after(name: str) -> datetime.datetime:
    """Return the moment after the time in a run's name; the earliest date for any other name."""
    try:
        moment = datetime.datetime.strptime(name.rpartition("-")[0], TIME)
        return moment + datetime.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return datetime.datetime.min

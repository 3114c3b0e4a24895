"""The folder of one invocation: its name, and the names of its records."""

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
)  # files that a run's study.json vouches for
ABANDONED = 24 * 3600  # seconds after which no report still writes into its draft
TIME = "%Y-%m-%d_%H-%M-%S-%f"  # of the name of a run's folder


def create_run_folder(plan: Plan) -> Path:
    """A new folder for one invocation; it never overwrites another.

    Its name is the time, and stands behind those of earlier runs also where the clock was set back.
    """
    runs = plan.outputs / plan.experiment / "runs"
    remove_drafts(runs)
    now = max([datetime.datetime.now(), *map(after, list_names(runs))])
    folder = runs / f"{now.strftime(TIME)}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=False)
    except OSError as error:
        raise ConfigError(
            f"outputs={plan.outputs}: no report can be written to {runs} "
            f"({error.strerror or error}); give another folder"
        ) from error
    return folder


def remove_drafts(runs: Path) -> None:
    """Remove what reports that were killed had begun to write; no report takes so long."""
    for draft in [*runs.glob("*/.writing-*"), *runs.glob("*/tb/.writing-*")]:
        with contextlib.suppress(OSError):
            through_link = draft.parent.resolve() != runs.resolve() / draft.parent.relative_to(runs)
            if not through_link and time.time() - draft.lstat().st_mtime > ABANDONED:
                remove(draft)


def after(name: str) -> datetime.datetime:
    """The moment after that of a run's name; one long ago for any other name."""
    try:
        moment = datetime.datetime.strptime(name.rpartition("-")[0], TIME)
        return moment + datetime.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return datetime.datetime.min

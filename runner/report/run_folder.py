"""The run folder, which is the folder of one invocation: its name and the names of its files.

Its name is the time and the scale, such as `2026-11-26_04-51-06_quick`. Older versions wrote
`2026-11-26_04-51-06-718956-5124`: microseconds and a process number in place of the scale.
"""

import contextlib
import datetime
import time
from pathlib import Path

from runner.config import ConfigError
from runner.plan.plan import Plan
from runner.records.files import list_names, remove

SUMMARY_FILE, RESULTS_FILE, CONFIG_FILE, ENVIRONMENT_FILE, ARCHIVE_FILE = (
    "study.json",
    "results.csv",
    "config.yaml",
    "environment.json",
    "records.zip",
)
TUNING_FILE = "tuning.csv"
VERIFIED_FILES = (
    RESULTS_FILE,
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    ARCHIVE_FILE,
)  # files whose digests are in study.json
MAX_DRAFT_AGE = 24 * 3600  # seconds; an older draft was left by a killed report
TIME, TIME_LENGTH = "%Y-%m-%d_%H-%M-%S", 19  # format of the time in a run folder's name
MAX_TRIES = 100  # names that other commands may take at the same moment


def create_run_folder(plan: Plan) -> Path:
    """Create a new folder for one invocation, and return it.

    Its name sorts after the names of earlier runs, even if the clock was set back. If two runs
    begin in one second, the later one takes the next second.

    Raises:
        ConfigError: the folder cannot be created.
    """
    runs = plan.outputs / plan.experiment / "runs"
    remove_drafts(runs)
    for tries_left in reversed(range(MAX_TRIES)):
        moment = max([datetime.datetime.now(), *map(next_moment, list_names(runs))])
        folder = runs / f"{moment.strftime(TIME)}_{plan.study.scale.value}"
        try:
            folder.mkdir(parents=True, exist_ok=False)
        except OSError as error:
            if isinstance(error, FileExistsError) and tries_left and runs.is_dir():
                continue  # another command has just made it
            raise ConfigError(
                f"outputs={plan.outputs}: the report cannot be written to {runs} "
                f"({error.strerror or error}); give another folder"
            ) from error
        break
    return folder


def remove_drafts(runs: Path) -> None:
    """Remove the drafts of killed reports: drafts that are older than any report takes."""
    for draft in [*runs.glob("*/.writing-*"), *runs.glob("*/tb/.writing-*")]:
        with contextlib.suppress(OSError):
            through_link = draft.parent.resolve() != runs.resolve() / draft.parent.relative_to(runs)
            if not through_link and time.time() - draft.lstat().st_mtime > MAX_DRAFT_AGE:
                remove(draft)


def next_moment(name: str) -> datetime.datetime:
    """Return the second after the time in a run's name; the earliest date for any other name."""
    try:
        moment = datetime.datetime.strptime(name[:TIME_LENGTH], TIME)
        return moment + datetime.timedelta(seconds=1)
    except (ValueError, OverflowError):
        return datetime.datetime.min

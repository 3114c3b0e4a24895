"""The newest run of an experiment: `<outputs>/<experiment>/latest`.

It is a relative symbolic link to `runs/<name>`. Where links cannot be made (on Windows, and on some
disks), it is a text file with this path. Readers accept both.
"""

import os
import uuid
from pathlib import Path, PurePath

from runner.records.files import is_folder, list_names, read_bytes, write_atomically
from runner.report.run_folder import next_moment

NAME = "latest"
MAX_PATH_BYTES = 4096


def renew_latest(run: Path) -> str:
    """Let `latest` name this run, in one step; return why that is not possible, or ""."""
    latest, target = run.parent.parent / NAME, f"{run.parent.name}/{run.name}"
    link = latest.with_name(f".{NAME}.{uuid.uuid4().hex[:12]}")
    try:
        try:
            link.symlink_to(target, target_is_directory=True)
            _replace(link, latest)
        except (OSError, NotImplementedError):
            link.unlink(missing_ok=True)
            write_atomically(latest, f"{target}\n".encode("utf-8", "surrogateescape"))
    except OSError as error:
        return f"{latest} could not be renewed ({error.strerror or error})"
    return ""


def _replace(link: Path, latest: Path) -> None:
    """Move a new link to `latest`. Windows replaces no link to a folder, so there it goes first."""
    try:
        link.replace(latest)
    except OSError:
        if not latest.is_symlink():
            raise
        latest.unlink()
        link.replace(latest)


def read_latest(experiment_folder: Path) -> Path | None:
    """Return the run folder that `latest` names; None where it names no run of this experiment.

    The folder of outputs may be untrusted. So only the text of a link is read. A folder outside
    `runs`, and a link among the runs, is not returned.
    """
    path = experiment_folder / NAME
    try:
        text = os.readlink(path) if path.is_symlink() else _read_text(path)  # noqa: PTH115
    except (OSError, ValueError):
        return None
    parts = PurePath(text).parts
    if len(parts) != 2 or parts[0] != "runs" or parts[1] == ".." or "\0" in text:
        return None
    run = experiment_folder.joinpath(*parts)
    is_own = not run.is_symlink() and not run.parent.is_symlink()
    return run if is_own and is_folder(run) else None


def find_newest_run(outputs: Path) -> Path | None:
    """Return the newest run that any `latest` below a folder of outputs names, or None."""
    experiments = [outputs / name for name in list_names(outputs)]
    runs = [run for each in experiments if not each.is_symlink() and (run := read_latest(each))]
    return max(runs, key=lambda run: (next_moment(run.name), run.name), default=None)


def _read_text(path: Path) -> str:
    return read_bytes(path, MAX_PATH_BYTES).decode("utf-8", "surrogateescape").strip()

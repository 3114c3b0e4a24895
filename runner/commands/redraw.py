"""`python -m runner redraw`: write report and figures again from the folder of a run. No torch."""

from collections.abc import Sequence
from pathlib import Path

from runner.commands.verb_arguments import OUTPUTS, asks_for_help, read_verb_arguments
from runner.config import ConfigError
from runner.report import latest_run
from runner.report.redraw import is_present, redraw_run
from runner.report.run_folder import SUMMARY_FILE

USAGE = "python -m runner redraw [<run folder>|<experiment>] [outputs=<folder>]"
HELP = f"""usage: {USAGE}

Write the report of a finished run again, from the files of its own folder.

  redraw                          the newest run below outputs/
  redraw moe                      the newest run of an experiment
  redraw outputs=DIR              the newest run below another folder
  redraw outputs/moe/runs/NAME    this run
  redraw outputs/sweeps/NAME      the page of a sweep, without those of its runs"""
SWEEP_FILE = "sweep.json"


def redraw(arguments: Sequence[str]) -> None:
    """Write the report of the run or sweep that the arguments name again.

    Raises:
        ConfigError: the arguments name no run, or no report can be made from it.
    """
    if asks_for_help(arguments):
        print(HELP)  # noqa: T201
        return
    folder = find_run(arguments)
    if is_present(folder, SWEEP_FILE):
        from runner.sweeps.redraw import redraw_sweep

        print(redraw_sweep(folder))  # noqa: T201
        return
    redraw_run(folder)


def find_run(arguments: Sequence[str]) -> Path:
    """Return the folder of the run that the arguments name; by default the newest one.

    Raises:
        ConfigError: the arguments are not understood, or there is no such run.
    """
    read = read_verb_arguments(USAGE, arguments, [OUTPUTS], most_words=1)
    outputs = read.outputs
    if not read.words:
        if newest := latest_run.find_newest_run(outputs):
            return newest
        raise ConfigError(
            f"{outputs} has no finished run (no {outputs}/<experiment>/{latest_run.NAME}); "
            f"name its folder: {USAGE}"
        )
    folder = Path(read.words[0])
    # A folder called `latest` may be a copy of a run.
    is_pointer = folder.name == latest_run.NAME and (folder.is_symlink() or folder.is_file())
    if is_present(folder, SUMMARY_FILE) and not is_pointer:
        return folder
    # `latest` is read and checked, not followed: an untrusted link might lead anywhere.
    experiment = folder.parent if folder.name == latest_run.NAME else folder
    for each in (experiment, outputs / experiment):
        if run := latest_run.read_latest(each):
            return run
    if folder.name == latest_run.NAME:
        raise ConfigError(f"{folder} names no run of {experiment}; name a folder of a run: {USAGE}")
    return folder

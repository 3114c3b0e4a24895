"""`python -m runner redraw <run>`: report and figures again from a run's own folder. No torch."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from runner.config import ConfigError
from runner.records import seal
from runner.report import collect, records, report, run_folder, stranger
from runner.report.run_folder import CONFIG, ENVIRONMENT, SUMMARY, VALUES

USAGE = "python -m runner redraw <run>, e.g. outputs/moe/runs/<time>"


def redraw(arguments: Sequence[str]) -> None:
    """Write the report of a finished run anew, in its folder, from what lies there alone.

    The folder may have been moved, or be a stranger's. A file that is not what study.json vouches
    for is named in the report; changed curves and tables are left out, and changed final values
    refused, since nothing can be shown without them.

    Raises:
        ConfigError: not one folder is given, or it is none that a report can be made from.
    """
    if any(word in ("-h", "--help") for word in arguments):
        print(f"usage: {USAGE}")  # noqa: T201
        return
    if len(arguments) != 1 or "\0" in arguments[0]:
        raise ConfigError(f"type {USAGE}")
    folder = Path(arguments[0])
    lacking = [name for name in (SUMMARY, CONFIG, ENVIRONMENT, VALUES) if not present(folder, name)]
    if lacking:
        raise ConfigError(f"{folder} is no folder of a run: it lacks {', '.join(lacking)}")
    stranger.check_places(folder)
    summary = stranger.summary(folder)
    environment = stranger.record(folder, ENVIRONMENT)
    config_yaml = stranger.content(folder, CONFIG).decode("utf-8", "replace")
    told = stranger.outline_of(folder, config_yaml)
    faults = edited(folder, stranger.record(folder, SUMMARY))
    if changed := [fault for fault in faults if fault.startswith(VALUES)]:
        raise ConfigError(f"{folder}: {changed[0]}: nothing can be shown without it")
    trials = stranger.trials(summary)
    results = stranger.results(folder, summary)
    kept, lost = kept_by(folder, summary, faults)
    notes = [f"redrawn: {fault}" for fault in [*faults, *lost]]
    # JSON has its keys sorted; the order of arms is that of every table and colour.
    summary["arms"] = {arm: summary["arms"][arm] for arm in dict.fromkeys(trials.arm)}
    try:
        study = collect.assemble(config_yaml, told, summary, environment, trials, results, kept)
        study = dataclasses.replace(study, notes=[*study.notes, *notes])
        report.write(folder, study, redrawn=True)
    except (OSError, ConfigError):
        raise
    except Exception as error:  # whatever else is odd in what somebody has sent
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"{folder}: no report can be made from its records ({reason})") from error


def present(folder: Path, name: str) -> bool:
    """Whether a file is there; what cannot even be asked for is not."""
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):
        return False


def edited(folder: Path, summary: dict[str, object]) -> list[str]:
    """What was changed in a run's own records since they were written, naming each file."""
    unread = {name: stranger.fault(folder, name) for name in run_folder.SEALED}
    unread = {name: fault for name, fault in unread.items() if fault}
    other = seal.other_format(summary, SUMMARY)
    return [
        *([other] if other else []),
        *unread.values(),
        *seal.faults(summary, SUMMARY, folder, run_folder.SEALED, list(unread)),
    ]


def kept_by(
    folder: Path, summary: dict[str, object], faults: Sequence[str]
) -> tuple[records.Kept, list[str]]:
    """The curves and tables of a run, and lines on what of them is left out."""
    nothing = records.Kept(records.no_history(), {})
    if any(fault.startswith(records.FILE) for fault in faults):
        return nothing, ["curves and tables are left out"]
    trials = summary["trials"]
    assert isinstance(trials, list)
    try:
        content = stranger.content(folder, records.FILE)
        if why := records.excess(content, len(trials)):
            raise ValueError(why)
        kept = records.unpacked(content, [(row["arm"], row["seed"]) for row in trials])
    except ConfigError as error:
        return nothing, [
            f"{str(error).removeprefix(f'{folder}: ')}: curves and tables are left out"
        ]
    except ValueError as error:
        return nothing, [f"{error}: curves and tables are left out"]
    return kept, kept.faults

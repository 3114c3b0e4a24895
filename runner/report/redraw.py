"""`python -m runner redraw <run>`: report and figures again from a run's own folder. No torch."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from runner.config import ConfigError
from runner.records import seal
from runner.report import collection, records_archive, run_folder, study_report, untrusted_run
from runner.report.run_folder import CONFIG_FILE, ENVIRONMENT_FILE, RESULTS_FILE, SUMMARY_FILE

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
    lacking = [
        name
        for name in (SUMMARY_FILE, CONFIG_FILE, ENVIRONMENT_FILE, RESULTS_FILE)
        if not is_present(folder, name)
    ]
    if lacking:
        raise ConfigError(f"{folder} is no folder of a run: it lacks {', '.join(lacking)}")
    untrusted_run.check_links(folder)
    summary = untrusted_run.read_summary(folder)
    environment = untrusted_run.read_run_json(folder, ENVIRONMENT_FILE)
    config_yaml = untrusted_run.read_run_file(folder, CONFIG_FILE).decode("utf-8", "replace")
    told = untrusted_run.read_outline(folder, config_yaml)
    faults = find_edits(folder, untrusted_run.read_run_json(folder, SUMMARY_FILE))
    if changed := [fault for fault in faults if fault.startswith(RESULTS_FILE)]:
        raise ConfigError(f"{folder}: {changed[0]}: nothing can be shown without it")
    trials = untrusted_run.trials_from_summary(summary)
    results = untrusted_run.read_results(folder, summary)
    kept, lost = load_curves_and_tables(folder, summary, faults)
    notes = [f"redrawn: {fault}" for fault in [*faults, *lost]]
    # JSON has its keys sorted; the order of arms is that of every table and colour.
    summary["arms"] = {arm: summary["arms"][arm] for arm in dict.fromkeys(trials.arm)}
    try:
        study = collection.assemble_record(
            config_yaml, told, summary, environment, trials, results, kept
        )
        study = dataclasses.replace(study, notes=[*study.notes, *notes])
        study_report.write_and_print(folder, study, is_redraw=True)
    except (OSError, ConfigError):
        raise
    except Exception as error:  # whatever else is odd in what somebody has sent
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"{folder}: no report can be made from its records ({reason})") from error


def is_present(folder: Path, name: str) -> bool:
    """Whether a file is there; what cannot even be asked for is not."""
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):
        return False


def find_edits(folder: Path, summary: dict[str, object]) -> list[str]:
    """What was changed in a run's own records since they were written, naming each file."""
    unread = {
        name: untrusted_run.unreadable_reason(folder, name) for name in run_folder.VERIFIED_FILES
    }
    unread = {name: fault for name, fault in unread.items() if fault}
    other = seal.format_mismatch(summary, SUMMARY_FILE)
    return [
        *([other] if other else []),
        *unread.values(),
        *seal.list_changes(summary, SUMMARY_FILE, folder, run_folder.VERIFIED_FILES, list(unread)),
    ]


def load_curves_and_tables(
    folder: Path, summary: dict[str, object], faults: Sequence[str]
) -> tuple[records_archive.CurvesAndTables, list[str]]:
    """The curves and tables of a run, and lines on what of them is left out."""
    nothing = records_archive.CurvesAndTables(records_archive.empty_history(), {})
    if any(fault.startswith(records_archive.FILE) for fault in faults):
        return nothing, ["curves and tables are left out"]
    trials = summary["trials"]
    assert isinstance(trials, list)
    try:
        content = untrusted_run.read_run_file(folder, records_archive.FILE)
        if why := records_archive.too_large_reason(content, len(trials)):
            raise ValueError(why)
        kept = records_archive.unpack_trials(content, [(row["arm"], row["seed"]) for row in trials])
    except ConfigError as error:
        return nothing, [
            f"{str(error).removeprefix(f'{folder}: ')}: curves and tables are left out"
        ]
    except ValueError as error:
        return nothing, [f"{error}: curves and tables are left out"]
    return kept, kept.faults

"""Write report and figures again from the folder of a run. No torch."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from runner.config import ConfigError
from runner.records import seal
from runner.records.files import is_folder
from runner.report import (
    collection,
    records_archive,
    run_folder,
    study_report,
    untrusted_run,
)
from runner.report.run_folder import CONFIG_FILE, ENVIRONMENT_FILE, RESULTS_FILE, SUMMARY_FILE


def redraw_run(folder: Path) -> None:
    """Write the report of a finished run again, from the files of its own folder only.

    The folder may have been moved, and may be untrusted. The report names each file that does not
    match its digest in study.json:

    - changed curves and tables are left out;
    - changed final values are refused, as a report needs them.

    Raises:
        ConfigError: no report can be made from the folder.
    """
    missing = [
        name
        for name in (SUMMARY_FILE, CONFIG_FILE, ENVIRONMENT_FILE, RESULTS_FILE)
        if not is_present(folder, name)
    ]
    if not is_folder(folder):
        raise ConfigError(f"{folder}: there is no such folder; name a run folder or an experiment")
    if missing:
        raise ConfigError(f"{folder} is not a run folder: it lacks {', '.join(missing)}")
    untrusted_run.check_links(folder)
    summary = untrusted_run.read_summary(folder)
    environment = untrusted_run.read_run_json(folder, ENVIRONMENT_FILE)
    config_yaml = untrusted_run.read_run_file(folder, CONFIG_FILE).decode("utf-8", "replace")
    outline = untrusted_run.read_outline(folder, config_yaml)
    faults = find_edits(folder, untrusted_run.read_run_json(folder, SUMMARY_FILE))
    if changed := [fault for fault in faults if fault.startswith(RESULTS_FILE)]:
        raise ConfigError(f"{folder}: {changed[0]}: a report needs its final values")
    trials = untrusted_run.trials_from_summary(summary)
    results = untrusted_run.read_results(folder, summary)
    curves_and_tables, lost = load_curves_and_tables(folder, summary, faults)
    notes = [f"redrawn: {fault}" for fault in [*faults, *lost]]
    # The keys in the JSON file are sorted; tables and colours need the study's order of arms.
    summary["arms"] = {arm: summary["arms"][arm] for arm in dict.fromkeys(trials.arm)}
    try:
        study = collection.assemble_record(
            config_yaml, outline, summary, environment, trials, results, curves_and_tables
        )
        study = dataclasses.replace(study, notes=[*study.notes, *notes])
        study_report.write_and_print(folder, study, is_redraw=True)
    except (OSError, ConfigError):
        raise
    except Exception as error:  # an untrusted folder can cause any other error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"{folder}: no report can be made from its records ({reason})") from error


def is_present(folder: Path, name: str) -> bool:
    """Return whether a file exists; False if its path is not valid."""
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):
        return False


def find_edits(folder: Path, summary: dict[str, object]) -> list[str]:
    """Return a line for each file of a run that was changed since it was written."""
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
    """Return the curves and tables of a run, and a line for each part that is left out."""
    empty = records_archive.CurvesAndTables(records_archive.empty_history(), {})
    if any(fault.startswith(records_archive.FILE) for fault in faults):
        return empty, ["curves and tables are left out"]
    trials = summary["trials"]
    assert isinstance(trials, list)
    try:
        content = untrusted_run.read_run_file(folder, records_archive.FILE)
        if reason := records_archive.too_large_reason(content, len(trials)):
            raise ValueError(reason)
        unpacked = records_archive.unpack_trials(
            content, [(row["arm"], row["seed"]) for row in trials]
        )
    except ConfigError as error:
        return empty, [f"{str(error).removeprefix(f'{folder}: ')}: curves and tables are left out"]
    except ValueError as error:
        return empty, [f"{error}: curves and tables are left out"]
    return unpacked, unpacked.faults

"""`python -m runner board`: write every claim with its published value, our value and its verdict.

Verdicts come from records of runs and from the runs in a folder of outputs. The verb computes no
verdict itself.
"""

from collections.abc import Sequence
from pathlib import Path

from runner.board.board_markdown import render_head, render_markdown, replace_head
from runner.board.board_page import render_board_page
from runner.board.board_texts import summary_line
from runner.board.known_claims import KnownClaim, list_known_claims
from runner.board.record import RunRecord
from runner.board.record_file import STUDY, check_experiment, read_records, write_record
from runner.board.rows import make_rows
from runner.board.run_reader import record_run
from runner.commands.verb_arguments import (
    OUTPUTS,
    VerbArguments,
    asks_for_help,
    existing_folder,
    existing_outputs,
    load_verb_options,
    read_verb_arguments,
)
from runner.config import ConfigError, Scale
from runner.plan.user_arguments import CONFIG_DIR, PLUGINS
from runner.records.files import write_atomically
from runner.report import latest_run
from runner.report.run_cards import RUNS, list_experiment_folders, list_run_names, read_config_keys
from runner.wording.names import format_count
from runner.wording.output import escape_unprintable, truncate_middle

USAGE = "python -m runner board [record=<run folder>] [outputs=DIR] [docs=DIR]"
HELP = f"""usage: {USAGE}

Write every claim: published value, our value, verdict, date, machine, command.

  board                           from the records in docs/board/records: write
                                  docs/board.md, docs/board.html and the head of
                                  README.md. If outputs/ has runs without a
                                  record, also outputs/board.md and board.html
  board outputs=DIR               always write DIR/board.md and DIR/board.html
  board docs=DIR                  read the records below another folder
  board record=outputs/moe/latest first write a record of this run
  board --config-dir=mine         your own claims, too (in outputs/board.*)

Without docs/board/records, only the files in outputs are written. docs/board.md
has the rule which study counts."""
RECORD, DOCS, DEFAULT_DOCS, BOARD = "record", "docs", "docs", "board"
README = "README.md"


def write_board(arguments: Sequence[str]) -> None:
    """Write the board, after recording a run if one is named, and print the counts of verdicts.

    Raises:
        ConfigError: an argument is wrong, a record is damaged, or a file cannot be written.
    """
    if asks_for_help(arguments):
        print(HELP)  # noqa: T201
        return
    keys = (OUTPUTS, PLUGINS, CONFIG_DIR, RECORD, DOCS)
    read = read_verb_arguments(USAGE, arguments, keys, most_words=0)
    if OUTPUTS in read.values:
        existing_outputs(read)
    load_verb_options(read)
    docs = existing_folder(DOCS, read.values[DOCS]) if DOCS in read.values else Path(DEFAULT_DOCS)
    folder = docs / BOARD / "records"
    try:
        if RECORD in read.values:
            run = find_run_folder(read.values[RECORD])
            record = record_run(run)
            check_experiment(run, record)
            path = write_record(folder, record)
            print(f"recorded: {path}")  # noqa: T201
        lines = write_all(read, docs, folder)
    except OSError as error:
        raise ConfigError(f"the board cannot be written ({error.strerror or error})") from error
    print(escape_unprintable("\n".join(lines)))  # noqa: T201


def write_all(read: VerbArguments, docs: Path, folder: Path) -> list[str]:
    """Write the board of the records, and that of outputs; return the lines to print."""
    records = read_records(folder)
    lines: list[str] = []
    if folder.is_dir():
        lines += write_pages(docs, list_known_claims(with_user=False), records)
        lines += renew_readme(docs.parent / README, records)
    runs, n_smoke, notes = read_finished_runs(read.outputs)
    recorded = {record.digests.get(STUDY) for record in records}
    new = [run for run in runs if run.digests[STUDY] not in recorded]
    is_wanted = read.config_dir is not None or not {OUTPUTS, PLUGINS}.isdisjoint(read.values)
    if new or is_wanted or not folder.is_dir():
        lines += write_pages(read.outputs, list_known_claims(), [*records, *new])
        if new:
            lines.append(f"{format_count(len(new), 'run')} of {read.outputs} without a record")
        if n_smoke:
            smoke = format_count(n_smoke, "smoke run")
            lines.append(f"left out: {smoke} of {read.outputs}, since smoke runs decide no claim")
    return [*lines, *notes]


def write_pages(folder: Path, claims: Sequence[KnownClaim], runs: Sequence[RunRecord]) -> list[str]:
    """Write board.md and board.html, and return a line on them."""
    rows = make_rows(claims, runs)
    for name, text in (
        (f"{BOARD}.md", render_markdown(rows, runs)),
        (f"{BOARD}.html", render_board_page(rows, runs)),
    ):
        write_atomically(folder / name, text.encode("utf-8", "backslashreplace"))
    return [f"{folder / BOARD}.md and .html: {summary_line(rows)}"]


def renew_readme(readme: Path, records: Sequence[RunRecord]) -> list[str]:
    """Write the head of the board into a README that has marks for it; return a line on it."""
    if not readme.is_file():
        return []
    text = readme.read_text(encoding="utf-8")
    rows = make_rows(list_known_claims(with_user=False), records)
    renewed = replace_head(text, render_head(rows))
    if renewed == text:
        return []
    write_atomically(readme, renewed.encode())
    return [f"{readme}: the head of the board is renewed"]


def read_finished_runs(outputs: Path) -> tuple[list[RunRecord], int, list[str]]:
    """Return the records of the runs below a folder, without smoke runs, which decide nothing.

    Return also the number of smoke runs, and a line for each run that cannot be used.
    """
    records, n_smoke, notes = [], 0, []
    for experiment in list_experiment_folders(outputs):
        for name in list_run_names(outputs / experiment):
            folder = outputs / experiment / RUNS / name
            if read_config_keys(folder).get("scale") == Scale.smoke:
                n_smoke += 1
                continue
            try:
                records.append(record_run(folder))
            except ConfigError as error:
                notes.append(f"left out: {truncate_middle(error, 200)}")
    return records, n_smoke, notes


def find_run_folder(text: str) -> Path:
    """Return the folder of a run, or the run that `latest` names.

    Raises:
        ConfigError: there is no such folder.
    """
    path = Path(text)
    if path.name == latest_run.NAME:
        if run := latest_run.read_latest(path.parent):
            return run
        raise ConfigError(f"{RECORD}={truncate_middle(text, 120)} names no run")
    return existing_folder(RECORD, text, "name a run folder, e.g. outputs/moe/latest")

"""The board as Markdown: docs/board.md, and its head in the README."""

from collections.abc import Sequence
from itertools import groupby

from runner.board import board_texts as texts
from runner.board.record import RunRecord
from runner.board.rows import NEVER_RUN, RULE, BoardRow

BEGIN, END = "<!-- board: begin (written by python -m runner board) -->", "<!-- board: end -->"
HEAD_ROWS = 7
HEADER = (
    "| verdict | claim | published | measured here | study | command |\n|---|---|---|---|---|---|"
)
HEAD_HEADER = "| verdict | claim | published | measured here |\n|---|---|---|---|"


def render_markdown(rows: Sequence[BoardRow], runs: Sequence[RunRecord]) -> str:
    """Return the board as a Markdown page, one table for each experiment."""
    lines = [
        f"# {texts.TITLE}",
        "",
        "`python -m runner board` writes this page from records of runs.",
    ]
    lines += ["It computes nothing: each verdict is that of a run.", ""]
    lines += [f"**{texts.summary_line(rows)}** {texts.runs_line(runs)} {RULE}", ""]
    lines += ["[How verdicts are made](verdicts.md) has the statistics. The same board, to filter:"]
    lines += ["[board.html](board.html).", ""]
    for experiment, group in groupby(rows, key=lambda row: row.claim.experiment):
        lines += [f"## {experiment}", "", HEADER, *map(table_row, group), ""]
    return "\n".join(lines)


def table_row(row: BoardRow) -> str:
    """Return one row of the table of an experiment."""
    claim, chosen = row.claim, row.chosen
    published = texts.published_text(row)
    published += f"<br>source: {claim.source}" if claim.source else ""
    published += f"<br>**contested**: {claim.contested}" if claim.contested else ""
    measured, study = "", ""
    if chosen is not None:
        measured = f"{texts.measured_text(chosen)}<br>{chosen.claim.quantity}"
        measured += f"<br>{row.reason}" if row.reason else ""
        study = "<br>".join(
            [texts.study_text(chosen), *(texts.disagreement_text(one) for one in row.others)]
        )
    time = texts.time_text(row)
    command = f"`{row.command}`" + (f" ({time})" if time else "")
    remark = " (no longer in conf/claims)" if row.is_gone else ""
    cells = [row.standing, f"`{claim.id}`{remark}: {claim.statement}", published, measured, study]
    return f"| {' | '.join(map(as_cell, [*cells, command]))} |"


def as_cell(text: str) -> str:
    """Return a text as the cell of a table: on one line, without bars and tags of its own."""
    line = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return line.replace("&lt;br>", "<br>")


def render_head(rows: Sequence[BoardRow]) -> str:
    """Return the head of the board for the README: counts, and one judged claim by experiment.

    It is the first claim that was not reproduced, if there is one, so that these are not hidden.
    """
    judged = sorted(
        (row for row in rows if row.standing != NEVER_RUN),
        key=lambda row: (row.claim.experiment, row.standing == "reproduced"),
    )
    first = [next(group) for _, group in groupby(judged, key=lambda row: row.claim.experiment)]
    lines = [BEGIN, texts.summary_line(rows), ""]
    if first:
        lines += [HEAD_HEADER, *map(head_row, first[:HEAD_ROWS])]
    return "\n".join([*lines, END])


def head_row(row: BoardRow) -> str:
    """Return one row of the README's table."""
    measured = row.chosen.claim.estimate_text if row.chosen else ""
    cells = [row.standing, f"{row.claim.statement}", texts.published_text(row), measured]
    return f"| {' | '.join(map(as_cell, cells))} |"


def replace_head(text: str, head: str) -> str:
    """Return a README in which the marked block is this head; unchanged without the marks."""
    start, end = text.find(BEGIN), text.find(END)
    if not 0 <= start < end:
        return text
    return f"{text[:start]}{head}{text[end + len(END) :]}"

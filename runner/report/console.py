"""The summary at the end of a run in the terminal: plain text if piped, wrapped and never cut."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from runner.report import page
from runner.report.outcome import Outcome
from runner.report.study_record import StudyRecord

COLOURS = {
    "reproduced": "green",
    "better": "green",
    "contradicted": "red",
    "worse": "red",
    "inconclusive": "yellow",
}


def render_console(study: StudyRecord, outcome: Outcome) -> RenderableType:
    """Return headline tables, verdicts, answer and report path; no text is parsed as markup."""
    parts: list[RenderableType] = []
    for headline in study.headline:
        content = page.comparison_table(study, headline, outcome.comparisons, outcome.summary)
        unit = f" ({content['unit']})" if content["unit"] else ""
        parts.append(Text(f"{content['label']}{unit}, {content['direction']}", style="bold"))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        # Names and intervals stay on one line: where space is short, the words of the result wrap.
        has_short_names = all(len(row["arm"]) <= 20 for row in content["rows"])
        table.add_column(Text("arm"), overflow="fold", no_wrap=has_short_names)
        for head in ("mean [95 %]", f"minus {content['baseline']} [95 %]"):
            table.add_column(Text(head), overflow="fold", no_wrap=True)
        table.add_column(Text("result"), overflow="fold")
        for row in content["rows"]:
            standing = "" if study.scale == "smoke" else row["words"]
            style = COLOURS.get(standing, "yellow" if row["standing"] in COLOURS else "")
            cells = (row["arm"], row["value"], row["difference"])
            table.add_row(*(Text(cell) for cell in cells), Text(standing, style=style))
        parts.append(table)
        parts += [Text(line, style="dim") for line in content["noise"]]
    for finding in outcome.findings:
        line = Text(f"{finding.claim.id}  ", style="bold")
        line.append(str(finding.verdict), style=COLOURS.get(str(finding.verdict), ""))
        line.append(f": {finding.reason}")
        parts.append(line)
    notes = [note for note in study.notes if note not in outcome.warnings]
    parts += [Text(f"note: {note}") for note in dict.fromkeys(notes)]
    parts += [Text(f"warning: {warning}") for warning in dict.fromkeys(outcome.warnings)]
    parts += [Text(), *(Text(line) for line in outcome.answer)]
    # A folded path can be neither clicked nor copied.
    parts.append(Text(f"{outcome.report_path}", overflow="ignore", no_wrap=True))
    parts.append(Text(f"report written in {outcome.seconds:.1f} s", style="dim"))
    return Group(*parts)

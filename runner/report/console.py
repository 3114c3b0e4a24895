"""The summary at the end of a run in the terminal: plain text if piped, wrapped and never cut."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from runner.report.cards import metrics_in_words
from runner.report.comparable_units import displayed_headlines
from runner.report.outcome import Outcome
from runner.report.published import verdict_phrase
from runner.report.study_record import StudyRecord
from runner.report.tables import comparison_table
from runner.wording.names import format_count

COLOURS = {
    "reproduced": "green",
    "better": "green",
    "contradicted": "red",
    "worse": "red",
    "inconclusive": "yellow",
}
NARROW = 10  # characters of a terminal that has no room for an indent
WRAPPED = 24  # characters of a line, at least, where the words of a result wrap
EMPTY_FIGURE = re.compile(
    r"figure (\S+) (?:was skipped|is left out): no (?:finite value|rows?)\b.*"
)
EMPTY_METRIC = re.compile(r"no trial recorded the metric (\S+)")


@dataclass(frozen=True)
class HeadlineTable:
    """The table of one headline for the terminal, in the widest layout that the terminal allows.

    - A table, where the words of the result wrap. Names, values and intervals never do.
    - Columns of names, values and differences, with a long result below its arm.
    - Each arm's values below its name.

    Columns without a cell are left out.

    Attributes:
        head: the names of the columns; the first is of the arms, the last of the results.
        rows: the cells of each arm, in the order of `head`.
        styles: the style of each arm's result.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    styles: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines of the layout that fits."""
        widths = [max(len(row[i]) for row in self.rows) for i in range(len(self.head))]
        fixed = [i for i in range(len(self.head) - 1) if i == 0 or widths[i]]
        heads = {i: wrap_head(self.head[i], widths[i]) for i in fixed}
        # Each column has two spaces on its right, and a table has one on its left.
        width = 1 + sum(2 + max(widths[i], *map(len, heads[i])) for i in fixed)
        words = [word for row in self.rows for word in row[-1].split()]
        narrowest = max(map(len, [*words, self.head[-1]]))
        result_width = 2 + max(narrowest, min(widths[-1], WRAPPED)) if words else 0
        if width + result_width <= options.max_width:
            yield self._table(heads, has_result=bool(words))
        elif width <= options.max_width:
            yield from self._columns(heads, widths, options.max_width)
        else:
            yield from self._blocks(fixed, indent=2 if options.max_width > NARROW else 0)

    def _table(self, heads: Mapping[int, Sequence[str]], *, has_result: bool) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for lines in heads.values():
            table.add_column(Text("\n".join(lines)), overflow="fold", no_wrap=True)
        if has_result:
            table.add_column(Text(self.head[-1]), overflow="fold")
        for row, style in zip(self.rows, self.styles, strict=True):
            result = [Text(row[-1], style=style)] if has_result else []
            table.add_row(*(Text(row[i]) for i in heads), *result)
        return table

    def _columns(
        self, heads: Mapping[int, Sequence[str]], widths: Sequence[int], max_width: int
    ) -> Iterable[RenderableType]:
        spaces = {i: 2 + max(widths[i], *map(len, lines)) for i, lines in heads.items()}
        depth = max(map(len, heads.values()))
        lines_of_head = [[""] * (depth - len(lines)) + [*lines] for lines in heads.values()]
        yield Text()
        for cells in zip(*lines_of_head, strict=True):
            pairs = zip(cells, spaces.values(), strict=True)
            yield Text("".join(cell.ljust(n) for cell, n in pairs).rstrip(), style="bold")
        for row, style in zip(self.rows, self.styles, strict=True):
            # The place of an empty difference is free for the result.
            filled = [i for i in spaces if row[i]]
            columns = [i for i in spaces if i <= filled[-1]]
            line = Text("".join(row[i].ljust(spaces[i]) for i in columns))
            if len(line) + len(row[-1]) <= max_width:
                yield line.append(row[-1], style=style)
            else:
                line.rstrip()
                yield line
                yield Padding(Text(row[-1], style=style), (0, 0, 0, 2), expand=False)
        yield Text()

    def _blocks(self, fixed: Sequence[int], *, indent: int) -> Iterable[RenderableType]:
        yield Text()
        for row, style in zip(self.rows, self.styles, strict=True):
            yield Text(row[0], overflow="fold")
            cells = [f"{self.head[i].removesuffix(' [95 %]')}: {row[i]}" for i in fixed[1:]]
            texts = [Text(cell) for cell in cells if not cell.endswith(": ")]
            texts += [Text(row[-1], style=style)] if row[-1] else []
            yield from (Padding(text, (0, 0, 0, indent), expand=False) for text in texts)
        yield Text()


def wrap_head(head: str, width: int) -> list[str]:
    """Return the lines of a column's head; an interval's level stays whole."""
    longest = max(width, *map(len, head.replace(" %", "\N{NO-BREAK SPACE}%").split(" ")))
    lines = textwrap.wrap(
        head.replace(" %", "\N{NO-BREAK SPACE}%"), longest, break_on_hyphens=False
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def render_console(study: StudyRecord, outcome: Outcome) -> RenderableType:
    """Return headline tables, verdicts, answer and report path; no text is parsed as markup."""
    parts: list[RenderableType] = []
    for headline in displayed_headlines(study):
        content = comparison_table(study, headline, outcome.comparisons, outcome.summary)
        if table := headline_table(study, content):
            unit = f" ({content['unit']})" if content["unit"] else ""
            parts.append(Text(f"{content['label']}{unit}, {content['direction']}", style="bold"))
            parts.append(table)
            lines = [*content.get("notes", ()), *content["noise"]]
            parts += [Text(line, style="dim") for line in lines]
    for finding in outcome.findings:
        line = Text(f"{finding.claim.id}  ", style="bold")
        line.append(verdict_phrase(finding), style=COLOURS.get(str(finding.verdict), ""))
        line.append(f": {study.in_words(finding.reason, metrics_in_words(finding))}")
        parts.append(line)
    notes = [note for note in study.notes if note not in outcome.warnings]
    parts += [Text(f"note: {note}") for note in dict.fromkeys(notes)]
    parts += [Text(f"warning: {warning}") for warning in join_empty(outcome.warnings)]
    parts += [Text(), *(Text(line) for line in outcome.answer)]
    # A folded path can be neither clicked nor copied.
    parts.append(Text(f"{outcome.report_path}", overflow="ignore", no_wrap=True))
    parts.append(Text(f"report written in {outcome.seconds:.1f} s", style="dim"))
    return Group(*parts)


def headline_table(study: StudyRecord, content: dict[str, Any]) -> HeadlineTable | None:
    """Return the table of a headline for the terminal; None if no arm has a value."""
    rows = [row for row in content["rows"] if row["value"] != "no value" or row["difference"]]
    if not rows:
        return None
    is_smoke = study.scale == "smoke"
    head = ("arm", "mean [95 %]", f"minus {content['baseline']} [95 %]", "result")
    cells = [
        (row["arm"], row["value"], row["difference"], "" if is_smoke else row["words"])
        for row in rows
    ]
    styles = [
        COLOURS.get(row["words"], "yellow" if row["standing"] in COLOURS else "") for row in rows
    ]
    return HeadlineTable(head, cells, styles)


def join_empty(warnings: Iterable[str]) -> list[str]:
    """Return each warning once, with one for all metrics and figures that have no value."""
    distinct = list(dict.fromkeys(warnings))
    metrics = [match[1] for line in distinct if (match := EMPTY_METRIC.fullmatch(line))]
    figures = [match[1] for line in distinct if (match := EMPTY_FIGURE.fullmatch(line))]
    if len(metrics) + len(figures) < 2:
        return distinct
    rest = [
        line
        for line in distinct
        if not EMPTY_METRIC.fullmatch(line) and not EMPTY_FIGURE.fullmatch(line)
    ]
    clauses = []
    if metrics:
        clauses.append(f"no trial recorded the metric {', '.join(metrics)}")
    if figures:
        noun = format_count(len(figures), "figure has", "figures have")
        clauses.append(f"{noun} no values: {', '.join(figures)}")
    return ["; ".join(clauses), *rest]

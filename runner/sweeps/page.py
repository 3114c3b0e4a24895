"""Render the page of a sweep: one self-contained file, in the style of a run's page."""

from collections.abc import Mapping, Sequence
from typing import Any

from runner.figures.canvas import PALETTE
from runner.figures.draw import Picture
from runner.figures.figure import Figure
from runner.plan.arguments import format_command
from runner.report import page
from runner.sweeps.record import SweepRecord
from runner.sweeps.tables import failed_rows, headline_table, point_cells, verdict_tables
from runner.sweeps.wording import answer_paragraphs, certainty_lines
from runner.wording.names import format_count

PAGE_FILE = "report.html"
TEMPLATE = "sweep.html"


def render_sweep(
    sweep: SweepRecord,
    figures: Mapping[str, Figure],
    pictures: Mapping[str, Picture],
    warnings: Sequence[str] = (),
) -> str:
    """Return the whole page of a sweep as text."""
    tables = [headline_table(sweep, headline) for headline in sweep.headlines]
    arms = dict.fromkeys(arm for headline in sweep.headlines for arm in headline.arms)
    content: dict[str, Any] = {
        "sweep": sweep,
        "experiments": list(dict.fromkeys(p.experiment for p in sweep.points if p.experiment)),
        "paragraphs": answer_paragraphs(sweep),
        "lines": certainty_lines(sweep),
        "facts": list_facts(sweep),
        "has_names": any(point.name for point in sweep.points),
        "tables": [table for table in tables if table["rows"]],
        "figures": [
            page.figure_content(name, figure, pictures[name], None)
            for name, figure in figures.items()
            if name in pictures
        ],
        "verdicts": verdict_tables(sweep),
        "failures": failed_rows(sweep),
        "reports": [
            point_cells(sweep, point) | {"command": format_command(point.overrides)}
            for point in sweep.reported
        ],
        "swatches": {arm: i % len(PALETTE) for i, arm in enumerate(arms)},
        "warnings": [*sweep.notes, *warnings],
    }
    return page.render_template(TEMPLATE, content)


def list_facts(sweep: SweepRecord) -> list[str]:
    """Return the size of the sweep: points, arms and swept keys."""
    arms = {arm for headline in sweep.headlines for arm in headline.arms}
    facts = [format_count(len(sweep.points), "point"), format_count(len(arms), "arm")]
    if sweep.keys:
        facts.append(f"swept: {', '.join(sweep.keys)}")
    return facts

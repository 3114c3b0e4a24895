"""The board as one self-contained page, in the style of a report. jinja2 escapes every text."""

from collections.abc import Sequence
from itertools import groupby

from runner.board import board_texts
from runner.board.record import RunRecord
from runner.board.rows import RULE, TOO_SMALL, BoardRow, count_standings
from runner.report.page_parts import STYLE, TEMPLATES, make_environment, security_policy

TEMPLATE, EXTRA_STYLE, FILTER = "board.html", "board.css", "board_filter.js"
FONT_FAMILY = "sans-serif"  # the page embeds no font


def render_board_page(rows: Sequence[BoardRow], runs: Sequence[RunRecord]) -> str:
    """Return the page of all claims, one table for each experiment, with two filters."""
    from markupsafe import Markup

    environment = make_environment()
    style = environment.get_template(STYLE).render(family=FONT_FAMILY, woff="", colours=())
    style += (TEMPLATES / EXTRA_STYLE).read_text(encoding="utf-8")
    script = (TEMPLATES / FILTER).read_text(encoding="utf-8")
    groups = groupby(rows, key=lambda row: row.claim.experiment)
    page: str = environment.get_template(TEMPLATE).render(
        style=Markup(style),
        script=Markup(script),
        policy=Markup(security_policy(style, script)),
        title=board_texts.TITLE,
        summary=board_texts.summary_line(rows),
        runs=board_texts.runs_line(runs),
        rule=RULE,
        counts=count_standings(rows),
        groups=[(name, list(group)) for name, group in groups],
        too_small=TOO_SMALL,
        texts=board_texts,
    )
    return page + "\n"

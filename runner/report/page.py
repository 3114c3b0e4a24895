"""Render report.html: one self-contained file, in which jinja2 escapes every text.

The page carries its style, script, pictures and, where it needs one, a font. It requests nothing:
its content security policy allows only these parts.
"""

import base64
import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from runner.claims.finding import Finding
from runner.figures.canvas import PALETTE
from runner.figures.draw import Picture
from runner.figures.figure import DIFFERENCES, Figure, TextTable
from runner.report import comparable_units, page_font
from runner.report.answer import lead_sentences
from runner.report.cards import verdict_card
from runner.report.headlines import HeadlineComparison
from runner.report.next_steps import describe_setting, next_commands
from runner.report.page_parts import make_environment, render_parts
from runner.report.study_record import StudyRecord
from runner.report.tables import comparison_table, cost_table
from runner.wording import quantity
from runner.wording.names import format_count
from runner.wording.phrases import count_range

TEMPLATE = "report.html"
MAX_SVG_RATIO = 3  # of the sizes of SVG and PNG; a larger SVG is replaced by the PNG
PLAIN_NAME = re.compile(r"(?!(?i:null|true|false|nan|inf)$)[A-Za-z_][\w.-]*")
"""Names that need no quotes in Hydra."""


def render(
    study: StudyRecord,
    *,
    answer: Sequence[str],
    comparisons: Sequence[HeadlineComparison],
    summary: pd.DataFrame,
    findings: Sequence[Finding],
    pictures: Mapping[str, Picture],
    text_tables: Mapping[str, TextTable],
    warnings: Sequence[str],
    left_out: Sequence[str] = (),
) -> str:
    """Return the whole page as text.

    `answer` begins with a line for each headline. `left_out` are lines on figures and texts that
    the page leaves out on purpose.
    """
    leads = lead_sentences(study, comparisons)
    tables = [
        comparison_table(study, headline, comparisons, summary)
        for headline in comparable_units.displayed_headlines(study)
    ]
    drawn = {
        name: figure_content(name, figure, pictures.get(name), text_tables.get(name))
        for name, figure in study.figures.items()
        if name in pictures or name in text_tables
    }
    content: dict[str, Any] = {
        "study": study,
        "leads": leads,
        "lines": answer[len(leads) :],
        "smoke": study.scale == "smoke",
        "facts": _facts(study),
        "setting": describe_setting(study),
        "next_commands": next_commands(study),
        "card_groups": card_groups(study, findings),
        "comparisons": [table for table in tables if table["rows"]],
        "costs": cost_table(study, summary),
        "first_figure": drawn.pop(DIFFERENCES, None),
        "figures": [*drawn.values()],
        "left_out": left_out,
        "swatches": {arm: i % len(PALETTE) for i, arm in enumerate(study.arms)},
        "arms": [
            (arm, *_arm_command(study, arm, overrides)) for arm, overrides in study.arms.items()
        ],
        "failures": study.trials[study.trials["status"] != "done"].to_dict("records"),
        "environment": study.environment_rows,
        "warnings": [*study.notes, *warnings],
    }
    return render_template(TEMPLATE, content)


def render_template(name: str, content: dict[str, Any]) -> str:
    """Return a page with style and script, and with a font for the characters that it shows.

    `content` has the values of the template; its `warnings` are lines on the page.
    """
    environment = make_environment()
    template = environment.get_template(name)
    parts: dict[str, Any] = {"style": "", "policy": "", "script": "", "licence": ""}
    # The page is rendered once to see which characters it shows, and then with their font.
    font = page_font.font_for(template.render(content | parts))
    if font.note:
        content = {**content, "warnings": [*content["warnings"], font.note]}
    parts = render_parts(environment, family=page_font.FAMILY, woff=font.woff, colours=[*PALETTE])
    return template.render(content | parts | {"licence": page_font.LICENCE if font.woff else ""})


def card_groups(
    study: StudyRecord, findings: Sequence[Finding]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the cards of the published claims and of the user's own, each group with its title."""
    groups = (("Verdicts on published claims", True), ("Verdicts on your own claims", False))
    return [
        (
            title,
            [verdict_card(finding, study) for finding in findings if finding.shipped is shipped],
        )
        for title, shipped in groups
        if any(finding.shipped is shipped for finding in findings)
    ]


def _facts(study: StudyRecord) -> list[str]:
    """Return the size of the study: arms, seeds, trials, compute time."""
    seeds = study.trials.groupby("arm")["seed"].nunique()
    each = " each" if len(study.arms) > 1 else ""
    statuses = study.trials.groupby("status").size().to_dict()
    trials = f"trials: {', '.join(f'{n} {status}' for status, n in statuses.items())}"
    if reused := int(study.trials["reused"].sum()):
        trials += f" ({reused} reused from earlier runs)"
    seconds = quantity.format_quantity(float(study.trials["seconds"].sum()), "s", digits=2)
    return [
        format_count(len(study.arms), "arm"),
        f"{count_range([int(n) for n in seeds], 'seed')}{each}",
        trials,
        f"{seconds} of compute time in all trials",
    ]


def _arm_command(study: StudyRecord, arm: str, overrides: Sequence[str]) -> tuple[str, str]:
    """Return the study's command for this arm alone, and the arm's overrides."""
    words = [word for word in shlex.split(study.command) if word.lstrip("+").split("=")[0] != "arm"]
    name = arm if PLAIN_NAME.fullmatch(arm) else json.dumps(arm, ensure_ascii=False)
    return shlex.join([*words, f"arm={name}"]), shlex.join(overrides)


def figure_content(
    name: str, figure: Figure, picture: Picture | None, text_table: TextTable | None
) -> dict[str, Any]:
    """Return the values of a figure for a template: its picture or table, texts and points."""
    texts = {"key": name, "title": figure.title, "caption": figure.caption, "table": text_table}
    if picture is None:
        return texts | {"source": "", "alt": "", "points": "", "n_points": ""}
    points = [
        (round(point.x, 4), round(point.y, 4), point.text)
        for point in picture.points
        if math.isfinite(point.x) and math.isfinite(point.y)
    ]
    return texts | {
        "source": _source(picture),
        "alt": picture.alt or figure.title,
        "points": json.dumps(points, ensure_ascii=False, separators=(",", ":")) if points else "",
        "n_points": format_count(len(points), "point"),
    }


def _source(picture: Picture) -> str:
    # In an <img>, an SVG's names and styles cannot affect the page, and its scripts do not run.
    data, kind = picture.svg, "svg+xml"
    if len(picture.svg) > MAX_SVG_RATIO * len(picture.png):
        data, kind = picture.png, "png"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

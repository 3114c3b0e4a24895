"""Render report.html: one self-contained file, in which jinja2 escapes every text."""

import base64
import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from runner.claims.finding import Finding
from runner.claims.headline import Headline
from runner.figures.canvas import PALETTE
from runner.figures.draw import Picture
from runner.figures.figure import Figure, TextTable
from runner.metric_names import MACHINE_UNITS
from runner.report import answer as answers
from runner.report import timing_stability, trial_notes
from runner.report.cards import verdict_card
from runner.report.headlines import HeadlineComparison
from runner.report.study_record import StudyRecord
from runner.wording import quantity

TEMPLATE = "report.html"
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
) -> str:
    """Return the whole page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    seeds = study.trials.groupby("arm")["seed"].nunique()
    trials = study.trials.groupby("status").size().to_dict()
    return environment.get_template(TEMPLATE).render(
        study=study,
        answer=answer,
        smoke=study.scale == "smoke",
        n_seeds=sorted({int(n) for n in seeds}),
        trials=", ".join(f"{n} {status}" for status, n in trials.items()),
        reused=int(study.trials["reused"].sum()),
        seconds=quantity.format_quantity(float(study.trials["seconds"].sum()), "s"),
        card_groups=card_groups(study, findings),
        comparisons=[comparison_table(study, h, comparisons, summary) for h in study.headline],
        costs=cost_table(study, summary),
        figures=[
            _figure(name, figure, pictures.get(name), text_tables.get(name))
            for name, figure in study.figures.items()
            if name in pictures or name in text_tables
        ],
        swatches={arm: PALETTE[i % len(PALETTE)] for i, arm in enumerate(study.arms)},
        arms=[(arm, *_arm_command(study, arm, overrides)) for arm, overrides in study.arms.items()],
        failures=study.trials[study.trials["status"] != "done"].to_dict("records"),
        environment=[(key, str(value)) for key, value in study.environment.items()],
        warnings=[*study.notes, *warnings],
    )


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


def comparison_table(
    study: StudyRecord,
    headline: Headline,
    compared: Sequence[HeadlineComparison],
    summary: pd.DataFrame,
) -> dict[str, Any]:
    """Return the table of one headline metric: a row per arm, in the order of the arms."""
    rows: list[dict[str, Any]] = []
    means = summary[summary["metric"] == headline.metric]
    mine = {row["arm"]: row for row in means.to_dict("records")}
    against = {one.arm: one for one in compared if one.headline is headline}
    baseline = study.baseline_of(headline)
    for arm in study.arms:
        if arm not in mine and arm not in against and headline.baseline:
            continue
        row = {
            "arm": arm,
            "value": "no value",
            "difference": "",
            "p": "",
            "standing": "",
            "words": "",
        }
        if arm in mine:
            mean = mine[arm]
            row["value"] = quantity.format_mean(
                mean["mean"], mean["low"], mean["high"], int(mean["n"])
            )
            row["value"] += _of_planned(study, arm, int(mean["n"]))
        if arm in against:
            result = against[arm]
            row["difference"] = result.difference
            row["p"] = quantity.format_p_value(result.decision.p)
            row["standing"], row["words"] = str(result.standing), result.words
        else:
            row["standing"] = row["words"] = _role(study, arm, baseline)
        rows.append(row)
    units = [row["unit"] for row in mine.values() if row["unit"] != "1"]
    unit = str(units[0]) if units else ""
    detectable = {
        f"{one.arm} {quantity.format_quantity(one.decision.minimum_detectable_effect, unit)}"
        for one in against.values()
        if math.isfinite(one.decision.minimum_detectable_effect)
    }
    return {
        "label": headline.label,
        "metric": headline.metric,
        "unit": unit,
        "direction": answers.DIRECTION_WORDS[headline.direction],
        "baseline": baseline,
        "rows": rows,
        "detectable": sorted(detectable),
        "noise": _noise(study, headline.metric),
    }


def _of_planned(study: StudyRecord, arm: str, n: int) -> str:
    """Return " (6 of 8 seeds)" if a mean is not over all planned seeds of an arm; else ""."""
    planned = int((study.trials["arm"] == arm).sum())
    return f" ({n} of {planned} seeds)" if n < planned else ""


def _role(study: StudyRecord, arm: str, baseline: str) -> str:
    """Return the role of an arm that is not compared with the baseline."""
    if arm == baseline:
        return "baseline"
    if arm in study.aa_pairs:
        return f"A/A pair of {study.aa_pairs[arm]}"
    if arm in study.controls:
        return "control arm"
    return "other seeds" if study.seed_offsets.get(arm) != study.seed_offsets.get(baseline) else ""


def cost_table(study: StudyRecord, summary: pd.DataFrame) -> dict[str, Any]:
    """Return each arm's costs, a column per cost metric; counts also relative to the baseline.

    Times and memory are left out if the trials come from different machines.
    """
    units = summary.drop_duplicates("metric").set_index("metric")["unit"]
    left_out = MACHINE_UNITS if trial_notes.machines_differ(study.trials) else frozenset()
    metrics = [m for m in study.cost_metrics if m in units and units[m] not in left_out]
    cells = {(row.arm, row.metric): row for row in summary.itertuples()}
    head = [
        f"{m.partition('/')[2].replace('_', ' ') if m.startswith('cost/') else m}"
        + (f" ({units[m]})" if units[m] not in ("", "1", "parameters") else "")
        for m in metrics
    ]
    rows = []
    for arm in study.arms:
        row = [
            (cells.get((arm, metric)), cells.get((study.baseline, metric))) for metric in metrics
        ]
        rows.append((arm, [_cost(cell) + _cost_deviation(cell, base) for cell, base in row]))
    noise = [f"{metric}: {line}" for metric in metrics for line in _noise(study, metric)]
    return {"head": head, "rows": rows, "noise": noise}


def _noise(study: StudyRecord, metric: str) -> list[str]:
    """Return the noise floors of a metric that depends on the machine."""
    if study.scale == "smoke":
        return []
    return timing_stability.noise_floor_lines(study.results, study.aa_pairs, metric)


def _cost_deviation(cell: Any, base: Any) -> str:
    """Return a count's deviation from the baseline's, after any matching: " (+3.2%)" or ""."""
    if cell is None or base is None or not math.isnan(cell.low) or not base.mean:
        return ""
    off = cell.mean / base.mean - 1
    return f" ({off:+.1%})" if off else ""


def _cost(cell: Any) -> str:
    if cell is None:
        return quantity.NO_VALUE
    if math.isnan(cell.low) and cell.n > 1:
        return quantity.format_number(cell.mean)  # a count: the same at every seed
    return quantity.format_mean(cell.mean, cell.low, cell.high, int(cell.n))


def _arm_command(study: StudyRecord, arm: str, overrides: Sequence[str]) -> tuple[str, str]:
    """Return the study's command for this arm alone, and the arm's overrides."""
    words = [word for word in shlex.split(study.command) if word.lstrip("+").split("=")[0] != "arm"]
    name = arm if PLAIN_NAME.fullmatch(arm) else json.dumps(arm, ensure_ascii=False)
    return shlex.join([*words, f"arm={name}"]), shlex.join(overrides)


def _figure(
    name: str, figure: Figure, picture: Picture | None, text_table: TextTable | None
) -> dict[str, Any]:
    texts = {"key": name, "title": figure.title, "caption": figure.caption, "table": text_table}
    return texts | {"source": _source(picture) if picture else ""}


def _source(picture: Picture) -> str:
    # In an <img>, an SVG's names and styles cannot affect the page, and its scripts do not run.
    data, kind = picture.svg, "svg+xml"
    if len(picture.svg) > 3 * len(picture.png):
        data, kind = picture.png, "png"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

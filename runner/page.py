"""report.html: one file that a stranger understands, with nothing to fetch; jinja2 escapes."""

import base64
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from runner import answer, quantity
from runner.canvas import PALETTE
from runner.plots import Picture
from runner.record import Headline, StudyRecord
from runner.verdicts import Finding

TEMPLATE = "report.html"


def render(
    study: StudyRecord,
    *,
    sentence: str,
    comparison: pd.DataFrame,
    summary: pd.DataFrame,
    findings: Sequence[Finding],
    pictures: Mapping[str, Picture],
    warnings: Sequence[str],
) -> str:
    """The whole page as text."""
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
        answer=sentence,
        smoke=study.scale == "smoke",
        n_seeds=sorted({int(n) for n in seeds}),
        trials=", ".join(f"{n} {status}" for status, n in trials.items()),
        reused=int(study.trials["reused"].sum()),
        seconds=quantity.quantity(float(study.trials["seconds"].sum()), "s"),
        cards=[card(finding, study) for finding in findings],
        comparisons=[comparison_table(study, h, comparison, summary) for h in study.headline],
        costs=cost_table(study, summary),
        figures=[_figure(key, picture) for key, picture in pictures.items()],
        swatches={arm: PALETTE[i % len(PALETTE)] for i, arm in enumerate(study.arms)},
        arms=[(arm, *_typed(study, arm, overrides)) for arm, overrides in study.arms.items()],
        failures=study.trials[study.trials["status"] != "done"].to_dict("records"),
        environment=[(key, str(value)) for key, value in study.environment.items()],
        warnings=[*study.notes, *warnings],
    )


def card(finding: Finding, study: StudyRecord) -> dict[str, Any]:
    """What a verdict card shows, as text."""
    claim, interval = finding.claim, finding.interval
    units = study.results.loc[study.results["metric"] == claim.metric, "unit"]
    unit = str(units.iloc[0]) if len(units) else ""
    detectable = finding.minimum_detectable_effect

    def estimate(found: Any) -> str:
        text = quantity.with_interval(found.mean, found.low, found.high, found.n, difference=True)
        return text if unit in ("", "1") else f"{text} {unit}"

    return {
        "id": claim.id,
        "verdict": str(finding.verdict),
        "statement": claim.statement,
        "published": claim.published,
        "source": claim.source,
        "what": f"{study.label(claim.metric)}: {claim.arm} minus {claim.control}",
        "ours": estimate(interval) if interval else "no estimate",
        "confidence": f"{100 * (1 - claim.alpha):.3g} %",
        "n": f"{finding.n} of {claim.n}",
        "nothing": quantity.NOTHING,
        "p": quantity.p_value(finding.p),
        "p_holm": quantity.p_value(finding.p_holm),
        "detectable": ""
        if detectable is None
        else "none: too few seeds"
        if math.isinf(detectable)
        else quantity.quantity(detectable, unit),
        "reason": finding.reason,
        "extra": f"{estimate(finding.extra_estimate)} over {finding.extra_estimate.n} seeds"
        if finding.extra_estimate
        else "",
    }


def comparison_table(
    study: StudyRecord, headline: Headline, comparison: pd.DataFrame, summary: pd.DataFrame
) -> dict[str, Any]:
    """One headline metric: a row per arm, in the order of the arms."""
    rows: list[dict[str, Any]] = []
    shown = summary[summary["metric"] == headline.metric]
    mine = {row["arm"]: row for row in shown.to_dict("records")}
    compared = answer.rows_of(comparison, headline.metric).to_dict("records")
    against = {row["arm"]: row for row in compared}
    for arm in study.arms:
        if arm not in mine:
            rows.append(
                {"arm": arm, "value": "no value", "difference": "", "p": "", "standing": ""}
            )
            continue
        ours = mine[arm]
        row = {
            "arm": arm,
            "n": int(ours["n"]),
            "value": quantity.with_interval(
                ours["mean"], ours["low"], ours["high"], int(ours["n"])
            ),
            "difference": "",
            "p": "",
            "standing": "baseline" if arm == study.baseline else "",
        }
        if arm in against:
            found = against[arm]
            row["difference"] = quantity.with_interval(
                found["difference"], found["low"], found["high"], int(found["n"]), difference=True
            )
            row["p"] = quantity.p_value(found["p_holm"])
            row["standing"] = answer.standing(found, headline)
        rows.append(row)
    units = [row["unit"] for row in mine.values() if row["unit"] != "1"]
    unit = str(units[0]) if units else ""
    wanted = "lower is better" if headline.direction == "less" else "higher is better"
    return {
        "label": headline.label,
        "metric": headline.metric,
        "unit": unit,
        "wanted": wanted,
        "rows": rows,
    }


def cost_table(study: StudyRecord, summary: pd.DataFrame) -> dict[str, Any]:
    """What each arm costs: a column per cost metric that was recorded."""
    shown = [m for m in study.cost_metrics if (summary["metric"] == m).any()]
    cells = {(row.arm, row.metric): row for row in summary.itertuples()}
    units = summary.drop_duplicates("metric").set_index("metric")["unit"]
    head = [
        f"{m.partition('/')[2].replace('_', ' ') if m.startswith('cost/') else m}"
        + (f" ({units[m]})" if units[m] not in ("", "1", "parameters") else "")
        for m in shown
    ]
    rows = []
    for arm in study.arms:
        row = [cells.get((arm, metric)) for metric in shown]
        rows.append((arm, [_cost(c) for c in row]))
    return {"head": head, "rows": rows}


def _cost(cell: Any) -> str:
    if cell is None:
        return quantity.NOTHING
    if math.isnan(cell.low) and cell.n > 1:
        return quantity.number(cell.mean)  # a count: the same at every seed
    return quantity.with_interval(cell.mean, cell.low, cell.high, int(cell.n))


def _typed(study: StudyRecord, arm: str, overrides: Sequence[str]) -> tuple[str, str]:
    """The command that computes one arm, and the overrides that the arm's name stands for."""
    command = f"python -m runner experiment={study.experiment} {shlex.quote(f'arm={arm}')}"
    return command, " ".join(shlex.quote(override) for override in overrides)


def _figure(key: str, picture: Picture) -> dict[str, str]:
    # An <img> keeps each SVG's names and styles apart from the page's, and runs no script.
    data = base64.b64encode(picture.svg).decode()
    kind = "svg+xml"
    if len(picture.svg) > 3 * len(picture.png):
        data, kind = base64.b64encode(picture.png).decode(), "png"
    return {
        "key": key,
        "title": picture.spec.title,
        "caption": picture.spec.caption,
        "source": f"data:image/{kind};base64,{data}",
    }

"""From the trial store to the tables that a report is made of. Imports no torch."""

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from runner import claims, figures, provenance, record
from runner.config import ConfigError, Study, flatten
from runner.planning import Plan
from runner.store import FINISHED

if TYPE_CHECKING:
    from runner.study import Entry

RESULT_COLUMNS = ["arm", "seed", "metric", "value", "unit"]
HISTORY_COLUMNS = ["arm", "seed", "step", "metric", "value"]


@dataclass(frozen=True)
class Outline:
    """The typed claims, figures and headline of a study."""

    headline: list[record.Headline]
    claims: list[claims.Claim]
    figures: dict[str, figures.FigureSpec]


def outline(study: Study) -> Outline:
    """Read claims, figures and headline; done before anything is computed.

    Raises:
        ConfigError: one that makes no sense.
    """
    try:
        return Outline(
            headline=[headline(entry) for entry in study.headline],
            claims=[claims.Claim.from_mapping(name, claim) for name, claim in study.claims.items()],
            figures={name: figures.figure_spec(spec) for name, spec in study.figures.items()},
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error).splitlines()[0]) from error


def headline(entry: dict[str, Any]) -> record.Headline:
    """One metric that the answer is about."""
    return record.Headline(**entry)


def tables(entries: Sequence["Entry"]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The frames results, history and trials of a plan's trials.

    As `record.StudyRecord` names their columns.
    """
    results, history, trials = [], [], []
    for entry in entries:
        name, slot = entry.arm.name, entry.slot
        status = slot.status()
        trials.append(
            {
                "arm": name,
                "seed": entry.seed,
                "status": status["state"],
                "seconds": status.get("seconds", float("nan")),
                "reused": entry.reused,
                "folder": str(slot.folder),
                "message": status.get("message", ""),
            }
        )
        result = slot.result()
        if result is None:
            continue
        results += [{"arm": name, "seed": entry.seed, **row} for row in result["results"]]
        curves = slot.folder / "metrics.csv"
        if curves.exists():
            history.append(pd.read_csv(curves).assign(arm=name, seed=entry.seed))
    frame = (
        pd.concat(history, ignore_index=True) if history else pd.DataFrame(columns=HISTORY_COLUMNS)
    )
    return (
        pd.DataFrame(results, columns=RESULT_COLUMNS),
        frame[HISTORY_COLUMNS],
        pd.DataFrame(trials),
    )


def kept_tables(entries: Sequence["Entry"]) -> dict[str, pd.DataFrame]:
    """The tables that trials keep beside their numbers, by name, with the columns arm and seed."""
    found: dict[str, list[pd.DataFrame]] = {}
    for entry in entries:
        for path in sorted((entry.slot.folder / "tables").glob("*.csv")):
            frame = pd.read_csv(path, keep_default_na=False)
            frame.insert(0, "arm", entry.arm.name)
            frame.insert(1, "seed", entry.seed)
            found.setdefault(path.stem, []).append(frame)
    return {name: pd.concat(frames, ignore_index=True) for name, frames in found.items()}


def run_folder(plan: Plan) -> Path:
    """A new folder for one invocation; it never overwrites another."""
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    folder = plan.outputs / plan.experiment / "runs" / f"{now}-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=False)
    return folder


def report(plan: Plan, entries: Sequence["Entry"], outline: Outline) -> Path | None:
    """Write the report of a plan's trials and print its summary.

    None where no trial has a result.
    """
    if not any(entry.slot.status()["state"] in FINISHED for entry in entries):
        return None
    from rich.console import Console

    from runner import report as reports

    results, history, trials = tables(entries)
    study = record.StudyRecord(
        experiment=plan.experiment,
        question=plan.study.question,
        scale=plan.study.scale.value,
        command=provenance.command_line(),
        arms={arm.name: list(arm.overrides) for arm in plan.arms},
        baseline=baseline(plan),
        headline=outline.headline,
        results=results,
        history=history,
        trials=trials,
        config_yaml=plan.config_yaml,
        environment=provenance.environment(provenance.command_line()),
        claims=outline.claims,
        figures=outline.figures,
        notes=plan.notes,
        not_tested=plan.study.not_tested,
        hparams={arm.name: flatten(arm.config.tree()) for arm in plan.arms},
        tables=kept_tables(entries),
    )
    folder = run_folder(plan)
    outcome = reports.write_report(folder, study)
    Console().print(reports.console(study, outcome), crop=False)
    return folder


def baseline(plan: Plan) -> str:
    """The arm that others are compared with.

    The study's, or the first where that is not computed.
    """
    names = [arm.name for arm in plan.arms]
    return plan.study.baseline if plan.study.baseline in names else names[0]

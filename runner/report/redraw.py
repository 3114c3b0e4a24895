"""`python -m runner redraw <run>`: report and figures again from a run's records. No torch."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from runner.config import ConfigError
from runner.files import read_json
from runner.plan.outline import outline
from runner.plan.reading import read_study
from runner.report import gather, origins

USAGE = "python -m runner redraw <run>, e.g. outputs/moe/runs/<time>"
NEEDED = (gather.SUMMARY, "config.yaml", "environment.json", "results.csv")


def redraw(arguments: Sequence[str]) -> None:
    """Write the report of a finished run anew, in its folder.

    Final values are the run's own. Curves and tables lie with the trials, which later runs may have
    computed again, or somebody changed: those of such trials are left out, and the report says so.

    Raises:
        ConfigError: not one folder is given, or it is no run's.
    """
    if any(word in ("-h", "--help") for word in arguments):
        print(f"usage: {USAGE}")  # noqa: T201
        return
    if len(arguments) != 1:
        raise ConfigError(f"type {USAGE}")
    folder = Path(arguments[0])
    lacking = [name for name in NEEDED if not (folder / name).is_file()]
    if lacking:
        raise ConfigError(f"{folder} is no folder of a run: it lacks {', '.join(lacking)}")
    summary = read_json(folder / gather.SUMMARY)
    environment = read_json(folder / "environment.json")
    if summary is None or environment is None:
        raise ConfigError(f"{folder}: {gather.SUMMARY} or environment.json is damaged")
    config_yaml = (folder / "config.yaml").read_text(encoding="utf-8")
    config = OmegaConf.create(config_yaml)
    assert isinstance(config, DictConfig)
    told = outline(read_study(config))
    try:
        lacking = [key for key in gather.NEEDED if key not in summary]
        if lacking:
            raise KeyError(", ".join(lacking))
        trials = pd.DataFrame(summary["trials"])
        if "digest" not in trials or "conditions" not in summary:
            raise ConfigError(
                f"{folder} was written by an older version, which did not record what a fair "
                f"answer needs; run it again: {summary['command']}"
            )
        trials["folder"] = [str((folder / path).resolve()) for path in trials.folder]
        # JSON has its keys sorted; the order of arms is that of every table and colour.
        summary["arms"] = {arm: summary["arms"][arm] for arm in dict.fromkeys(trials.arm)}
        changed = origins.changes(trials)
        intact = trials[[not change for change in changed]]
        faults = gather.edited(folder, summary)
        # Values that somebody has changed are left out; those of intact trials stand in for them.
        changed_values = any(fault.startswith(gather.VALUES) for fault in faults)
        values = None if changed_values else results_of(folder)
        study = gather.assemble(config_yaml, told, summary, environment, trials, values, intact)
    except ConfigError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{folder}: {gather.SUMMARY} or {gather.VALUES} is no record of a run: {error}"
        ) from error
    notes = [*origins.redrawn_notes(trials, changed), *(f"redrawn: {fault}" for fault in faults)]
    if changed_values:
        notes.append(f"redrawn: shown are the values of the trials themselves, not {gather.VALUES}")
    gather.write(folder, dataclasses.replace(study, notes=[*study.notes, *notes]))


def results_of(folder: Path) -> pd.DataFrame:
    """The final values of a run, to the bit."""
    return pd.read_csv(
        folder / "results.csv",
        dtype={"arm": str, "metric": str, "unit": str},
        converters={"value": lambda text: float(text or "nan")},
        keep_default_na=False,
    )

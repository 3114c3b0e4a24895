"""`python -m runner redraw <run>`: report and figures again from a run's records. No torch."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from runner import gather
from runner.config import ConfigError, read_study
from runner.outline import outline
from runner.store import read_json


def redraw(arguments: Sequence[str]) -> None:
    """Write the report of a finished run anew, in its folder, from its records and its trials'.

    Raises:
        ConfigError: not one folder is given, or it is no run's.
    """
    if len(arguments) != 1:
        raise ConfigError("type python -m runner redraw <run>, e.g. outputs/moe/runs/<time>")
    folder = Path(arguments[0])
    summary = read_json(folder / gather.SUMMARY)
    if summary is None or not (folder / "config.yaml").exists():
        raise ConfigError(
            f"{folder} is no folder of a run: it lacks {gather.SUMMARY} or config.yaml"
        )
    config_yaml = (folder / "config.yaml").read_text()
    config = OmegaConf.create(config_yaml)
    assert isinstance(config, DictConfig)
    trials = pd.DataFrame(summary["trials"])
    trials["folder"] = [str((folder / path).resolve()) for path in trials.folder]
    lost = [path for path in trials.folder if not Path(path).is_dir()]
    if lost:
        raise ConfigError(f"{len(lost)} trials of this run are gone, the first: {lost[0]}")
    environment = json.loads((folder / "environment.json").read_text())
    study = gather.assemble(config_yaml, outline(read_study(config)), summary, environment, trials)
    gather.write(folder, study)

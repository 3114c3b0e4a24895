"""`python -m runner` alone lists the experiments: question, arms, time.

Reads the YAML files and needs no Hydra.
"""

import os
from pathlib import Path
from typing import Any

import yaml

from runner.config import ConfigError
from runner.plan.option_folders import CONF, check_inside, check_user_files, read_yaml
from runner.plan.security import check_yaml_file
from runner.wording.names import format_count
from runner.wording.output import MAX_CHARACTERS, truncate_middle

SCALES = ("smoke", "quick", "full")
FOLDER_FLAGS = ("--config-dir", "-cd")


def list_experiments(own: Path | None = None) -> str:
    """The list of experiments as text: ours, then those of a user's own folder.

    Raises:
        ConfigError: the folder is none, or a file of it must not be read.
    """
    command = "python -m runner" + (f" --config-dir={truncate_middle(own)}" if own else "")
    lines = [f"Experiments ({command} experiment=<name> [scale=smoke|quick|full]):", ""]
    if own is not None:
        if not own.is_dir():
            raise ConfigError(f"--config-dir {own} is not a folder")
        check_user_files(own)
    for folder in (CONF, own):
        for path in sorted((folder / "experiment").glob("*.yaml") if folder else ()):
            lines += [*describe_experiment(path), ""]
    for path in sorted(own.glob("*.y*ml")) if own else ():
        lines += [
            f"{truncate_middle(path)} is not read, since it lies in no group; an experiment is "
            "experiment/<name>.yaml",
            "",
        ]
    lines.append("See python -m runner --help for every option, README.md for the rest.")
    return "\n".join(lines)


def describe_experiment(path: Path) -> list[str]:
    """The lines of one experiment: name, question, arms and time at each scale."""
    try:
        experiment = read_checked_yaml(path)
        lines = [truncate_middle(path.stem, 80), f"  {in_a_line(experiment.get('question', ''))}"]
        for scale in SCALES:
            preset = path.parents[1] / "preset" / f"{path.stem}_{scale}.yaml"
            if os.path.lexists(preset):
                lines.append(f"  {scale:<6} {at_scale(read_checked_yaml(preset), experiment)}")
    except ConfigError:
        raise
    except (AttributeError, TypeError, OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is no experiment; README has one of ten lines") from error
    return lines


def at_scale(preset: dict[str, Any], experiment: dict[str, Any]) -> str:
    """Seeds, arms and time that a preset says; arms that are no list of names are left out."""
    seeds = preset.get("n_seeds", experiment.get("n_seeds", 1))
    arms = preset.get("arm") or experiment.get("arm") or list(experiment.get("arms") or ())
    names = [arms] if isinstance(arms, str) else arms
    told = (
        format_count(seeds, "seed") if isinstance(seeds, int) else f"{in_a_line(seeds, 20)} seeds"
    )
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        told += f" of {in_a_line(', '.join(names))}"
    time = preset.get("duration")
    return f"{told}; {in_a_line(time, 80)}" if time else told


def read_checked_yaml(path: Path) -> dict[str, Any]:
    """What a YAML file says. A user's is read only where a run would read it, too."""
    if not path.is_relative_to(CONF):
        check_inside(path, path.parents[1])
        check_yaml_file(path)
    return read_yaml(path)


def in_a_line(text: object, letters: int = MAX_CHARACTERS) -> str:
    """What a file says, as a short line that does nothing to a terminal."""
    return " ".join(truncate_middle(text, letters).split())


def parse_list_request(arguments: list[str]) -> tuple[bool, Path | None]:
    """Whether a command asks for the list, and the user's own folder that it names."""
    if not arguments:
        return True, None
    flag, equals, folder = arguments[0].partition("=")
    if flag not in FOLDER_FLAGS:
        return False, None
    rest = arguments[1:] if equals else arguments[2:]
    folder = folder if equals else "".join(arguments[1:2])
    return not rest and bool(folder), Path(folder)

"""The list that `python -m runner` prints without arguments: experiments, arms, time.

It reads the YAML files itself, without Hydra.
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


def list_experiments(user_folder: Path | None = None) -> str:
    """Return the list of experiments as text: ablab's, then those of the user's folder.

    Raises:
        ConfigError: the user's folder does not exist, or one of its files is refused.
    """
    command = "python -m runner" + (
        f" --config-dir={truncate_middle(user_folder)}" if user_folder else ""
    )
    lines = [f"Experiments ({command} experiment=<name> [scale=smoke|quick|full]):", ""]
    if user_folder is not None:
        if not user_folder.is_dir():
            raise ConfigError(f"--config-dir {user_folder} is not a folder")
        check_user_files(user_folder)
    for folder in (CONF, user_folder):
        for path in sorted((folder / "experiment").glob("*.yaml") if folder else ()):
            lines += [*describe_experiment(path), ""]
    for path in sorted(user_folder.glob("*.y*ml")) if user_folder else ():
        lines += [
            f"{truncate_middle(path)} is not read, because it is in no group folder; put an "
            "experiment in experiment/<name>.yaml",
            "",
        ]
    lines.append("See python -m runner --help for every option, and README.md for everything else.")
    return "\n".join(lines)


def describe_experiment(path: Path) -> list[str]:
    """Return the lines of one experiment: name, question, arms and time at each scale."""
    try:
        experiment = read_checked_yaml(path)
        lines = [truncate_middle(path.stem, 80), f"  {on_one_line(experiment.get('question', ''))}"]
        for scale in SCALES:
            preset = path.parents[1] / "preset" / f"{path.stem}_{scale}.yaml"
            if os.path.lexists(preset):
                lines.append(
                    f"  {scale:<6} {describe_scale(read_checked_yaml(preset), experiment)}"
                )
    except ConfigError:
        raise
    except (AttributeError, TypeError, OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} is not an experiment; README.md has a template of ten lines"
        ) from error
    return lines


def describe_scale(preset: dict[str, Any], experiment: dict[str, Any]) -> str:
    """Return seeds, arms and time of a preset, without arms that are not a list of names."""
    seeds = preset.get("n_seeds", experiment.get("n_seeds", 1))
    arms = preset.get("arm") or experiment.get("arm") or list(experiment.get("arms") or ())
    names = [arms] if isinstance(arms, str) else arms
    line = (
        format_count(seeds, "seed") if isinstance(seeds, int) else f"{on_one_line(seeds, 20)} seeds"
    )
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        line += f" of {on_one_line(', '.join(names))}"
    time = preset.get("duration")
    return f"{line}; {on_one_line(time, 80)}" if time else line


def read_checked_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file; a user's file passes the same checks as in a run."""
    if not path.is_relative_to(CONF):
        check_inside(path, path.parents[1])
        check_yaml_file(path)
    return read_yaml(path)


def on_one_line(text: object, n_characters: int = MAX_CHARACTERS) -> str:
    """Return text of a file as one short line without control characters."""
    return " ".join(truncate_middle(text, n_characters).split())


def parse_list_request(arguments: list[str]) -> tuple[bool, Path | None]:
    """Return whether a command asks for the list, and the user's folder that it names."""
    if not arguments:
        return True, None
    flag, equals, folder = arguments[0].partition("=")
    if flag not in FOLDER_FLAGS:
        return False, None
    rest = arguments[1:] if equals else arguments[2:]
    folder = folder if equals else "".join(arguments[1:2])
    return not rest and bool(folder), Path(folder)

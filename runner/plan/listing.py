"""The list that `python -m runner` prints without arguments: experiments, arms, time.

It reads the YAML files itself, without Hydra. `--config-dir` and `plugins=[...]` add the user's own
experiments.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from runner.config import ConfigError, Scale
from runner.plan import plugin_packages
from runner.plan.option_folders import (
    CONF,
    UserOptions,
    check_inside,
    read_option_layers,
    read_yaml,
)
from runner.plan.security import check_yaml_file
from runner.plan.user_arguments import FOLDER_FLAGS, PLUGINS, read_plugin_list
from runner.plan.user_options import load_user_options
from runner.wording.names import format_count
from runner.wording.output import MAX_CHARACTERS, truncate_middle

SCALES = tuple(scale.value for scale in Scale)
USUAL_SCALES = tuple(scale for scale in SCALES if scale != Scale.long)  # few have long


class ListRequest(NamedTuple):
    """A command that asks for the list: the folder of `--config-dir` and the texts of plug-ins."""

    user_folder: Path | None = None
    plugins: tuple[str, ...] = ()


def list_experiments(user_folder: Path | None = None, plugins: Sequence[str] = ()) -> str:
    """Return the list of experiments as text: ablab's, then those of the user's folders.

    `plugins` are the texts `plugins=[...]` of the command line.

    Raises:
        ConfigError: the user's folder does not exist, one of its files is refused, or a plug-in
            cannot be imported.
    """
    named = [name for text in plugins for name in read_plugin_list(text.partition("=")[2])]
    load_user_options(user_folder, named)
    own = [] if user_folder is None else [f"--config-dir={user_folder}"]
    command = " ".join(["python -m runner", *map(truncate_middle, [*own, *plugins])])
    scales = "|".join(SCALES)
    lines = [f"Experiments ({command} experiment=<name> [scale={scales}]):", ""]
    for folder in (CONF, *UserOptions.folders):
        for path in sorted((folder / "experiment").glob("*.yaml")):
            lines += [*describe_experiment(path), ""]
        for path in sorted(folder.glob("*.y*ml")) if folder != CONF else ():
            lines += [
                f"{truncate_middle(path)} is not read, because it is in no group folder; put an "
                "experiment in experiment/<name>.yaml",
                "",
            ]
    if installed := plugin_packages.UsablePlugins.installed:
        lines += [f"Installed plug-ins: {', '.join(map(str, installed))}", ""]
    lines.append("See python -m runner --help for every option, and README.md for everything else.")
    return "\n".join(lines)


def describe_experiment(path: Path) -> list[str]:
    """Return the lines of one experiment: name, question, arms and time at each scale.

    All scales without a preset have one line, with the settings of the experiment itself.
    """
    try:
        experiment = merge_layers(f"experiment/{path.stem}")
        lines = [truncate_middle(path.stem, 80), f"  {on_one_line(experiment.get('question', ''))}"]
        without_preset: list[str] = []
        for scale in SCALES:
            preset = path.parents[1] / "preset" / f"{path.stem}_{scale}.yaml"
            if os.path.lexists(preset):
                lines.append(
                    f"  {scale:<6} {describe_scale(read_checked_yaml(preset), experiment)}"
                )
            elif scale in USUAL_SCALES:
                without_preset.append(scale)
        if without_preset:
            is_any = len(without_preset) == len(USUAL_SCALES)
            scales = "" if is_any else f"{', '.join(without_preset)}  "
            lines.append(f"  {scales}{describe_scale(experiment, experiment)}")
    except ConfigError:
        raise
    except (AttributeError, TypeError, OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} is not an experiment; docs/bring_your_own.md has an example"
        ) from error
    return lines


def merge_layers(option: str) -> dict[str, Any]:
    """Return an option's keys and those of the options that it extends; arms are joined."""
    merged: dict[str, Any] = {}
    for layer in reversed(read_option_layers(option, read_checked_yaml)):
        arms = [each.get("arms") for each in (merged, layer)]
        merged |= layer
        if all(isinstance(each, dict) for each in arms):
            merged["arms"] = {name: None for each in arms for name in each or ()}
    return merged


def describe_scale(preset: dict[str, Any], experiment: dict[str, Any]) -> str:
    """Return seeds, arms and time of a preset, without arms that are not a list of names."""
    default = read_yaml(CONF / "config.yaml")["n_seeds"]
    seeds = preset.get("n_seeds", experiment.get("n_seeds", default))
    all_arms = experiment.get("arms")
    names_of_all = list(all_arms) if isinstance(all_arms, dict) else None
    arms = preset.get("arm") or experiment.get("arm") or names_of_all
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


def parse_list_request(arguments: Sequence[str]) -> ListRequest | None:
    """Return the request of a command that asks for the list; None for any other command.

    It has no arguments except a folder of the user and plug-ins.
    """
    folders: list[str] = []
    plugins: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        flag, equals, folder = word.partition("=")
        if flag in FOLDER_FLAGS:
            folders.append(folder if equals or not rest else rest.pop(0))
        elif flag == PLUGINS and equals:
            plugins.append(word)
        else:
            return None
    if len(folders) > 1 or not all(folders):
        return None
    return ListRequest(Path(folders[0]) if folders else None, tuple(plugins))

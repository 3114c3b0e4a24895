"""Whether the experiment of a command is there: its YAML file and the code that it names."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from runner import registry
from runner.config import ConfigError
from runner.plan import folders
from runner.plan.overrides import parse
from runner.records.source import MissingModuleError, locate
from runner.wording.names import near
from runner.wording.output import shortened


def check_header(config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse a YAML file of an experiment whose keys would all stand below `experiment`.

    Raises:
        ConfigError: with the first line that the file needs.
    """
    if OmegaConf.is_config(config._get_node("experiment")):
        path = typed_file(overrides)
        where = f"{path}: " if path else "the experiment's YAML file: "
        raise ConfigError(f"{where}its first line must be `# @package _global_`, then key: value")


def typed_file(overrides: Sequence[str]) -> Path | None:
    """The user's file behind `experiment=<name>`, if it is the user's."""
    typed = [o.value() for o in map(parse, overrides) if o.key_or_group == "experiment"]
    return folders.own_file(f"experiment/{typed[-1]}") if typed else None


def no_experiment(named: str | None, overrides: Sequence[str]) -> str:
    """Why no experiment can run: none is typed, or its YAML file names no code.

    `named` is what `experiment:` of the composed config says.
    """
    known = ", ".join(registry.names())
    path = typed_file(overrides)
    if path is not None:
        keep = f"{path}: `experiment:` names the code, one of {known}"
        if named is None:
            return f"{keep}; it is missing; add e.g. experiment: ffn"
        return f"{keep}, and not {shortened(named, 60)}; keep e.g. experiment: ffn"
    if named is not None:
        return f"experiment={shortened(named, 80)}: {near(named, registry.names())}"
    own = sorted(folders.options("experiment") - set(registry.names()))
    return f"no experiment is chosen; type experiment=<name>, one of {', '.join([*own, known])}"


def check_code(experiment: str) -> None:
    """Refuse a question of a plug-in without the module that computes its trials.

    Raises:
        ConfigError: with the file that is missing.
    """
    page = registry.page(experiment)
    try:
        locate(page)
    except MissingModuleError as error:
        raise ConfigError(
            f"experiment={experiment}: there is no module {page}; a question of your own needs "
            "one, with a function run(trial)"
        ) from error

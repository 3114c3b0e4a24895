"""Whether the experiment of a command is there: its YAML file and the code that it names."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from runner import registry
from runner.config import ConfigError
from runner.plan import option_folders
from runner.plan.overrides import parse_override
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle


def check_experiment_header(config: DictConfig, overrides: Sequence[str]) -> None:
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
    typed = [o.value() for o in map(parse_override, overrides) if o.key_or_group == "experiment"]
    return option_folders.user_file(f"experiment/{typed[-1]}") if typed else None


def describe_missing_experiment(named: str | None, overrides: Sequence[str]) -> str:
    """Why no experiment can run: none is typed, or its YAML file names no code.

    `named` is what `experiment:` of the composed config says.
    """
    known = ", ".join(registry.experiment_names())
    path = typed_file(overrides)
    if path is not None:
        keep = f"{path}: `experiment:` names the code, one of {known}"
        if named is None:
            return f"{keep}; it is missing; add e.g. experiment: ffn"
        return f"{keep}, and not {truncate_middle(named, 60)}; keep e.g. experiment: ffn"
    if named is not None:
        return (
            f"experiment={truncate_middle(named, 80)}: there is no such experiment; "
            f"{name_hint(named, registry.experiment_names())}"
        )
    own = sorted(option_folders.option_names("experiment") - set(registry.experiment_names()))
    return f"no experiment is chosen; type experiment=<name>, one of {', '.join([*own, known])}"


def check_experiment_code(experiment: str) -> None:
    """Refuse a question whose module cannot compute its trials.

    Raises:
        ConfigError: with the function that is missing.
    """
    for stage in ("run", "timing") if registry.has_timing_stage(experiment) else ("run",):
        try:
            registry.stage(experiment, stage)
        except AttributeError as error:
            raise ConfigError(
                f"experiment={experiment}: its module {registry.page_module(experiment)} has no function "
                f"{stage}(trial); a question needs one beside its options"
            ) from error

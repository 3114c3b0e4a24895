"""Checks of the chosen experiment: its YAML file and its Python module."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from runner import registry
from runner.config import ConfigError
from runner.plan import option_folders
from runner.plan.question_names import user_experiment_file
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle


def check_experiment_header(config: DictConfig, overrides: Sequence[str]) -> None:
    """Raise ConfigError for a YAML file of an experiment without the header of a global package.

    Without it, Hydra puts all keys of the file below `experiment`.
    """
    if OmegaConf.is_config(config._get_node("experiment")):
        path = user_experiment_file(overrides)
        prefix = f"{path}: " if path else "the experiment's YAML file: "
        raise ConfigError(f"{prefix}its first line must be `# @package _global_`, then key: value")


def check_defaults_order(overrides: Sequence[str]) -> None:
    """Raise ConfigError if the user's question comes before the one that it extends.

    With `defaults: [_self_, ffn]` all values of ffn would replace those of the file.
    """
    path = user_experiment_file(overrides)
    entries = option_folders.read_yaml(path).get("defaults") if path else None
    if not isinstance(entries, list) or "_self_" not in entries:
        return
    later = entries[entries.index("_self_") + 1 :]
    names = [each for each in later if isinstance(each, str) and not each.startswith("/")]
    if names:
        name = truncate_middle(names[0], 60)
        raise ConfigError(
            f"{path}: defaults: {name} comes after _self_, so its values would replace those of "
            f"this file; write {name} before _self_, as in [{name}, _self_]"
        )


def describe_missing_experiment(config_value: str | None, overrides: Sequence[str]) -> str:
    """Return the error for an experiment that is missing, or whose YAML file names no page.

    `config_value` is the value of `experiment:` in the composed config.
    """
    names = ", ".join(sorted(registry.experiment_names()))
    path = user_experiment_file(overrides)
    if path is not None:
        problem = (
            "no key names the page that computes it"
            if config_value is None
            else f"there is no page {truncate_middle(config_value, 60)}"
        )
        return f"{path}: {problem}; add a line, e.g. code: ffn; there are: {names}"
    if config_value is not None:
        return (
            f"experiment={truncate_middle(config_value, 80)}: there is no such experiment; "
            f"{name_hint(config_value, registry.experiment_names())}"
        )
    extra = sorted(option_folders.option_names("experiment") - set(registry.experiment_names()))
    return f"no experiment is chosen; type experiment=<name>, one of {', '.join([*extra, names])}"


def check_experiment_code(experiment: str) -> None:
    """Raise ConfigError if the module of a question lacks a function that computes trials.

    The message names the missing or wrong function.
    """
    where = f"experiment={experiment}: its module {registry.page_module(experiment)}"
    for stage in ("run", "timing") if registry.has_timing_stage(experiment) else ("run",):
        try:
            function = registry.stage(experiment, stage)
        except AttributeError as error:
            raise ConfigError(
                f"{where} has no function {stage}(trial); define it next to the question's options"
            ) from error
        try:
            registry.check_function(where, stage, function, ("trial",))
        except ValueError as error:
            raise ConfigError(str(error)) from error

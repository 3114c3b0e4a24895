"""The name of a question, and the page that computes it.

A question of a user may use a page of ablab or of a plug-in: its YAML file says `code: ffn`. The
question then has the name of its file, in the list, in titles and in the store. Without `code` the
key `experiment` names the page, and the question has that name.
"""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from runner import registry
from runner.config import ConfigError
from runner.plan import option_folders
from runner.plan.error_messages import as_config_error
from runner.plan.keys import field_names
from runner.plan.overrides import parse_override
from runner.wording.names import check_file_name, name_hint
from runner.wording.output import truncate_middle

RESERVED_NAMES = ("corpora", "sweeps")
"""Folders of `outputs` that hold no study."""


def chosen_name(overrides: Sequence[str]) -> str | None:
    """Return the name in `experiment=<name>` of the command line; None without it."""
    typed = [o.value() for o in map(parse_override, overrides) if o.key_or_group == "experiment"]
    return str(typed[-1]) if typed else None


def user_experiment_file(overrides: Sequence[str]) -> Path | None:
    """Return the YAML file of `experiment=<name>` if it is in a folder of the user."""
    name = chosen_name(overrides)
    return option_folders.user_file(f"experiment/{name}") if name else None


def set_question_name(config: DictConfig, overrides: Sequence[str]) -> None:
    """Set `experiment` of a composed config to the name of a question that names its page.

    Raises:
        ConfigError: `code` names no page, or contradicts the name of the question.
    """
    if OmegaConf.is_config(config._get_node("experiment")):
        return  # the file lacks its header, which another check reports
    name = chosen_name(overrides)
    if name is not None:
        check_case(name)
    with as_config_error("code"):
        code = config.get("code")
    if code is None:
        # A page of a plug-in has the name of its YAML file, which need not repeat it.
        if config.get("experiment") is None and name in registry.experiment_names():
            _set_name(config, str(name))
        return
    path = user_experiment_file(overrides)
    _check_code(str(code), name, path)
    _check_extended_question(config, str(code), path)
    _set_name(config, str(name))


def check_case(name: str) -> None:
    """Refuse a question of the user whose name is another one's in another case.

    Both would have one folder of results on a disk that ignores case.

    Raises:
        ConfigError: there is such a question, or a folder of ablab.
    """
    if name in {path.stem for path in (option_folders.CONF / "experiment").glob("*.yaml")}:
        return
    files = option_folders.option_names("experiment")
    for other in sorted({*registry.experiment_names(), *files, *RESERVED_NAMES} - {name}):
        if other.lower() == name.lower():
            raise ConfigError(
                f"experiment={truncate_middle(name, 80)}: {other} has this name in another case, "
                f"and some disks ignore case; rename it, e.g. my_{other}"
            )


def _set_name(config: DictConfig, name: str) -> None:
    with open_dict(config):
        config.experiment = name


def _check_extended_question(config: DictConfig, code: str, path: Path | None) -> None:
    """Raise ConfigError if a file extends the question of one page, and `code` is another page.

    A page that has all options of the extended question can compute it.
    """
    extended, options = config.get("experiment"), config._get_node("options")
    if extended == code or extended not in registry.experiment_names():
        return
    known = field_names(registry.options_class(code))
    keys = options.keys() if isinstance(options, DictConfig) else ()
    if unknown := [str(key) for key in keys if key not in known]:
        raise ConfigError(
            f"{path or 'code'}: the file extends the question {extended}, and `code: {code}` is a "
            f"page without options.{truncate_middle(unknown[0], 60)}; write code: {extended}, or "
            f"extend {code} under `defaults`"
        )


def _check_code(code: str, name: str | None, path: Path | None) -> None:
    """Raise ConfigError unless the question `name` of the file `path` can use the page `code`."""
    where = f"{path}: code={truncate_middle(code, 60)}" if path else f"code={code}"
    pages = registry.experiment_names()
    if name is None:
        raise ConfigError(
            f"{where}: the YAML file of a question names its page; type experiment=<name>"
        )
    if code not in pages:
        raise ConfigError(f"{where}: there is no such page; {name_hint(code, pages)}")
    if name in pages and name != code:
        raise ConfigError(
            f"{where}: the question {name} has a page of its own, in {registry.page_module(name)}; "
            "leave code out, or rename the file"
        )
    check_file_name("the experiment", name)
    if name in RESERVED_NAMES:
        raise ConfigError(
            f"{where}: the folder {name} of outputs holds no studies; rename the file, e.g. "
            f"my_{name}"
        )
    own = option_folders.read_yaml(path).get("experiment") if path else None
    if own not in (None, name):
        raise ConfigError(
            f"{where}: `experiment: {truncate_middle(own, 60)}` is not the file's name {name}; "
            "leave `experiment:` out"
        )

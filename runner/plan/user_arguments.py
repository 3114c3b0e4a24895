"""The arguments of a command that name the user's own options: `--config-dir`, `plugins=[...]`."""

from typing import Any

import yaml

from runner.config import ConfigError
from runner.plugins import module_hint
from runner.wording.output import truncate_middle

CONFIG_DIR = "--config-dir"
FOLDER_FLAGS = (CONFIG_DIR, "-cd")
PLUGINS = "plugins"


def read_plugin_list(text: str) -> list[str]:
    """Return the modules of the text behind `plugins=`, which is a list as in YAML, without Hydra.

    Raises:
        ConfigError: the text is not a list of names.
    """
    try:
        names: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        names = None
    return check_plugin_list(f"{PLUGINS}={text}", names)


def check_plugin_list(text: str, names: Any) -> list[str]:
    """Return the value of `plugins`, a list of names; `text` is the argument as typed.

    Raises:
        ConfigError: it is not a list of names.
    """
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"{truncate_middle(text, 120)}: plugins must be a list of modules; {_hint(names)}"
        )
    return names


def _hint(value: Any) -> str:
    """Return how to write the list of modules that a user may mean by another value."""
    return module_hint(value) if isinstance(value, str) else "e.g. plugins=[my_package.my_ffn]"

"""Let OmegaConf read YAML with libyaml's parser, which is faster. No torch."""

import functools
from typing import Any

import yaml
from omegaconf import _utils as omegaconf_utils


def install_fast_loader() -> None:
    """Let OmegaConf read YAML files with libyaml in this process, if PyYAML has it."""
    if getattr(yaml, "__with_libyaml__", False):
        omegaconf_utils.get_yaml_loader = fast_loader


@functools.cache
def fast_loader() -> Any:
    """Return OmegaConf's loader with libyaml's parser; its rules for keys and values are the same.

    OmegaConf makes a new class for each file; here all files share one. Only one text differs:
    within braces and brackets, `${key}` needs quotes. The checks of a user's file refuse it too.
    """

    class FastLoader(yaml.CSafeLoader, SLOW_LOADER()):  # type: ignore[misc]
        """The methods of libyaml's parser come first, and replace those of the parser in Python."""

    return FastLoader


SLOW_LOADER = omegaconf_utils.get_yaml_loader
"""OmegaConf's own function, which returns a loader class whose parser is in Python."""

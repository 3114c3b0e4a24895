"""Hydra launchers that need an extra of ablab, and how to install it. No torch."""

from importlib.util import find_spec

from runner.config import ConfigError

EXTRAS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "cluster"),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", "cluster"),
    "submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "cluster"),
}
"""For each launcher its module, and the extra of ablab that installs the module."""


def check_launcher(key: str, value: object) -> None:
    """Raise ConfigError, with the install command, for a launcher that is not installed."""
    if key != "hydra/launcher" or not isinstance(value, str) or value not in EXTRAS:
        return
    module, extra = EXTRAS[value]
    if not is_installed(module):
        raise ConfigError(
            f"hydra/launcher={value} is not installed; in the checkout of ablab type "
            f"pip install -c constraints.txt -e '.[{extra}]'"
        )


def is_installed(module: str) -> bool:
    """Return whether a module is installed."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its package is missing too
        return False

"""Launchers and sweepers of Hydra that come with an extra of ablab, or not at all. No torch."""

from importlib.util import find_spec

from runner.config import ConfigError

EXTRAS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "cluster"),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", "cluster"),
    "submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "cluster"),
}
"""Launcher -> the module behind it, and the extra that installs it."""


def check_launcher(key: str, value: object) -> None:
    """Raise ConfigError for a launcher that is not installed, with the command that brings it."""
    if key != "hydra/launcher" or not isinstance(value, str) or value not in EXTRAS:
        return
    module, extra = EXTRAS[value]
    if not is_installed(module):
        raise ConfigError(
            f"hydra/launcher={value} is not installed; in the checkout of ablab type "
            f"pip install -c constraints.txt -e '.[{extra}]'"
        )


def is_installed(module: str) -> bool:
    """Whether a module of a package is there."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False

"""Hydra's launchers: their engines, the extras with them, and the cores of a job. No torch."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from enum import Enum
from importlib.util import find_spec

from hydra.core.override_parser.types import Override, Sweep

from runner import device
from runner.config import ConfigError, Device, DeviceName
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle

CORES = "ABLAB_CORES"
"""The environment variable with the cores that the jobs of a sweep leave to one of them."""


class Engine(Enum):
    """The library that computes the jobs of a launcher: its module, and ablab's extra with it."""

    joblib = ("hydra_plugins.hydra_joblib_launcher", "cluster", "")
    submitit_local = ("hydra_plugins.hydra_submitit_launcher", "cluster", "local")
    slurm = ("hydra_plugins.hydra_submitit_launcher", "cluster", "slurm")
    ray = ("hydra_plugins.hydra_ray_launcher", "ray", "")

    @property
    def module(self) -> str:
        """The module of the plug-in."""
        return self.value[0]

    @property
    def extra(self) -> str:
        """The extra of ablab that installs the plug-in."""
        return self.value[1]


PRESETS = {
    "processes": Engine.joblib,
    "slurm_local": Engine.submitit_local,
    "slurm": Engine.slurm,
    "ray_local": Engine.ray,
    "ray_cluster": Engine.ray,
}
"""The launchers in `conf/hydra/launcher/`, by the engine that each one extends."""
PLUGIN_OPTIONS = {
    "joblib": Engine.joblib,
    "submitit_local": Engine.submitit_local,
    "submitit_slurm": Engine.slurm,
    "ray": Engine.ray,
}
"""The plug-ins' own options, which the presets extend."""


OTHER_MACHINES = (Engine.slurm, Engine.ray)
"""Engines whose jobs may have devices that the machine of the command lacks."""


class JobMachines:
    """Whether this command plans trials that the jobs of a launcher compute on other machines."""

    elsewhere = False


def engine_of(launcher: str) -> Engine | None:
    """Return the engine of a launcher; None for Hydra's own, and for those of other plug-ins."""
    return (PRESETS | PLUGIN_OPTIONS).get(launcher)


def check_launcher(key: str, value: object) -> None:
    """Check that a chosen launcher exists and is installed.

    Raises:
        ConfigError: with the known names, or the command that installs it.
    """
    if key != "hydra/launcher" or isinstance(value, Sweep):  # `runner.sweeps` refuses a sweep
        return
    short = truncate_middle(f"hydra/launcher={'null' if value is None else value}", 80)
    known = ["basic", *PRESETS]
    if not isinstance(value, str):
        raise ConfigError(f"{short}: give one launcher of {', '.join(known)}")
    engine = engine_of(value)
    if engine is None:
        if value != "basic" and value not in installed_options():
            raise ConfigError(f"{short}: there is no such launcher; {name_hint(value, known)}")
    elif not is_installed(engine.module):
        raise ConfigError(
            f"{short} is not installed; in the checkout of ablab type "
            f"pip install -c constraints.txt -e '.[{engine.extra}]'"
        )
    elif engine is Engine.slurm and shutil.which("srun") is None:
        raise ConfigError(
            f"{short}: this machine has no Slurm (no command srun); type the command on a login "
            "node, or use hydra/launcher=slurm_local"
        )


SETTING = "hydra.launcher."
LEAST_VALUES: dict[str, float | None] = {
    **dict.fromkeys(("timeout_min", "cpus_per_task", "tasks_per_node", "nodes"), 1),
    **dict.fromkeys(("array_parallelism", "signal_delay_s", "mem_gb"), 1),
    **dict.fromkeys(("num_cpus", "num_gpus", "gpus_per_node", "max_num_timeout"), 0),
    "n_jobs": None,
}
"""Settings of launchers that are numbers, each with the smallest; -1 jobs of joblib are all cores.

The names are those of the keys in any section, as `hydra.launcher.ray.remote.num_cpus`.
"""


def check_setting(override: Override) -> None:
    """Check a typed setting of a launcher, such as `hydra.launcher.timeout_min=120`.

    Raises:
        ConfigError: a value is no number or too small, or a `+` is before a key that needs none.
    """
    key, text = override.key_or_group, truncate_middle(str(override.input_line), 120)
    if not key.startswith(SETTING) or override.is_sweep_override():
        return
    value, name = override.value(), key.rpartition(".")[2]
    if (override.is_add() or override.is_force_add()) and key.count(".") == SETTING.count("."):
        raise ConfigError(f"{text}: remove the plus: {key}={value}")
    if name not in LEAST_VALUES or value is None or "${" in str(value):
        return
    least = LEAST_VALUES[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{text}: {name} must be a number")
    if least is not None and value < least:
        raise ConfigError(f"{text}: {name} must be at least {least:g}")
    if least is None and not value:
        raise ConfigError(f"{text}: {name} must not be 0; -1 is one for each core")


def chosen_launcher(texts: Sequence[str]) -> str:
    """Return the launcher that typed overrides choose; "basic" without one."""
    chosen = [text.partition("=")[2] for text in texts if text.startswith("hydra/launcher=")]
    return chosen[-1] if chosen else "basic"


def check_sweeps(texts: Sequence[str]) -> None:
    """Raise ConfigError for a launcher without `-m`, which Hydra would ignore."""
    for text in texts:
        if text.lstrip("+").startswith(("hydra/launcher=", "hydra.launcher.")):
            raise ConfigError(
                f"{truncate_middle(text, 80)}: a launcher computes the points of a sweep; it needs "
                "-m: python -m runner -m experiment=..."
            )


def installed_options() -> set[str]:
    """Return the launchers that installed plug-ins of Hydra bring; this imports the plug-ins."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()
    return {name.removesuffix(".yaml") for name in ConfigStore.instance().list("hydra/launcher")}


@contextlib.contextmanager
def planning_for_jobs(overrides: Sequence[str]) -> Iterator[None]:
    """In a `with` block, plan for the machines of a launcher's jobs, e.g. on a login node.

    `overrides` are the typed settings of Hydra. Launchers outside `OTHER_MACHINES` change nothing.
    """
    before = JobMachines.elsewhere
    JobMachines.elsewhere = engine_of(chosen_launcher(overrides)) in OTHER_MACHINES
    try:
        yield
    finally:
        JobMachines.elsewhere = before


def resolve_device(options: Device) -> DeviceName:
    """Return the device that a config selects on the machine of its trials.

    Raises:
        ConfigError: the trials are computed on this machine, which does not have the device.
    """
    if JobMachines.elsewhere and options.name is not DeviceName.auto:
        return options.name
    return device.resolve(options)


def is_installed(module: str) -> bool:
    """Return whether a module is installed."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its package is missing too
        return False


def job_cores() -> int:
    """Return the cores of this process, or its share of them if it computes a job of a sweep."""
    share = os.environ.get(CORES, "")
    return min(device.cores(), int(share)) if share.isdigit() and int(share) else device.cores()

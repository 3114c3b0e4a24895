"""How Hydra loads a config here: what a user's YAML file may say, and what it may not reach.

Hydra's own settings (logging, callbacks, environment variables, folders) can run code and write
anywhere. Rather than to look for each way into them, `CheckedLoader` composes the config a second
time from the command line's own settings alone, and refuses a config whose `hydra` node differs.
It does so before Hydra uses that node. `docs/security.md` has the promises and their tests.
"""

import functools
import itertools
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal import hydra as hydra_internals
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from runner.config import ConfigError
from runner.plan import option_folders
from runner.plan.expansion import check_expansion
from runner.plan.hydra_sources import USER_PROVIDER, CheckedRepository
from runner.wording.output import join_names, truncate_middle

ONLY_TYPED = ("outputs", "plugins")
"""Keys that say where is written and what code is run: of the command line alone."""

HERE = ("basic", "joblib")
"""Hydra's launchers that compute on this machine and leave no logs in the sweep's folder."""

LOADS = 500
"""Options that the defaults lists of one config may name, repeats included; ours name about 60."""

OF_ONE_CONFIG = (
    *("overrides", "runtime.choices", "runtime.config_sources"),
    *("job.override_dirname", "job.config_name"),
)
"""What Hydra itself writes into its node about the config at hand."""

RESOLVERS = (
    *("oc.env", "oc.decode", "oc.create", "oc.deprecated", "oc.select"),
    *("oc.dict.keys", "oc.dict.values"),
)


def install_checked_loader() -> None:
    """Let Hydra compose with `CheckedLoader` in this process, and without OmegaConf's functions."""
    for name in RESOLVERS:
        OmegaConf.clear_resolver(name)
    if not hasattr(hydra_internals, "ConfigLoaderImpl"):
        raise RuntimeError("this version of Hydra composes in another class: nothing is checked")
    hydra_internals.ConfigLoaderImpl = CheckedLoader


@functools.cache
def sweep_folder() -> Path:
    """A folder for what Hydra writes of a sweep before a point of it is checked; nothing is made.

    Nobody reads it. `outputs` thus stays as it is where all points are refused.
    """
    return Path(tempfile.gettempdir()) / f"ablab-sweep-{secrets.token_hex(8)}"


def remove_sweep_folder() -> None:
    """Remove the folder of a sweep, if there is one."""
    if sweep_folder.cache_info().currsize:
        shutil.rmtree(sweep_folder(), ignore_errors=True)


class CheckedLoader(ConfigLoaderImpl):
    """Hydra's loader, which refuses what a config has no right to set."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository: CheckedRepository = CheckedRepository(config_search_path)
        self._alone: dict[tuple[str, ...], dict[str, Any]] = {}

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose a config as Hydra does.

        Raises:
            ConfigError: something other than the command line has set one of Hydra's own settings,
                the outputs folder or plug-ins.
        """
        config = super().load_configuration(
            config_name, overrides, run_mode, from_shell, validate_sweep_overrides
        )
        self.check(config, config_name, overrides)
        if run_mode is RunMode.MULTIRUN and config.hydra.runtime.choices["hydra/launcher"] in HERE:
            config.hydra.sweep.dir = str(sweep_folder())
        return config

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Compose one point of a sweep; Hydra's folder is that of the whole sweep."""
        config = super().load_sweep_config(master_config, sweep_overrides)
        config.hydra.sweep.dir = master_config.hydra.sweep.dir
        return config

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        """As Hydra does, with an end to the options that defaults lists name."""
        parsed, repository = super()._parse_overrides_and_create_caching_repo(
            config_name, overrides
        )
        load, count = repository.load_config, itertools.count(1)

        def load_config(config_path: str) -> ConfigResult | None:
            if next(count) > LOADS:
                raise ConfigError(
                    f"the defaults lists{self.by_whom()} name more than {LOADS} options, or each "
                    "other in a circle; name each option once"
                )
            return load(config_path)

        repository.load_config = load_config  # type: ignore[method-assign]
        return parsed, repository

    def check(self, config: DictConfig, config_name: str | None, overrides: Sequence[str]) -> None:
        """Raise ConfigError where a config sets what only the command line may."""
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        packaged = any(one.package for one in parsed)
        if not packaged and all(
            one.provider != USER_PROVIDER for one in self.repository.get_sources()
        ):
            return  # all files are ours, and each is merged where it says: nothing can differ
        own = [str(one.input_line) for one in parsed if one.is_hydra_override()]
        task = [one.input_line for one in parsed if not one.is_hydra_override()]
        if OmegaConf.to_container(config.hydra.overrides) != {"hydra": own, "task": task}:
            self.refuse_setting("hydra.overrides")
        for key in differing(hydra_settings(config.hydra), self.settings_alone(config_name, own)):
            self.refuse_setting(f"hydra.{key}")  # without its value: it may be of the environment
        if config_name is None:
            return
        content: Any = OmegaConf.to_container(config, resolve=False)
        check_expansion({key: value for key, value in content.items() if key != "hydra"})
        typed = {one.key_or_group for one in parsed}
        default = option_folders.read_yaml(option_folders.CONF / "config.yaml")
        for key in ONLY_TYPED:
            value = content.get(key)
            if key not in typed and value != default[key]:
                raise ConfigError(
                    f"{key}={truncate_middle(value, 60)} is set{self.by_whom()}; only the command line "
                    f"may set {key}: type it there"
                )

    def refuse_setting(self, what: str) -> None:
        """Raise ConfigError for a setting of Hydra that the command line alone has not made."""
        raise ConfigError(
            f"{what} is set{self.by_whom()}; Hydra's own settings are fixed here, and only the "
            "command line may choose hydra/launcher and hydra/sweeper"
        )

    def by_whom(self) -> str:
        """The user's files that may have set something, as the end of a sentence."""
        files = self.repository.user_files
        return (
            f" in {join_names([truncate_middle(file, 60) for file in files], 2)}" if files else ""
        )

    def settings_alone(self, config_name: str | None, own: Sequence[str]) -> dict[str, Any]:
        """Hydra's settings from conf/config.yaml and the command line's settings of Hydra alone.

        Hydra's own help composes no config of ours (None).
        """
        key = (str(config_name), *own)
        if key not in self._alone:
            path = ConfigSearchPathImpl()
            for element in self.config_search_path.get_path():
                if element.provider != USER_PROVIDER:
                    path.append(str(element.provider), str(element.path))
            primary = (
                option_folders.read_yaml(option_folders.CONF / "config.yaml") if config_name else {}
            )
            chosen = [
                f"{name.removeprefix('override ')}={option}"
                for entry in primary.get("defaults", ())
                for name, option in (entry.items() if isinstance(entry, dict) else ())
                if name.startswith("override hydra/")
            ]
            alone = ConfigLoaderImpl(path).load_configuration(None, [*chosen, *own], RunMode.RUN)
            hydra = OmegaConf.merge(alone.hydra, primary.get("hydra", {}))
            self._alone[key] = hydra_settings(hydra)
        return self._alone[key]


def hydra_settings(hydra: Any) -> dict[str, Any]:
    """Hydra's node as plain containers, without what Hydra itself writes of the config at hand."""
    node: Any = OmegaConf.to_container(hydra, resolve=False, enum_to_str=True)
    choices = node["runtime"]["choices"]
    for key in OF_ONE_CONFIG:
        section, _, name = key.rpartition(".")
        (node[section] if section else node).pop(name, None)
    node["runtime"]["hydra"] = {k: v for k, v in choices.items() if k.startswith("hydra/")}
    return dict(node)


def differing(found: Any, expected: Any, where: str = "") -> list[str]:
    """The keys at which two nested containers are not the same."""
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        return [] if found == expected and type(found) is type(expected) else [where]
    return [
        difference
        for key in {**found, **expected}
        for difference in differing(
            found.get(key), expected.get(key), f"{where}.{key}" if where else str(key)
        )
    ]

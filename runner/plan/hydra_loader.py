"""Hydra's config loader with checks, so that a user's YAML file cannot run code.

Hydra's own settings (logging, callbacks, environment variables, folders) can run code and write
anywhere, and there are many ways to set them. `CheckedLoader` therefore composes these settings a
second time, only from the command line and conf/config.yaml. It refuses a config whose `hydra` node
differs, before Hydra uses that node. `docs/security.md` has the promises and their tests.
"""

import functools
import itertools
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal import hydra as hydra_internals
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from runner.config import ConfigError
from runner.plan import hydra_cache, option_folders, plugin_packages, yaml_loading
from runner.plan.expansion import check_expansion
from runner.plan.hydra_sources import (
    PLUGIN_PROVIDER,
    USER_PROVIDER,
    CheckedRepository,
    reads_user_files,
    source_folder,
)
from runner.plugins import module_hint
from runner.wording.output import join_names, truncate_middle

COMMAND_LINE_KEYS = ("outputs", "plugins")
"""Keys that only the command line may set: the folder to write to and the modules to import."""

LOCAL_LAUNCHERS = ("basic", "joblib", "processes")
"""Hydra's launchers that compute on this machine and write no logs to the sweep's folder."""

MAX_LOADS = 500
"""The most options in the defaults lists of one config, with repeats; ablab's own have about 60."""

PER_CONFIG_KEYS = (
    *("overrides", "runtime.choices", "runtime.config_sources"),
    *("job.override_dirname", "job.config_name"),
)
"""Keys that Hydra sets in its node for each config, so that they may differ."""

REMOVED_RESOLVERS = (
    *("oc.env", "oc.decode", "oc.create", "oc.deprecated", "oc.select"),
    *("oc.dict.keys", "oc.dict.values"),
)


def install_checked_loader() -> None:
    """Make Hydra compose with `CheckedLoader` in this process, and remove OmegaConf's resolvers."""
    for name in REMOVED_RESOLVERS:
        OmegaConf.clear_resolver(name)
    if not hasattr(hydra_internals, "ConfigLoaderImpl"):
        raise RuntimeError(
            "this version of Hydra has no ConfigLoaderImpl, so its configs cannot be checked"
        )
    hydra_internals.ConfigLoaderImpl = CheckedLoader
    yaml_loading.install_fast_loader()
    module: Any = config_loader_impl
    module.create_defaults_list = hydra_cache.create_defaults_list
    restore_user_folders()


def restore_user_folders() -> None:
    """Restore the user's folders in the process of a launcher, from the loader that it received."""
    instance = GlobalHydra.instance()
    if option_folders.UserOptions.folders or not instance.is_initialized():
        return
    folders = {
        provider: tuple(
            source_folder(source)
            for source in instance.config_loader().get_sources()
            if source.provider == provider
        )
        for provider in (USER_PROVIDER, PLUGIN_PROVIDER)
    }
    option_folders.UserOptions.folders = (*folders[USER_PROVIDER], *folders[PLUGIN_PROVIDER])
    option_folders.UserOptions.plugin_folders = folders[PLUGIN_PROVIDER]


class SweepFolder:
    """The folder of this command's sweep, for launchers that write their logs there."""

    path: Path | None = None


@functools.cache
def sweep_folder() -> Path:
    """Return a temporary path for Hydra's files of a sweep; no folder is created.

    Hydra writes them before the points of the sweep are checked, and nothing reads them. `outputs`
    thus stays unchanged if every point is refused.
    """
    return Path(tempfile.gettempdir()) / f"ablab-sweep-{secrets.token_hex(8)}"


def remove_sweep_folder() -> None:
    """Remove the temporary folder of a sweep, if one was used."""
    if sweep_folder.cache_info().currsize:
        shutil.rmtree(sweep_folder(), ignore_errors=True)


class CheckedLoader(ConfigLoaderImpl):
    """Hydra's config loader, with an error for settings that a config may not change."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository: CheckedRepository = CheckedRepository(config_search_path)
        self._settings_cache: dict[tuple[str, ...], dict[str, Any]] = {}

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
            ConfigError: a YAML file has set one of Hydra's own settings, the outputs folder or
                plug-ins.
        """
        config = super().load_configuration(
            config_name, overrides, run_mode, from_shell, validate_sweep_overrides
        )
        self.check(config, config_name, overrides)
        if run_mode is RunMode.MULTIRUN:
            if config.hydra.runtime.choices["hydra/launcher"] in LOCAL_LAUNCHERS:
                config.hydra.sweep.dir = str(sweep_folder())
            elif SweepFolder.path is not None:
                config.hydra.sweep.dir = str(SweepFolder.path)
        return config

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Compose one point of a sweep, with the folder of the whole sweep.

        The process of a launcher imports the plug-ins here, since they declare options.
        """
        plugin_packages.import_all_plugins(list(master_config.plugins))
        config = super().load_sweep_config(master_config, sweep_overrides)
        config.hydra.sweep.dir = master_config.hydra.sweep.dir
        return config

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        """Merge the files of the chosen options as Hydra does, each choice once."""
        return hydra_cache.merge_configs(super()._compose_config_from_defaults_list, defaults, repo)

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        """Parse overrides as Hydra does, and limit the number of options that are loaded."""
        parsed, repository = super()._parse_overrides_and_create_caching_repo(
            config_name, overrides
        )
        load_original, count = repository.load_config, itertools.count(1)

        def load_config(config_path: str) -> ConfigResult | None:
            if next(count) > MAX_LOADS:
                raise ConfigError(
                    f"the defaults lists{self._name_user_files()} name more than {MAX_LOADS} "
                    "options, or include each other in a circle; name each option once"
                )
            return load_original(config_path)

        repository.load_config = load_config  # type: ignore[method-assign]
        return parsed, repository

    def check(self, config: DictConfig, config_name: str | None, overrides: Sequence[str]) -> None:
        """Raise ConfigError for settings that only the command line may change."""
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        has_packages = any(override.package for override in parsed)
        if not has_packages and not reads_user_files(self.repository.get_sources()):
            return  # only ablab's own files, each merged into its own group: nothing can differ
        hydra_overrides = [
            str(override.input_line) for override in parsed if override.is_hydra_override()
        ]
        other_overrides = [
            override.input_line for override in parsed if not override.is_hydra_override()
        ]
        if OmegaConf.to_container(config.hydra.overrides) != {
            "hydra": hydra_overrides,
            "task": other_overrides,
        }:
            self._refuse_setting("hydra.overrides")
        for key in differing_keys(
            hydra_settings(config.hydra), self._allowed_settings(config_name, hydra_overrides)
        ):
            self._refuse_setting(f"hydra.{key}")  # not its value: it may be secret
        if config_name is None:
            return
        config_values: Any = OmegaConf.to_container(config, resolve=False)
        check_expansion({key: value for key, value in config_values.items() if key != "hydra"})
        typed_keys = {override.key_or_group for override in parsed}
        defaults = option_folders.read_yaml(option_folders.CONF / "config.yaml")
        for key in COMMAND_LINE_KEYS:
            value = config_values.get(key)
            if key not in typed_keys and value != defaults[key]:
                hint = (
                    f"; {module_hint(value)}" if key == "plugins" and isinstance(value, str) else ""
                )
                raise ConfigError(
                    f"{key}={truncate_middle(value, 60)} is set{self._name_user_files()}; "
                    f"set {key} on the command line only{hint}"
                )

    def _refuse_setting(self, key: str) -> None:
        """Raise ConfigError for one of Hydra's own settings that a YAML file has changed."""
        raise ConfigError(
            f"{key} is set{self._name_user_files()}; Hydra's own settings cannot be changed, "
            "except hydra/launcher and hydra/sweeper on the command line"
        )

    def _name_user_files(self) -> str:
        """Return " in <files>" for a message: the loaded files of the user; "" without any."""
        files = self.repository.user_files
        return (
            f" in {join_names([truncate_middle(file, 60) for file in files], 2)}" if files else ""
        )

    def _allowed_settings(
        self, config_name: str | None, hydra_overrides: Sequence[str]
    ) -> dict[str, Any]:
        """Return Hydra's settings as conf/config.yaml and the command line set them.

        `config_name` is None for Hydra's own help, which reads no conf/config.yaml.
        """
        cache_key = (str(config_name), *hydra_overrides)
        if cache_key not in self._settings_cache:
            search_path = ConfigSearchPathImpl()
            for element in self.config_search_path.get_path():
                if element.provider != USER_PROVIDER:
                    search_path.append(str(element.provider), str(element.path))
            main_config = (
                option_folders.read_yaml(option_folders.CONF / "config.yaml") if config_name else {}
            )
            chosen_options = [
                f"{name.removeprefix('override ')}={option}"
                for entry in main_config.get("defaults", ())
                for name, option in (entry.items() if isinstance(entry, dict) else ())
                if name.startswith("override hydra/")
            ]
            composed = ConfigLoaderImpl(search_path).load_configuration(
                None, [*chosen_options, *hydra_overrides], RunMode.RUN
            )
            settings = OmegaConf.merge(composed.hydra, main_config.get("hydra", {}))
            self._settings_cache[cache_key] = hydra_settings(settings)
        return self._settings_cache[cache_key]


def hydra_settings(hydra: Any) -> dict[str, Any]:
    """Return Hydra's node as plain data, without `PER_CONFIG_KEYS`."""
    node: Any = OmegaConf.to_container(hydra, resolve=False, enum_to_str=True)
    choices = node["runtime"]["choices"]
    for key in PER_CONFIG_KEYS:
        section, _, name = key.rpartition(".")
        (node[section] if section else node).pop(name, None)
    node["runtime"]["hydra"] = {k: v for k, v in choices.items() if k.startswith("hydra/")}
    return dict(node)


def differing_keys(actual: Any, expected: Any, prefix: str = "") -> list[str]:
    """Return the dotted keys at which two nested containers differ."""
    if not (isinstance(actual, dict) and isinstance(expected, dict)):
        return [] if actual == expected and type(actual) is type(expected) else [prefix]
    return [
        difference
        for key in {**actual, **expected}
        for difference in differing_keys(
            actual.get(key), expected.get(key), f"{prefix}.{key}" if prefix else str(key)
        )
    ]

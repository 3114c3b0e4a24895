"""The YAML files that Hydra finds: a user's are checked before they are loaded. No torch."""

import copy
import os
import re
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner import registry
from runner.config import ConfigError
from runner.plan import option_folders
from runner.plan.copy_of import replace_copies_by_lists
from runner.plan.declared_options import find_declared_options
from runner.plan.error_messages import describe_unexpected_error
from runner.plan.security import check_yaml_file
from runner.wording.output import truncate_middle

USER_PROVIDER = "command-line"  # what Hydra calls the folder of --config-dir
PARSED: dict[tuple[str, ...], ConfigResult | None] = {}
NOT_LOADED = (
    *(HydraException, OmegaConfBaseException, YAMLError),
    *(OSError, ValueError, TypeError, AssertionError, AttributeError, RecursionError),
)


class UsersFolder(FileConfigSource):
    """A user's folder of options, in which links to folders count as nothing.

    They could lead in a circle, or through the whole disk, where options are listed.
    """

    def is_group(self, config_path: str) -> bool:
        """Whether a folder is there, and no link on the way to it."""
        found = os.path.realpath(os.path.join(self.path, config_path))  # noqa: PTH118
        folder = os.path.normpath(os.path.join(os.path.realpath(self.path), config_path))  # noqa: PTH118
        return found == folder and super().is_group(config_path)


class DeclaredOptions(ConfigSource):
    """A place where Hydra finds the options that are declared in Python."""

    def __init__(self) -> None:
        super().__init__("declared", f"{self.scheme()}://")

    @staticmethod
    def scheme() -> str:
        """Return what stands before the path of such an option."""
        return "declared"

    def load_config(self, config_path: str) -> ConfigResult:
        """Return an option with its defaults."""
        group, _, kind = config_path.partition("/")
        node = OmegaConf.create(find_declared_options(group)[kind])
        return ConfigResult(self.provider, self.full_path(), node, {"package": None})

    def is_group(self, config_path: str) -> bool:
        """Whether a group has such options."""
        return config_path.strip("/") in registry.group_names()

    def is_config(self, config_path: str) -> bool:
        """Whether there is such an option."""
        group, _, kind = config_path.partition("/")
        if kind == "None":  # a group of which nothing is chosen; to look for it loads all options
            return False
        return group in registry.group_names() and kind in find_declared_options(group)

    def available(self) -> bool:
        """Return True: nothing has to be found first."""
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the options of a group."""
        group = config_path.strip("/")
        only_groups = results_filter is ObjectType.GROUP
        if only_groups or not self.is_group(group):
            return []
        return sorted(find_declared_options(group, load_tasks=False))


class CheckedRepository(ConfigRepository):
    """The folders that options are loaded from.

    Attributes:
        users: the user's files that were loaded.
    """

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.user_files: list[Path] = []

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Find the folders of options; the user's is one without links to other folders."""
        super().initialize_sources(config_search_path)
        self.sources = [
            UsersFolder(one.provider, one.path) if one.provider == USER_PROVIDER else one
            for one in self.sources
        ]
        self.sources.insert(-1, DeclaredOptions())  # Hydra's own schemas have to stand last

    def get_group_options(
        self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG
    ) -> list[str]:
        """The options of a group. Raises ConfigError for a name that leads elsewhere."""
        if group_name.strip("/"):
            check_option_name(group_name)
        return super().get_group_options(group_name, results_filter)

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Load one config, such as `experiment/moe`; a name that is nowhere gives None.

        Raises:
            ConfigError: the name leads out of its group, or a user's file is damaged or could run
                code.
        """
        check_option_name(config_path)
        source = next((one for one in self.sources if one.is_config(config_path)), None)
        if source is None or source.scheme() not in ("file", "pkg"):
            return super().load_config(config_path)
        if source.provider != USER_PROVIDER:
            return self._loaded_once((source.path, config_path), config_path)
        path = file_of(source, config_path)
        if path not in self.user_files:
            self.user_files.append(path)
        option_folders.UserOptions.loaded_files |= {os.path.realpath(path)}
        try:
            found = path.stat()
            stamp = f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"
            key = (source.path, config_path, stamp)
            if key not in PARSED:
                check_yaml_file(path)
            return self._loaded_once(key, config_path)
        except ConfigError:
            raise
        except NOT_LOADED as error:
            reason = re.sub(
                rf"^\S*{re.escape(path.name)}[:,] ", "", describe_unexpected_error(error)
            )
            raise ConfigError(f"{path}: {reason}") from error

    def _loaded_once(self, key: tuple[str, ...], config_path: str) -> ConfigResult | None:
        """Load a file, which is parsed once in a process as long as it has this key.

        Every arm is composed anew from the same files; to parse them takes longer than all else.
        """
        if key not in PARSED:
            PARSED[key] = found = super().load_config(config_path)
            if found is not None:
                replace_copies_by_lists(found.config)
        return copy.deepcopy(PARSED[key])

    def __deepcopy__(self, memo: dict[int, Any]) -> "CheckedRepository":
        """Hydra loads through a copy, whose files are to be known here."""
        return copy.copy(self)


def check_option_name(config_path: str) -> None:
    """Raise ConfigError for the name of a config that leads elsewhere than it says."""
    parts = config_path.strip("/").split("/")
    odd = not config_path.isprintable() or "\\" in config_path or len(config_path) > 200
    if odd or any(part in ("", ".", "..") for part in parts):
        raise ConfigError(
            f"{truncate_middle(config_path, 100)}: an option is one name of its group, and no path"
        )
    if parts[-1].endswith((".yaml", ".yml")):
        name = parts[-1].rpartition(".")[0]
        raise ConfigError(
            f"{truncate_middle(config_path, 100)}: an option is named without .yaml; write {name}"
        )


def file_of(source: ConfigSource, config_path: str) -> Path:
    """The file of a user's config. Raises ConfigError where it lies outside the user's folder."""
    folder = source.path.partition("://")[2] if "://" in source.path else source.path
    path = Path(folder, f"{config_path.strip('/')}.yaml")
    option_folders.check_inside(path, Path(folder))
    return path

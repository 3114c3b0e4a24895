"""The sources in which Hydra finds options; YAML files of a user are checked first. No torch."""

import copy
import os
import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

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
from runner.plan.missing_preset import smoke_preset
from runner.plan.security import check_yaml_file
from runner.wording.output import truncate_middle

USER_PROVIDER = "command-line"  # Hydra's name for the folder of --config-dir
PLUGIN_PROVIDER = "plug-in"
LOADED_FILES: dict[tuple[str, ...], bytes] = {}
"""Pickled configs: to unpickle one takes a sixth of the time of `copy.deepcopy`."""
LOAD_ERRORS = (
    *(HydraException, OmegaConfBaseException, YAMLError),
    *(OSError, ValueError, TypeError, AssertionError, AttributeError, RecursionError),
)


class UserFolder(FileConfigSource):
    """A user's folder of options, without its links to folders.

    A listing of options through links could run in a circle, or through the whole disk.

    Attributes:
        loaded: the files of plug-ins that this process has loaded.
    """

    loaded: ClassVar[set[Path]] = set()

    def is_group(self, config_path: str) -> bool:
        """Return whether a folder exists, with no link on its path."""
        real_folder = os.path.realpath(os.path.join(self.path, config_path))  # noqa: PTH118
        expected_folder = os.path.normpath(os.path.join(os.path.realpath(self.path), config_path))  # noqa: PTH118
        return real_folder == expected_folder and super().is_group(config_path)


class DeclaredOptions(ConfigSource):
    """The source of options without a YAML file: those declared in Python, and smoke presets."""

    def __init__(self) -> None:
        super().__init__("declared", f"{self.scheme()}://")

    @staticmethod
    def scheme() -> str:
        """Return the prefix of the path of a declared option."""
        return "declared"

    def load_config(self, config_path: str) -> ConfigResult:
        """Return a declared option with its defaults."""
        if (preset := smoke_preset(config_path)) is not None:
            header: dict[str, str | None] = {"package": "_global_"}
            return ConfigResult(self.provider, self.full_path(), OmegaConf.create(preset), header)
        group, _, kind = config_path.partition("/")
        node = OmegaConf.create(find_declared_options(group)[kind])
        return ConfigResult(self.provider, self.full_path(), node, {"package": None})

    def is_group(self, config_path: str) -> bool:
        """Return whether a path is a group."""
        return config_path.strip("/") in registry.group_names()

    def is_config(self, config_path: str) -> bool:
        """Return whether a path is a declared option."""
        group, _, kind = config_path.partition("/")
        if kind == "None":  # no option is chosen; a search for it would load all options
            return False
        if group == "preset":
            return smoke_preset(config_path) is not None
        return group in registry.group_names() and kind in find_declared_options(group)

    def available(self) -> bool:
        """Return True: this source is always available."""
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the declared options of a group."""
        group = config_path.strip("/")
        only_groups = results_filter is ObjectType.GROUP
        if only_groups or not self.is_group(group):
            return []
        return sorted(find_declared_options(group, load_tasks=False))


class CheckedRepository(ConfigRepository):
    """The sources that options are loaded from, with checks of the user's files.

    Attributes:
        user_files: the user's files that were loaded.
    """

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.user_files: list[Path] = []

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Set up the sources: ablab's, the user's folders, and the options declared in Python."""
        super().initialize_sources(config_search_path)
        self.sources = [
            UserFolder(source.provider, source.path) if source.provider == USER_PROVIDER else source
            for source in self.sources
        ]
        self.sources[-1:-1] = [
            UserFolder(PLUGIN_PROVIDER, f"file://{folder.absolute()}")
            for folder in option_folders.UserOptions.plugin_folders
        ]
        self.sources.insert(-1, DeclaredOptions())  # Hydra requires its own schemas last

    def get_group_options(
        self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG
    ) -> list[str]:
        """Return the options of a group. Raises ConfigError for a name that is a path."""
        if group_name.strip("/"):
            check_option_name(group_name)
        return super().get_group_options(group_name, results_filter)

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Load one config, such as `experiment/moe`; return None for an unknown name.

        Raises:
            ConfigError: the name is a path out of its group, or a user's file is damaged or could
                run code.
        """
        check_option_name(config_path)
        source = next((one for one in self.sources if one.is_config(config_path)), None)
        if source is None or source.scheme() not in ("file", "pkg"):
            return super().load_config(config_path)
        if source.provider not in (USER_PROVIDER, PLUGIN_PROVIDER):
            return self._load_once((source.path, config_path), config_path)
        path = user_file_path(source, config_path)
        if path not in self.user_files:
            self.user_files.append(path)
        if source.provider == PLUGIN_PROVIDER:
            UserFolder.loaded.add(path)
        option_folders.UserOptions.loaded_files |= {os.path.realpath(path)}
        try:
            file_stat = path.stat()
            stamp = f"{file_stat.st_size} {file_stat.st_mtime_ns} {file_stat.st_ino}"
            key = (source.path, config_path, stamp)
            if key not in LOADED_FILES:
                check_yaml_file(path)
            return self._load_once(key, config_path)
        except ConfigError:
            raise
        except LOAD_ERRORS as error:
            reason = re.sub(
                rf"^\S*{re.escape(path.name)}[:,] ", "", describe_unexpected_error(error)
            )
            raise ConfigError(f"{path}: {reason}") from error

    def _load_once(self, key: tuple[str, ...], config_path: str) -> ConfigResult | None:
        """Load a file, or copy it from `LOADED_FILES` if this process has loaded it before.

        Every arm is composed from the same files, and parsing would dominate the time.
        """
        if key in LOADED_FILES:
            return pickle.loads(LOADED_FILES[key])  # pickled by this process
        result = super().load_config(config_path)
        if result is not None:
            replace_copies_by_lists(result.config)
        LOADED_FILES[key] = pickle.dumps(result)
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> "CheckedRepository":
        """Return a shallow copy: Hydra loads through a copy, and `user_files` must be shared."""
        return copy.copy(self)


def reads_user_files(sources: Iterable[ConfigSource]) -> bool:
    """Return whether a composition from these sources reads files of the user.

    A folder of `--config-dir` is meant to be read. The folder of a plug-in, which may be installed
    for other studies, counts after this process has loaded a file of a plug-in.
    """
    return bool(UserFolder.loaded) or any(source.provider == USER_PROVIDER for source in sources)


def check_option_name(config_path: str) -> None:
    """Raise ConfigError for the name of a config that is a path or ends in .yaml."""
    parts = config_path.strip("/").split("/")
    is_malformed = not config_path.isprintable() or "\\" in config_path or len(config_path) > 200
    if is_malformed or any(part in ("", ".", "..") for part in parts):
        raise ConfigError(
            f"{truncate_middle(config_path, 100)}: an option is one name in its group, not a path"
        )
    if parts[-1].endswith((".yaml", ".yml")):
        name = parts[-1].rpartition(".")[0]
        raise ConfigError(
            f"{truncate_middle(config_path, 100)}: the name of an option has no .yaml; write {name}"
        )


def user_file_path(source: ConfigSource, config_path: str) -> Path:
    """Return the file of a user's config. Raises ConfigError if it is outside the user's folder."""
    folder = source_folder(source)
    path = Path(folder, f"{config_path.strip('/')}.yaml")
    option_folders.check_inside(path, folder)
    return path


def source_folder(source: ConfigSource) -> Path:
    """Return the folder of a source of files."""
    return Path(source.path.partition("://")[2] if "://" in source.path else source.path)

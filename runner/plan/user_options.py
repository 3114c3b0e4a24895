"""The user's own options: the folder of `--config-dir`, and those of plug-ins."""

import sys
from collections.abc import Sequence
from pathlib import Path

from runner.config import ConfigError
from runner.plan import option_folders, plugin_packages
from runner.wording.output import truncate_middle


def load_user_options(config_dir: Path | None, named: Sequence[str]) -> None:
    """Import the plug-ins, and check and open the folders of options of this command.

    A note on stderr names each installed plug-in that is left out.

    Args:
        config_dir: the folder of `--config-dir`; None without the flag.
        named: the modules of `plugins=[...]`.

    Raises:
        ConfigError: a folder does not exist, a file of it is refused, or a plug-in cannot be used.
    """
    option_folders.UserOptions.reset()
    if config_dir is not None:
        if not config_dir.is_dir():
            raise ConfigError(f"--config-dir {truncate_middle(config_dir, 120)} is not a folder")
        option_folders.check_user_files([config_dir])
        option_folders.UserOptions.folders = (config_dir,)
    for note in plugin_packages.import_all_plugins(named):
        print(f"note: {note}", file=sys.stderr)  # noqa: T201
    open_folders(config_dir, plugin_modules(named))
    if plugin_modules(named):
        option_folders.check_declared_options()


def plugin_modules(named: Sequence[str]) -> list[str]:
    """Return the modules of all plug-ins of this command, each once: the named ones come first."""
    installed = [plugin.module for plugin in plugin_packages.UsablePlugins.installed]
    return list(dict.fromkeys([*named, *installed]))


def open_folders(config_dir: Path | None, modules: Sequence[str]) -> None:
    """Check the folders of options of a command, and let all later reads use them."""
    config_dirs = [] if config_dir is None else [config_dir]
    plugin_folders = [
        folder
        for folder in plugin_packages.find_conf_folders(modules)
        if all(folder.resolve() != one.resolve() for one in (*config_dirs, option_folders.CONF))
    ]
    option_folders.check_user_files([*config_dirs, *plugin_folders])
    option_folders.UserOptions.folders = (*config_dirs, *plugin_folders)
    option_folders.UserOptions.plugin_folders = tuple(plugin_folders)

"""The folders of option files: `conf/` of ablab, and those of the user.

A user has the folder of `--config-dir`, and a folder `conf` in the package of each plug-in.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from runner import registry
from runner.config import ConfigError
from runner.plan.declared_options import find_declared_options
from runner.plan.plugin_packages import find_package
from runner.records.files import read_bytes

MAX_BYTES = 2**20
"""Size of the largest YAML file that is read."""

CONF = Path(__file__).resolve().parents[2] / "conf"


class UserOptions:
    """The user's folders of this command.

    Attributes:
        folders: the folder of `--config-dir`, if there is one, and those of plug-ins.
        plugin_folders: the folders of plug-ins.
        loaded_files: real paths of the files in them that Hydra has loaded.
    """

    folders: tuple[Path, ...] = ()
    plugin_folders: tuple[Path, ...] = ()
    loaded_files: frozenset[str] = frozenset()

    @classmethod
    def reset(cls) -> None:
        """Forget the folders of an earlier command."""
        cls.folders = cls.plugin_folders = ()
        cls.loaded_files = frozenset()


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file; empty if there is no such file."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(read_bytes(path, MAX_BYTES), Loader=loader) or {} if path.exists() else {}


def conf_group_names() -> set[str]:
    """Return the names of the groups in `conf/`."""
    return {path.name for path in CONF.iterdir() if path.is_dir()}


def option_names(group: str) -> set[str]:
    """Return the names of a group's options: files of ablab and the user, and declared parts."""
    folders = (CONF, *UserOptions.folders)
    files = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")}
    return files | set(find_declared_options(group) if group in registry.group_names() else ())


def user_file(option: str) -> Path | None:
    """Return the user's file of an option such as `experiment/mine`; None if the user has none."""
    paths = [folder / f"{option}.yaml" for folder in UserOptions.folders if option]
    return next((path for path in paths if path.is_file()), None)


def loaded_user_files() -> list[Path]:
    """Return the option files of the user's folders that Hydra has loaded."""
    files = [path for folder in UserOptions.folders for path in sorted(folder.glob("*/*.yaml"))]
    return [path for path in files if os.path.realpath(path) in UserOptions.loaded_files]


def find_group_files(*groups: str) -> list[Path]:
    """Return the files of some groups, without links that lead out of a user's folder."""
    files = [path for group in groups for path in sorted((CONF / group).glob("*.yaml"))]
    for folder in UserOptions.folders:
        for path in (path for group in groups for path in sorted(folder.glob(f"{group}/*.yaml"))):
            with contextlib.suppress(ConfigError):
                check_inside(path, folder)
                files.append(path)
    return files


def read_option_layers(
    option: str, read: Callable[[Path], dict[str, Any]] = read_yaml
) -> list[dict[str, Any]]:
    """Return the content of an option's file, such as `experiment/mine`, then of those it extends.

    It extends the options that its `defaults:` name, and the options that these extend in turn. A
    name that is a path out of its group is skipped. `read` returns the content of a file.
    """
    layers: list[dict[str, Any]] = []
    todo, visited = [option], set()
    while todo:
        option = todo.pop(0).strip("/")
        if option in visited or not {"", ".", ".."}.isdisjoint(option.split("/")):
            continue
        visited.add(option)
        content = read(user_file(option) or CONF / f"{option}.yaml")
        layers.append(content)
        group = option.rpartition("/")[0]
        entries = [each for each in content.get("defaults") or () if isinstance(each, str)]
        names = [each.removeprefix("optional ") for each in entries if each != "_self_"]
        todo += [name if name.startswith("/") else f"{group}/{name}" for name in names]
    return layers


def read_text_or_empty(path: Path) -> str:
    """Return the text of a file; empty if it cannot be read as UTF-8."""
    try:
        return read_bytes(path, MAX_BYTES).decode("utf-8")
    except (OSError, ValueError):
        return ""


def check_inside(path: Path, folder: Path) -> None:
    """Raise ConfigError if a file is a link to a file outside of the user's folder."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ConfigError(
            f"{path} is a link that leads out of {folder}; copy the file, or give its own folder "
            "with --config-dir"
        )


def check_user_files(folders: Sequence[Path]) -> None:
    """Refuse files of a user's folders that Hydra would skip silently.

    Raises:
        ConfigError: a file has the name of an option of ablab or of another folder, or its
            extension is not .yaml.
    """
    first: dict[str, Path] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*/*.y*ml"))):
        group = path.parent.name
        if group not in conf_group_names():
            continue
        if path.suffix != ".yaml":
            raise ConfigError(f"{path}: only .yaml files are read; rename it to {path.stem}.yaml")
        if (CONF / group / path.name).exists():
            raise ConfigError(
                f"{path}: ablab has its own {group}={path.stem}, which is read instead; give your "
                f"file another name, e.g. my_{path.name}"
            )
        other = first.setdefault(f"{group}={path.stem}", path)
        if other != path:
            raise ConfigError(
                f"{group}={path.stem} is in two files, {other} and {path}; rename one of them"
            )


def check_declared_options() -> None:
    """Raise ConfigError if a file of another kind hides a part or task that a plug-in declares."""
    for group in registry.group_names():
        for kind in registry.kinds(group, load_tasks=False):
            kinds = [
                layer["kind"] for layer in read_option_layers(f"{group}/{kind}") if "kind" in layer
            ]
            if kinds and kinds[0] != kind:
                module = registry.kinds(group, load_tasks=False)[kind].__module__
                plugin = find_package(module)
                where = f"{module} (package {plugin.package})" if plugin else module
                raise ConfigError(
                    f"{group}={kind}: a plug-in declares this kind, but {group}/{kind}.yaml has "
                    f"kind {kinds[0]} and is read instead; in {where} rename the kind, e.g. "
                    f"my_{kind}"
                )

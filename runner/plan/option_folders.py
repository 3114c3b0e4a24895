"""The folders that options are read from: ours (`conf/`) and a user's own (`--config-dir`)."""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from runner import registry
from runner.config import ConfigError
from runner.plan.declared_options import find_declared_options
from runner.records.files import read_bytes

MOST = 2**20
"""Bytes of the largest YAML file that is read."""

CONF = Path(__file__).resolve().parents[2] / "conf"
GLOBAL = re.compile(r"^\s*#\s*@package\s+_global_\s*$", re.MULTILINE)


class UserOptions:
    """The user's own folder of this command; None without `--config-dir`.

    `loaded_files` has the files of it that Hydra has loaded, by their real paths.
    """

    folder: Path | None = None
    loaded_files: frozenset[str] = frozenset()


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a dict; empty where there is none."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(read_bytes(path, MOST), Loader=loader) or {} if path.exists() else {}


def conf_group_names() -> set[str]:
    """The groups of `conf/`."""
    return {path.name for path in CONF.iterdir() if path.is_dir()}


def option_names(group: str) -> set[str]:
    """The names of a group's options: ours, the user's, and parts that need no file."""
    places = [CONF] if UserOptions.folder is None else [CONF, UserOptions.folder]
    files = {path.stem for place in places for path in (place / group).glob("*.yaml")}
    return files | set(find_declared_options(group) if group in registry.group_names() else ())


def user_file(option: str) -> Path | None:
    """The user's file of an option such as `experiment/mine`, if it is the user's."""
    if UserOptions.folder is None or not option:
        return None
    path = UserOptions.folder / f"{option}.yaml"
    return path if path.is_file() else None


def loaded_user_files() -> list[Path]:
    """The option files of the user's own folder that were loaded."""
    found = sorted(UserOptions.folder.glob("*/*.yaml")) if UserOptions.folder else []
    return [path for path in found if os.path.realpath(path) in UserOptions.loaded_files]


def find_group_files(*groups: str) -> list[Path]:
    """The files of some groups, ours and the user's, but for links that lead elsewhere."""
    found = [path for group in groups for path in sorted((CONF / group).glob("*.yaml"))]
    for path in (
        p
        for g in groups
        for p in (UserOptions.folder.glob(f"{g}/*.yaml") if UserOptions.folder else ())
    ):
        with contextlib.suppress(ConfigError):
            check_inside(path, UserOptions.folder or CONF)
            found.append(path)
    return found


def read_option_layers(option: str) -> list[dict[str, Any]]:
    """Return what the file of an option such as `experiment/mine` says, then those it extends.

    These are the files of its group that its `defaults:` name, and theirs.
    """
    found: list[dict[str, Any]] = []
    todo, seen = [option], set()
    while todo:
        option = todo.pop(0).strip("/")
        if option in seen:
            continue
        seen.add(option)
        said = read_yaml(user_file(option) or CONF / f"{option}.yaml")
        found.append(said)
        group = option.rpartition("/")[0]
        entries = [each for each in said.get("defaults") or () if isinstance(each, str)]
        names = [each.removeprefix("optional ") for each in entries if each != "_self_"]
        todo += [name if name.startswith("/") else f"{group}/{name}" for name in names]
    return found


def read_text_or_empty(path: Path) -> str:
    """What a file says; empty where it cannot be read."""
    try:
        return read_bytes(path, MOST).decode("utf-8")
    except (OSError, ValueError):
        return ""


def check_inside(path: Path, folder: Path) -> None:
    """Raise ConfigError for a file that lies outside of a user's folder, by a link."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ConfigError(
            f"{path} leads out of {folder}, by a link; copy the file, or give its own folder with "
            "--config-dir"
        )


def check_user_files(folder: Path) -> None:
    """Refuse files of a user's folder that Hydra would leave out without a word.

    Raises:
        ConfigError: a file with the name of one of ours, or with another extension than .yaml.
    """
    for path in sorted(folder.glob("*/*.y*ml")):
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


def check_declared_options() -> None:
    """Raise ConfigError for a declared part or task that a file of its name would hide."""
    for group in registry.group_names():
        for kind in registry.kinds(group, load_tasks=False):
            kinds = [
                said["kind"] for said in read_option_layers(f"{group}/{kind}") if "kind" in said
            ]
            if kinds and kinds[0] != kind:
                raise ConfigError(
                    f"{group}={kind}: a plug-in declares this kind, but {group}/{kind}.yaml has "
                    f"kind {kinds[0]} and is read instead; give yours another name, e.g. my_{kind}"
                )


def find_file_that_sets(key: str, texts: Sequence[str]) -> Path | None:
    """The user's file that sets a dotted key; of several the one that `texts` choose, else None."""
    found = [path for path in loaded_user_files() if _sets(path, key)]
    if len(found) > 1:
        words = " ".join(texts)
        found = [path for path in found if re.search(rf"={re.escape(path.stem)}\b", words)]
    return found[0] if len(found) == 1 else None


def _sets(path: Path, key: str) -> bool:
    """Whether a file sets a dotted key, by what its header and its folder say of its place."""
    try:
        document: Any = read_yaml(path)
        whole = GLOBAL.search(read_text_or_empty(path)) is not None
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return False
    names = key.split(".")
    if not whole:
        if names[0] != path.parent.name:
            return False
        names = names[1:]
    for name in names:
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return bool(names)

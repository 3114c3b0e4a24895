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
from runner.plan.declared import declared
from runner.records.files import read_bytes

MOST = 2**20
"""Bytes of the largest YAML file that is read."""

CONF = Path(__file__).resolve().parents[2] / "conf"
GLOBAL = re.compile(r"^\s*#\s*@package\s+_global_\s*$", re.MULTILINE)


class Own:
    """The user's own folder of this command; None without `--config-dir`.

    `loaded` has the files of it that Hydra has loaded, by their real paths.
    """

    folder: Path | None = None
    loaded: frozenset[str] = frozenset()


def read(path: Path) -> dict[str, Any]:
    """A YAML file as a dict; empty where there is none."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(read_bytes(path, MOST), Loader=loader) or {} if path.exists() else {}


def groups() -> set[str]:
    """The groups of `conf/`."""
    return {path.name for path in CONF.iterdir() if path.is_dir()}


def options(group: str) -> set[str]:
    """The names of a group's options: ours, the user's, and parts that need no file."""
    places = [CONF] if Own.folder is None else [CONF, Own.folder]
    files = {path.stem for place in places for path in (place / group).glob("*.yaml")}
    return files | set(declared(group) if group in registry.groups() else ())


def own_file(option: str) -> Path | None:
    """The user's file of an option such as `experiment/mine`, if it is the user's."""
    if Own.folder is None or not option:
        return None
    path = Own.folder / f"{option}.yaml"
    return path if path.is_file() else None


def own_files() -> list[Path]:
    """The option files of the user's own folder that were loaded."""
    found = sorted(Own.folder.glob("*/*.yaml")) if Own.folder else []
    return [path for path in found if os.path.realpath(path) in Own.loaded]


def all_files(*groups: str) -> list[Path]:
    """The files of some groups, ours and the user's, but for links that lead elsewhere."""
    found = [path for group in groups for path in sorted((CONF / group).glob("*.yaml"))]
    for path in (p for g in groups for p in (Own.folder.glob(f"{g}/*.yaml") if Own.folder else ())):
        with contextlib.suppress(ConfigError):
            check_inside(path, Own.folder or CONF)
            found.append(path)
    return found


def layers(option: str) -> list[dict[str, Any]]:
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
        said = read(own_file(option) or CONF / f"{option}.yaml")
        found.append(said)
        group = option.rpartition("/")[0]
        entries = [each for each in said.get("defaults") or () if isinstance(each, str)]
        names = [each.removeprefix("optional ") for each in entries if each != "_self_"]
        todo += [name if name.startswith("/") else f"{group}/{name}" for name in names]
    return found


def text(path: Path) -> str:
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


def check_own_files(folder: Path) -> None:
    """Refuse files of a user's folder that Hydra would leave out without a word.

    Raises:
        ConfigError: a file with the name of one of ours, or with another extension than .yaml.
    """
    for path in sorted(folder.glob("*/*.y*ml")):
        group = path.parent.name
        if group not in groups():
            continue
        if path.suffix != ".yaml":
            raise ConfigError(f"{path}: only .yaml files are read; rename it to {path.stem}.yaml")
        if (CONF / group / path.name).exists():
            raise ConfigError(
                f"{path}: ablab has its own {group}={path.stem}, which is read instead; give your "
                f"file another name, e.g. my_{path.name}"
            )


def check_declared() -> None:
    """Raise ConfigError for a declared part or task that a file of its name would hide."""
    for group in registry.groups():
        for kind in registry.kinds(group, found=False):
            kinds = [said["kind"] for said in layers(f"{group}/{kind}") if "kind" in said]
            if kinds and kinds[0] != kind:
                raise ConfigError(
                    f"{group}={kind}: a plug-in declares this kind, but {group}/{kind}.yaml has "
                    f"kind {kinds[0]} and is read instead; give yours another name, e.g. my_{kind}"
                )


def setting(key: str, texts: Sequence[str]) -> Path | None:
    """The user's file that sets a dotted key; of several the one that `texts` choose, else None."""
    found = [path for path in own_files() if _sets(path, key)]
    if len(found) > 1:
        words = " ".join(texts)
        found = [path for path in found if re.search(rf"={re.escape(path.stem)}\b", words)]
    return found[0] if len(found) == 1 else None


def _sets(path: Path, key: str) -> bool:
    """Whether a file sets a dotted key, by what its header and its folder say of its place."""
    try:
        document: Any = read(path)
        whole = GLOBAL.search(text(path)) is not None
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

"""The owner of a module: Python, an installed package or the user. Imports no torch."""

import functools
import importlib.metadata
import sys
import sysconfig
from enum import Enum
from pathlib import Path

from runner.records.module_source import find_places
from runner.records.provenance import package_version

INSTALL_FOLDERS = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
"""This Python's folders of installed packages, such as torch and installed plug-ins."""
INSTALL_FOLDER_NAMES = {"site-packages", "dist-packages"}
PYTHON_FOLDER = Path(sysconfig.get_path("stdlib")).resolve()
PROJECT_PACKAGES = ("runner", "experiments")


class Owner(Enum):
    """The owner of a top-level module. An editable install and a source folder are the user's."""

    python = 0
    installed = 1
    user = 2
    nobody = 3  # it cannot be found


def find_owner(module: str) -> Owner:
    """Return the owner of a module; a checkout of ablab is the user's. Nothing is imported."""
    top = top_package(module)
    places = find_places(top)
    is_in_python = [_is_in_python(place.parent) for place in places]
    # A user's file may have the name of a module of Python, as profile.py, and come first.
    if (top in sys.stdlib_module_names or places) and all(is_in_python):
        return Owner.python
    if not places:
        return Owner.nobody
    is_installed = all(_is_install_folder(place.parent, top) for place in places)
    return Owner.installed if is_installed else Owner.user


def is_user_module(module: str) -> bool:
    """Return whether a module is neither Python's, nor installed, nor ablab's, nor missing."""
    return top_package(module) not in PROJECT_PACKAGES and find_owner(module) is Owner.user


def installed_version(top: str) -> str:
    """Return the version of the package that has a top-level module; "" if it is unknown."""
    if version := package_version(top):
        return version
    # The package scikit-learn has the module sklearn. A namespace may be that of many packages.
    packages = sorted(filter(None, {*_packages_by_module().get(top, ())}))
    return " ".join(filter(None, map(package_version, packages)))


def top_package(module: str) -> str:
    """Return the first name of a dotted one."""
    return module.partition(".")[0]


@functools.cache  # it reads the metadata of every installed package
def _packages_by_module() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _is_in_python(folder: Path) -> bool:
    is_below = folder == PYTHON_FOLDER or PYTHON_FOLDER in folder.parents
    return is_below and INSTALL_FOLDER_NAMES.isdisjoint(folder.parts)


def _is_install_folder(folder: Path, top: str) -> bool:
    """Return whether pip or another tool has installed a top-level module into a folder."""
    if folder in INSTALL_FOLDERS or not INSTALL_FOLDER_NAMES.isdisjoint(folder.parts):
        return True
    # `pip install --target=folder` records the files of each package.
    records = (
        path.read_text(encoding="utf-8", errors="replace")
        for path in folder.glob("*.dist-info/RECORD")
    )
    return any(line.startswith((f"{top}/", f"{top}.")) for text in records for line in text.split())

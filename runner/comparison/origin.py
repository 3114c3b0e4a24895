"""The module from which a trial can import a class or function of the user's.

- A class of an importable module is imported from that module.
- The source of a class of a script or notebook is copied into a module of its own, see
  `runner.comparison.extraction`. Trials never run the script or the notebook.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from runner.comparison.extraction import extract_source
from runner.plan.user_modules import (
    PROJECT_PACKAGES,
    Owner,
    find_owner,
    is_user_module,
    top_package,
)
from runner.records.module_source import find_parent_folder


@dataclass(frozen=True)
class Origin:
    """The place of a class or function of the user's.

    Attributes:
        module: the importable module that has it; "" if its source is copied.
        source: the copied source, with everything that it needs; "" for an importable module.
        imports: the modules whose code is part of its trials' code hash.
    """

    module: str
    source: str
    imports: tuple[str, ...]


def find_origin(arm: str, target: Callable[..., Any]) -> Origin:
    """Return the origin of a class or function.

    `arm` is the name of its arm, for messages.

    Raises:
        ConfigError: it is in no importable module, and its source cannot be copied.
    """
    module = target.__module__
    if is_importable(module) and getattr(sys.modules[module], target.__name__, None) is target:
        return Origin(module, "", tuple(each for each in [module] if is_hashed(each)))
    extracted = extract_source(arm, target, is_importable)
    # Only the user's own modules: versions of installed packages are recorded, not hashed.
    own = [each for each in extracted.modules if is_user_module(each)]
    return Origin("", extracted.text, tuple(own))


def is_importable(name: str) -> bool:
    """Return whether another process that imports a module gets the module of this process."""
    module = sys.modules.get(name)
    if module is None or name == "__main__":
        return False
    file = getattr(module, "__file__", None)
    spec = _find_spec(name)
    if spec is None:
        return False
    if spec.origin in ("built-in", "frozen"):  # built into Python; frozen modules have a file too
        return True
    if file is None:  # a folder without __init__.py
        return spec.origin is None or not spec.has_location
    return bool(spec.origin) and os.path.realpath(str(spec.origin)) == os.path.realpath(file)


def _find_spec(name: str) -> ModuleSpec | None:
    """Return the spec of a module as a new process finds it.

    `importlib.util.find_spec` returns that of the loaded module, which may be in no folder of
    `sys.path`.
    """
    parent = name.rpartition(".")[0]
    if parent and not is_importable(parent):
        return None
    path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find(name, path) if find else None
        if spec is not None:
            return spec
    return None


def is_hashed(module: str) -> bool:
    """Return whether a module is neither Python's own, nor torch's, nor ablab's.

    The versions or the code of those are recorded or hashed anyway.
    """
    is_recorded = top_package(module) in ("torch", *PROJECT_PACKAGES)
    return not is_recorded and find_owner(module) is not Owner.python


def import_folder(module: str) -> Path | None:
    """Return the folder of `sys.path` that holds a module that is not installed; else None."""
    return find_parent_folder(top_package(module)) if find_owner(module) is Owner.user else None

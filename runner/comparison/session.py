"""One study inside the user's process: Hydra, import paths and plug-ins, and their restoration."""

import contextlib
import importlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal import hydra as hydra_internals
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from omegaconf.basecontainer import BaseContainer

from runner import registry
from runner.config import ConfigError
from runner.plan import estimates, hydra_cache, hydra_loader, option_folders
from runner.records import owned_folders, private_folders
from runner.study import pool
from runner.study.main_module import imports_code_of_a_study

PREFIX = "compared-"
"""The names of the temporary folders of studies begin with it."""

_TURN = threading.Lock()
"""Hydra has one state for the whole process, so that threads take turns."""


@contextlib.contextmanager
def study_session() -> Iterator[Path]:
    """Prepare this process for one study, and restore it afterwards.

    Yields a new temporary folder that modules can be imported from. Their parts are forgotten at
    the end. Another thread that calls this waits.

    Raises:
        ConfigError: this is the process of a trial, or builds modules for a plan.
    """
    if imports_code_of_a_study():
        raise ConfigError(
            "compare was called by code that a study imports; write the call below "
            'if __name__ == "__main__"'
        )
    with _TURN, contextlib.ExitStack() as stack:
        folder = stack.enter_context(
            owned_folders.make_temporary_folder(_parent_of_folders(), PREFIX)
        )
        stack.enter_context(_environment())
        stack.enter_context(_own_hydra())
        stack.enter_context(_import_path(folder))
        yield folder


def _parent_of_folders() -> Path:
    """Return the user's own folder for temporary files; the shared one if that is not safe."""
    temporary = Path(tempfile.gettempdir())
    try:
        return private_folders.make_private_folder(private_folders.user_folder_in(temporary))
    except OSError:
        return temporary


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Restore the environment variables that the server of the trials gets."""
    before = {name: os.environ.get(name) for name in pool.MALLOC_SETTINGS}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _own_hydra() -> Iterator[None]:
    """Set up Hydra as the command does; the caller may be an application of Hydra itself."""
    instances: dict[Any, Any] = Singleton._instances
    resolvers: dict[str, Any] = BaseContainer._resolvers
    saved = dict(instances), dict(resolvers)
    internals: Any = hydra_internals
    loader: Any = config_loader_impl
    patched = internals.ConfigLoaderImpl, loader.create_defaults_list
    options = option_folders.UserOptions
    user_options = {name: value for name, value in vars(options).items() if name[0] != "_"}
    for state in (GlobalHydra, HydraConfig):
        instances.pop(state, None)
    try:
        hydra_cache.clear()  # other classes may have the kinds of an earlier comparison
        hydra_loader.install_checked_loader()
        yield
    finally:
        for current, before in zip((instances, resolvers), saved, strict=True):
            current.clear()
            current.update(before)
        internals.ConfigLoaderImpl, loader.create_defaults_list = patched
        for name, value in user_options.items():
            setattr(options, name, value)
        estimates.count_elsewhere(None)  # the plan's inspector belongs to this study
        hydra_cache.clear()


@contextlib.contextmanager
def _import_path(folder: Path) -> Iterator[None]:
    """Let a folder be imported from, and forget its modules and their parts at the end."""
    before = list(sys.path)
    # Trials of an unguarded script are in processes that inherit this path.
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        added = {str(folder), os.path.realpath(".")} - {*before}  # plug-ins add the current folder
        sys.path[:] = [each for each in sys.path if each not in added]
        generated = {path.stem for path in folder.glob("*.py")}
        for name in generated & {*sys.modules}:
            del sys.modules[name]
        for group in registry.group_names():
            kinds: Any = registry.kinds(group, load_tasks=False)
            for kind, options in list(kinds.items()):
                if options.__module__ in generated:
                    del kinds[kind]

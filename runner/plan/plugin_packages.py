"""Plug-ins that users name (`plugins=[my_lab]`), and plug-ins of installed packages.

An installed package declares its plug-in as an entry point:

    [project.entry-points."ablab.plugins"]
    my_lab = "my_lab"

Each command imports the installed plug-ins before it reads its options. A trial imports only the
plug-ins that its arm uses (`runner.plan.code_hash`). A folder `conf` in the package of a plug-in is
one more folder of options.
"""

import contextlib
import functools
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from runner import plugins, registry
from runner.config import ConfigError
from runner.plan import moved_imports
from runner.wording.output import truncate_middle

GROUP = "ablab.plugins"
OWN_PACKAGES = ("ablab", "conf", "experiments", "runner")
NEEDED_PACKAGES = (
    *OWN_PACKAGES,
    *("torch", "numpy", "hydra", "omegaconf", "pandas", "scipy", "matplotlib", "matplotlib_fontja"),
    *("tensorboard", "setuptools", "pkg_resources", "rich", "jinja2", "safetensors", "filelock"),
    *("jaxtyping", "babel", "num2words", "sacrebleu", "tokenizers"),
)
"""The packages that ablab imports. A plug-in cannot have their names."""


@dataclass(frozen=True)
class InstalledPlugin:
    """A plug-in of an installed package: its module, and the name and version of the package."""

    module: str
    package: str
    version: str

    def __str__(self) -> str:
        return f"{self.module} (package {self.package} {self.version})"


class UsablePlugins:
    """The installed plug-ins that this process has imported."""

    installed: tuple[InstalledPlugin, ...] = ()


@functools.cache
def find_installed_plugins() -> tuple[InstalledPlugin, ...]:
    """Return the plug-ins of installed packages, sorted by module.

    Call it before the import of named plug-ins, which adds the current folder to the path. A
    checkout in that folder is not installed.
    """
    by_value: dict[str, InstalledPlugin] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        dist = point.dist
        package, version = (dist.name, dist.version) if dist else ("unknown", "")
        by_value.setdefault(point.value, InstalledPlugin(point.value.strip(), package, version))
    return tuple(sorted(by_value.values(), key=lambda plugin: plugin.module))


def import_all_plugins(named: Sequence[str]) -> list[str]:
    """Import the plug-ins of installed packages, then the named modules.

    An installed plug-in that cannot be imported is left out, with all options that it registers.

    Returns:
        A note for each installed plug-in that is left out.

    Raises:
        ConfigError: a named module cannot be imported, or two modules use one name.
    """
    installed, notes = find_installed_plugins(), []
    usable = [plugin for plugin in installed if plugin.module in named]
    for plugin in installed:
        if plugin in usable:
            continue
        if note := import_installed_plugin(plugin, installed):
            notes.append(note)
        else:
            usable.append(plugin)
    UsablePlugins.installed = tuple(usable)
    try:
        for module in named:
            check_name(module)
            with registry.undone_if_failed(module), registry.restored_metrics(module):
                moved_imports.load_plugins([module])
    except registry.NameTakenError as error:
        raise ConfigError(f"plugins: {error}") from error
    except ConfigError as error:
        cause = error.__cause__
        if isinstance(cause, registry.NameTakenError) and (
            owner := find_package(cause.owner, installed)
        ):
            raise ConfigError(f"{error} (it is in the package {owner.package})") from error
        raise
    except ValueError as error:  # of a metric that a module declares
        raise ConfigError(f"plugins: {error}") from error
    return notes


def check_name(module: str) -> None:
    """Refuse a named plug-in if an import of its name would import another module.

    The current folder comes last in the path, so that a file of it does not replace a module of
    Python or of a package.

    Raises:
        ConfigError: Python or ablab has or needs a module of this name, or another module of this
            name hides that of the current folder.
    """
    top = module.partition(".")[0]
    owner = "Python itself" if top in sys.stdlib_module_names else ""
    if top in NEEDED_PACKAGES:
        owner = "ablab" if top in OWN_PACKAGES else "a package that ablab needs"
    if owner:
        raise ConfigError(
            f"plugins: {top} is a module of {owner}; give your module another name, e.g. my_{top}"
        )
    local = PathFinder.find_spec(top, [os.path.realpath(".")])
    if local is None or local.origin is None:
        return
    found = None
    with contextlib.suppress(ImportError, ValueError):  # a module without a spec
        found = find_spec(top)
    if found and found.origin and found.has_location:
        path, first = Path(local.origin), Path(found.origin)
        if first != path and first.read_bytes() != path.read_bytes():
            raise ConfigError(
                f"plugins: {truncate_middle(first, 100)} hides the {top} of this folder; rename "
                "yours, or remove the other"
            )


def import_installed_plugin(plugin: InstalledPlugin, installed: Sequence[InstalledPlugin]) -> str:
    """Import a plug-in of an installed package; return why it is left out, or "".

    Raises:
        ConfigError: it registers a name that another module uses.
    """
    if plugin.module in sys.modules:
        return ""
    try:
        if not all(part.isidentifier() for part in plugin.module.split(".")):
            raise ImportError(f"{plugin.module!r} is not a module, package.module")
        with registry.undone_if_failed(plugin.module), registry.restored_metrics(plugin.module):
            plugins.check_source(plugin.module, importlib.import_module(plugin.module))
    except registry.NameTakenError as error:
        other = find_package(error.owner, installed)
        packages = " or ".join(one.package for one in (plugin, other) if one)
        raise ConfigError(
            f"the installed plug-in {plugin}: {truncate_middle(error, 170)}, or type "
            f"pip uninstall {packages}"
        ) from error
    except (Exception, SystemExit) as error:  # a module of another author may raise any error
        reason = plugins.describe_failure(error, moved_imports.explain_import_error)
        return (
            f"the installed plug-in {plugin}{reason}; it is left out; repair it, or type "
            f"pip uninstall {plugin.package}"
        )
    return ""


def find_package(
    module: str, installed: Iterable[InstalledPlugin] | None = None
) -> InstalledPlugin | None:
    """Return the installed plug-in whose package holds a module; None if there is none."""
    top = module.partition(".")[0]
    known = UsablePlugins.installed if installed is None else installed
    return next((one for one in known if one.module.partition(".")[0] == top), None)


def find_conf_folders(modules: Iterable[str]) -> list[Path]:
    """Return the folders `conf` of the packages that hold these modules, without importing them.

    For `my_lab.pages` it is `my_lab/pages/conf`, and `my_lab/conf` without it. A namespace package
    may have several. A module that is in no package has none.
    """
    folders: list[Path] = []
    for module in modules:
        names = module.split(".")
        try:
            spec = find_spec(names[0])
        except (ImportError, ValueError):
            continue
        roots = list(spec.submodule_search_locations or ()) if spec else []
        for depth in range(len(names), 0, -1):
            places = [Path(root, *names[1:depth], "conf") for root in roots]
            if present := [place for place in places if place.is_dir()]:
                folders += [place for place in present if place not in folders]
                break
    return folders

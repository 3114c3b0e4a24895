"""A hash of the code that computes an arm's numbers; trials with another hash are stale. No torch.

The hash covers the modules that a trial of the arm imports, found by following imports from

- `runner.trial.compute` of the engine,
- the module of the experiment,
- the files of the options that the arm uses: its parts and its task,
- the plug-ins that define any of these options.

A named plug-in without options counts too, but an installed one does not. The hash leaves out the
parts that an arm does not use, and all comments and docstrings.
"""

import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from runner import registry
from runner.config import ArmConfig
from runner.plan import moved_imports, plugin_packages
from runner.records import module_source

ENGINE_ENTRY = "runner.trial.compute"
INSTALL_FOLDERS = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
"""The folders of installed packages, such as torch and installed plug-ins."""
PROJECT_PACKAGES = ("runner", "experiments")


def hash_arms(arms: Mapping[str, ArmConfig], plugins: Sequence[str] = ()) -> dict[str, str]:
    """Return, by name of the arm, the hash of the code that computes its trials.

    Raises:
        MissingModuleError: a module that this code imports cannot be found.
    """
    roots = {name: root_modules(arm, plugins) for name, arm in arms.items()}
    digests = {modules: hash_modules(modules) for modules in set(roots.values())}
    module_source.CACHE.save()
    return {name: digests[modules] for name, modules in roots.items()}


def root_modules(arm: ArmConfig, plugins: Sequence[str]) -> frozenset[str]:
    """Return the modules at which the search for an arm's code starts.

    A plug-in counts unless it registers options and the arm uses none of them. A plug-in without
    options counts always, since its import may change any behaviour.
    """
    modules = option_modules(arm)
    for part in vars(arm.parts).values():
        modules |= {*registry.code_modules(part)}
    used_packages = set(map(_top_package, modules))
    option_packages = {_top_package(option.__module__) for option in registered_options()}
    plugin_roots = {
        name
        for name in plugins
        if _top_package(name) in used_packages or _top_package(name) not in option_packages
    }
    return frozenset({ENGINE_ENTRY, *modules, *plugin_roots, *used_installed_plugins(arm)})


def option_modules(arm: ArmConfig) -> set[str]:
    """Return the modules that define the options of an arm: its page, its parts and its task."""
    modules = {registry.page_module(arm.experiment)}
    for part in vars(arm.parts).values():
        modules |= class_modules(type(part))
    return modules


def class_modules(cls: type) -> set[str]:
    """Return the modules that define a class and its bases, except those of Python itself."""
    return {base.__module__ for base in cls.__mro__ if _is_followed(base.__module__)}


def used_installed_plugins(arm: ArmConfig) -> list[str]:
    """Return the modules of the installed plug-ins whose packages define options of an arm."""
    packages = set(map(_top_package, option_modules(arm)))
    modules = (plugin.module for plugin in plugin_packages.UsablePlugins.installed)
    return [module for module in modules if _top_package(module) in packages]


def trial_plugins(arm: ArmConfig, named: Sequence[str]) -> tuple[str, ...]:
    """Return the modules that a trial of an arm imports: named plug-ins, and installed ones."""
    return tuple(dict.fromkeys([*named, *used_installed_plugins(arm)]))


def describe_plugins(arms: Mapping[str, ArmConfig], named: Sequence[str]) -> list[dict[str, str]]:
    """Return the plug-ins of a study's trials, for its records.

    Each has its module, the installed package that declares it with its version, and a hash of its
    own code.
    """
    modules = [module for arm in arms.values() for module in trial_plugins(arm, named)]
    records = []
    for module in dict.fromkeys(modules):
        plugin = plugin_packages.find_package(module)
        package, version = (plugin.package, plugin.version) if plugin else ("", "")
        code = hash_modules(frozenset({module}), left_out=PROJECT_PACKAGES)
        records.append({"module": module, "package": package, "version": version, "code": code})
    return records


def registered_options() -> Iterator[type]:
    """Yield the option classes of all parts, tasks and questions, including those of plug-ins."""
    for group in registry.group_names():
        yield from registry.kinds(group).values()
    yield from registry.all_options()


def hash_modules(roots: frozenset[str], left_out: Sequence[str] = ()) -> str:
    """Return the hash of some modules and of the modules that they import.

    `find_imported_modules` says which imports count. Modules of the packages `left_out` do not.
    """
    digest = hashlib.sha256()
    for module in sorted(find_imported_modules(roots)):
        if _top_package(module) in left_out:
            continue
        digest.update(f"{module}\0{module_source.read_module(module).digest}\0".encode())
    return digest.hexdigest()[:16]


def find_imported_modules(roots: Iterable[str]) -> set[str]:
    """Return `roots` and the modules that they import, directly or not.

    Only some imports are followed: those from the packages of `roots`, from ablab's packages, and
    from the folder that holds a plug-in.

    Raises:
        MissingModuleError: an imported module cannot be found.
    """
    pending = [*roots]
    packages = {*PROJECT_PACKAGES, *map(_top_package, pending)}
    parent_folders = {
        module_source.find_parent_folder(package) for package in packages - {*PROJECT_PACKAGES}
    } - {None, *INSTALL_FOLDERS}
    visited: set[str] = set()
    while pending:
        module = pending.pop()
        if module in visited:
            continue
        visited.add(module)
        # The __init__ of each package above runs before the module does.
        pending += [module[:end] for end, character in enumerate(module) if character == "."]
        for statement in module_source.read_module(module).imports:
            package = _top_package(statement.module)
            if (
                package not in packages
                and parent_folders
                and _is_followed(package)
                and module_source.find_parent_folder(package) in parent_folders
            ):
                packages.add(package)
            if package in packages:
                pending += _imported_modules(statement, module)
    return visited


def _imported_modules(statement: module_source.Import, importing: str) -> Iterator[str]:
    """Yield the modules that an import runs: the module, and each member that is a module."""
    if _exists(statement.module):
        yield statement.module
    elif not statement.optional or _top_package(importing) in PROJECT_PACKAGES:
        hint = moved_imports.find_new_location(statement.module) or "is it installed?"
        raise module_source.MissingModuleError(
            f"{importing} imports {statement.module}, which cannot be found; {hint}"
        )
    if statement.member.endswith(".*"):
        yield from module_source.submodules(statement.module) if _exists(statement.module) else ()
    elif statement.member and _exists(statement.member):
        yield statement.member


def _is_followed(module: str) -> bool:
    """Return whether a module does not come with Python, so that its imports are followed."""
    return _top_package(module) not in sys.stdlib_module_names


def _exists(module: str) -> bool:
    try:
        module_source.locate(module)
    except module_source.MissingModuleError:
        return False
    return True


def _top_package(module: str) -> str:
    return module.partition(".")[0]

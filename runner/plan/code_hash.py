"""A hash of the code that computes an arm's numbers; trials with another hash are stale. No torch.

The hash covers the modules that a trial of the arm imports, found by following imports from

- `runner.trial.compute` of the engine,
- the module of the experiment,
- the files of the options that the arm uses: its parts and its task,
- the plug-ins that define any of these options.

A module of the user counts in any folder, also in one of PYTHONPATH or of an editable install. An
installed package counts with its version if a module outside ablab imports it.

A named plug-in without options counts too, but an installed one does not. The hash leaves out the
parts that an arm does not use, and all comments and docstrings.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from runner import registry
from runner.config import ArmConfig, ConfigError
from runner.plan import moved_imports, plugin_packages
from runner.plan.user_modules import (
    PROJECT_PACKAGES,
    Owner,
    find_owner,
    installed_version,
    is_user_module,
    top_package,
)
from runner.records import module_source
from runner.wording.output import truncate_middle

ENGINE_ENTRY = "runner.trial.compute"
RECORDED_PACKAGES = ("torch", "numpy")
"""Packages whose versions each trial records, and reports compare; `provenance` names them."""


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
    for options in (registry.options_class(arm.experiment), *vars(arm.parts).values()):
        modules |= named_modules(options)
    used_packages = set(map(top_package, modules))
    option_packages = {top_package(option.__module__) for option in registered_options()}
    plugin_roots = {
        name
        for name in plugins
        if top_package(name) in used_packages or top_package(name) not in option_packages
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
    modules = {base.__module__ for base in cls.__mro__}
    return {name for name in modules if top_package(name) not in sys.stdlib_module_names}


def named_modules(options: object) -> set[str]:
    """Return the modules that options name as their own code, in `code_modules`.

    Raises:
        ConfigError: they are not names of modules that exist.
    """
    modules = registry.code_modules(options)
    cls = options if isinstance(options, type) else type(options)
    name = f"{cls.__module__}.{cls.__qualname__}"
    if not isinstance(modules, tuple | list) or not all(isinstance(each, str) for each in modules):
        raise ConfigError(
            f"{name}: code_modules is {truncate_middle(repr(modules), 60)}; write a tuple of "
            'modules, e.g. code_modules = ("my_modules",)'
        )
    for module in modules:
        if not exists(module):
            raise module_source.MissingModuleError(
                f"{name}: code_modules names {truncate_middle(module, 60)!r}, which cannot be "
                "found; is its folder the current one, or in PYTHONPATH?"
            )
    return {*modules}


def used_installed_plugins(arm: ArmConfig) -> list[str]:
    """Return the modules of the installed plug-ins whose packages define options of an arm."""
    packages = set(map(top_package, option_modules(arm)))
    modules = (plugin.module for plugin in plugin_packages.UsablePlugins.installed)
    return [module for module in modules if top_package(module) in packages]


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

    `search_imports` says which imports count. Modules of the packages `left_out` do not.
    """
    digest = hashlib.sha256()
    modules, packages = search_imports(roots)
    for module in sorted(modules):
        if top_package(module) in left_out:
            continue
        digest.update(f"{module}\0{module_source.read_module(module).digest}\0".encode())
    for package in sorted(packages.difference(RECORDED_PACKAGES)):
        digest.update(f"{package}=={installed_version(package)}\0".encode())
    return digest.hexdigest()[:16]


def find_imported_modules(roots: Iterable[str]) -> set[str]:
    """Return `roots` and the modules that they import, directly or not; see `search_imports`."""
    return search_imports(roots)[0]


def find_user_modules(roots: Iterable[str]) -> list[str]:
    """Return the modules of the user among `roots` and the modules that they import."""
    modules = find_imported_modules(roots)
    own = {top for top in map(top_package, modules) if is_user_module(top)}
    return sorted(module for module in modules if top_package(module) in own)


def search_imports(roots: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the modules whose source counts, and the installed packages whose versions count.

    The source of `roots` counts, and of each module that they import, directly or not, if it is

    - in a package of `roots`,
    - in one of ablab's packages,
    - or a module of the user, in any folder.

    An installed package counts if a module outside ablab imports it.

    Raises:
        MissingModuleError: a module of a package of `roots` or of ablab cannot be found.
    """
    pending = [*roots]
    required = {*PROJECT_PACKAGES, *map(top_package, pending)}
    owners = dict.fromkeys(RECORDED_PACKAGES, Owner.installed)
    owners |= dict.fromkeys(required, Owner.user)
    visited: set[str] = set()
    while pending:
        module = pending.pop()
        if module in visited:
            continue
        visited.add(module)
        # The __init__ of each package above runs before the module does.
        pending += [module[:end] for end, character in enumerate(module) if character == "."]
        for statement in module_source.read_module(module).imports:
            package = top_package(statement.module)
            if package not in owners and top_package(module) not in PROJECT_PACKAGES:
                owners[package] = find_owner(package)
            if owners.get(package) is Owner.user:
                pending += _imported_modules(statement, module, required)
    return visited, {name for name, owner in owners.items() if owner is Owner.installed}


def _imported_modules(
    statement: module_source.Import, importing: str, required: Set[str]
) -> Iterator[str]:
    """Yield the modules that an import runs: the module, and each member that is a module.

    A missing module of the packages `required` is an error, except where the import may fail.
    """
    may_fail = statement.optional and top_package(importing) not in PROJECT_PACKAGES
    if exists(statement.module):
        yield statement.module
    elif top_package(statement.module) in required and not may_fail:
        hint = moved_imports.find_new_location(statement.module) or "is it installed?"
        raise module_source.MissingModuleError(
            f"{importing} imports {statement.module}, which cannot be found; {hint}"
        )
    if statement.member.endswith(".*"):
        yield from module_source.submodules(statement.module) if exists(statement.module) else ()
    elif statement.member and exists(statement.member):
        yield statement.member


def exists(module: str) -> bool:
    """Return whether the file or folder of a module can be found."""
    try:
        module_source.locate(module)
    except module_source.MissingModuleError:
        return False
    return True

"""The code behind an arm's numbers, as a hash: trials of another hash are stale. No torch.

The hash covers the modules that a trial of the arm imports, found by following imports from

- the engine's `runner.trial.compute`,
- the page of the experiment,
- the files of the options that the arm uses: its parts and its task,
- the plug-ins that any of these come from.

A part that an arm does not use is no part of its hash. Comments and docstrings are not, either.
"""

import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from runner import registry
from runner.config import ArmConfig
from runner.plan import moved_imports
from runner.records import module_source

ENGINE_ENTRY = "runner.trial.compute"
INSTALLED = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
"""Where installed packages lie: torch, and a plug-in that is installed."""
OURS = ("runner", "experiments")


def hash_arms(arms: Mapping[str, ArmConfig], plugins: Sequence[str] = ()) -> dict[str, str]:
    """Return for each arm the hash of the code that computes its trials.

    Raises:
        MissingModuleError: a module that this code imports cannot be found.
    """
    roots = {name: roots_of(arm, plugins) for name, arm in arms.items()}
    known = {each: hash_modules(each) for each in set(roots.values())}
    return {name: known[each] for name, each in roots.items()}


def roots_of(arm: ArmConfig, plugins: Sequence[str]) -> frozenset[str]:
    """Return the modules in which the code of an arm begins.

    A plug-in is among them, unless all that it did was to register options that the arm does not
    use: it may have changed anything when it was imported.
    """
    used = {registry.page_module(arm.experiment)}
    for part in vars(arm.parts).values():
        used |= {base.__module__ for base in type(part).__mro__ if _is_followed(base.__module__)}
    tops = set(map(_top, used))
    own = {_top(option.__module__) for option in registered()}
    chosen = {name for name in plugins if _top(name) in tops or _top(name) not in own}
    return frozenset({ENGINE_ENTRY, *used, *chosen})


def registered() -> Iterator[type]:
    """Yield the options of all parts, tasks and questions, those of plug-ins among them."""
    for group in registry.group_names():
        yield from registry.kinds(group).values()
    yield from registry.all_options()


def hash_modules(roots: frozenset[str]) -> str:
    """Return the hash of some modules and all that they import from their own packages and ours."""
    digest = hashlib.sha256()
    for module in sorted(find_imported_modules(roots)):
        digest.update(f"{module}\0{module_source.read_module(module).digest}\0".encode())
    return digest.hexdigest()[:16]


def find_imported_modules(roots: Iterable[str]) -> set[str]:
    """Return the modules that are imported when `roots` are, of their own packages and ours.

    Modules that lie in the folder of a plug-in are followed too.

    Raises:
        MissingModuleError: one of them cannot be found.
    """
    todo = [*roots]
    tops = {*OURS, *map(_top, todo)}
    homes = {module_source.find_parent_folder(top) for top in tops - {*OURS}} - {None, *INSTALLED}
    seen: set[str] = set()
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        # The __init__ of each package above runs before the module does.
        todo += [module[:end] for end, letter in enumerate(module) if letter == "."]
        for one in module_source.read_module(module).imports:
            top = _top(one.module)
            if (
                top not in tops
                and homes
                and _is_followed(top)
                and module_source.find_parent_folder(top) in homes
            ):
                tops.add(top)
            if top in tops:
                todo += _modules_of(one, module)
    return seen


def _modules_of(one: module_source.Import, importing: str) -> Iterator[str]:
    """Yield the modules that an import runs: the one it names, and members that are modules too."""
    if _exists(one.module):
        yield one.module
    elif not one.optional or _top(importing) in OURS:
        cure = moved_imports.find_new_location(one.module) or "is it installed?"
        raise module_source.MissingModuleError(
            f"{importing} imports {one.module}, which cannot be found; {cure}"
        )
    if one.member.endswith(".*"):
        yield from module_source.submodules(one.module) if _exists(one.module) else ()
    elif one.member and _exists(one.member):
        yield one.member


def _is_followed(module: str) -> bool:
    """Whether a module may be of a user or of ours: it does not come with Python."""
    return _top(module) not in sys.stdlib_module_names


def _exists(module: str) -> bool:
    try:
        module_source.locate(module)
    except module_source.MissingModuleError:
        return False
    return True


def _top(module: str) -> str:
    return module.partition(".")[0]

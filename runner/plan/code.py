"""The code behind an arm's numbers, as a hash: trials of another hash are stale. No torch.

The hash covers the modules that a trial of the arm imports, found by following imports from

- the engine's `runner.trial.compute`,
- the page of the experiment,
- the files of the options that the arm uses: its parts and its task,
- the plug-ins that any of these come from.

A part that an arm does not use is no part of its hash. Comments and docstrings are not, either.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from runner import registry
from runner.config import ArmConfig
from runner.records import source

ENGINE = "runner.trial.compute"
OURS = ("runner", "experiments")


def hashes(arms: Mapping[str, ArmConfig], plugins: Sequence[str] = ()) -> dict[str, str]:
    """Return for each arm the hash of the code that computes its trials.

    Raises:
        MissingModuleError: a module that this code imports cannot be found.
    """
    roots = {name: roots_of(arm, plugins) for name, arm in arms.items()}
    known = {each: hash_of(each) for each in set(roots.values())}
    return {name: known[each] for name, each in roots.items()}


def roots_of(arm: ArmConfig, plugins: Sequence[str]) -> frozenset[str]:
    """Return the modules in which the code of an arm begins."""
    page = registry.page(arm.experiment)
    used = {page, *(type(part).__module__ for part in vars(arm.parts).values())}
    tops = {_top(module) for module in used}
    return frozenset({ENGINE, *used, *(name for name in plugins if _top(name) in tops)})


def hash_of(roots: frozenset[str]) -> str:
    """Return the hash of some modules and all that they import from their own packages and ours."""
    digest = hashlib.sha256()
    for module in sorted(reached(roots)):
        digest.update(f"{module}\0{source.read(module).digest}\0".encode())
    return digest.hexdigest()[:16]


def reached(roots: Iterable[str]) -> set[str]:
    """Return the modules that are imported when `roots` are, of their own packages and ours.

    Raises:
        MissingModuleError: one of them cannot be found.
    """
    todo = [*roots]
    tops = {*OURS, *map(_top, todo)}
    seen: set[str] = set()
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        # The __init__ of each package above runs before the module does.
        todo += [module[:end] for end, letter in enumerate(module) if letter == "."]
        for one in source.read(module).imports:
            if _top(one.module) not in tops:
                continue
            if _exists(one.module):
                todo.append(one.module)
            elif not one.optional:
                raise source.MissingModuleError(
                    f"{module} imports {one.module}, which cannot be found"
                )
            if one.member and _exists(one.member):
                todo.append(one.member)
    return seen


def _exists(module: str) -> bool:
    try:
        source.locate(module)
    except source.MissingModuleError:
        return False
    return True


def _top(module: str) -> str:
    return module.partition(".")[0]

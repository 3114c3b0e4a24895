"""The tasks that models learn. Each task has one file with its options, data, samples and loss.

A file registers its options with `@task("kind")`; no other file has to change. `load` imports the
files. They import torch only inside functions, since a plan loads them and must be fast. This file
does not import them: the code hash of a trial follows imports, and must cover only its own task.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import TypeVar

from experiments.rules import check_dataclass, check_former_members, check_name_is_free
from experiments.tasks.base import Sizes, TaskOptions

__all__ = ["TASKS", "Sizes", "TaskOptions", "load", "task"]

TASKS: dict[str, type[TaskOptions]] = {}
"""Kind -> class of options. `load` adds the tasks of this package."""

T = TypeVar("T", bound=type)

FORMER_MEMBERS = {
    "evidence": "fingerprint_inputs",
    "planted": "has_planted_lags",
    "restore": "ensure_data",
    "second_held_out": "has_tuning_data",
}
"""Former name of a member of `TaskOptions` -> its name."""


def task(kind: str) -> Callable[[T], T]:
    """Register a dataclass of options as a task: `@task("mine")` makes `task=mine` available.

    Raises:
        ValueError: the class is not a complete `TaskOptions`, or another task has this kind.
    """

    def register(options: T) -> T:
        name = f"@task({kind!r}) on {options.__name__}"
        if not issubclass(options, TaskOptions):
            raise ValueError(f"{name}: write it as class {options.__name__}(TaskOptions)")
        if inspect.isabstract(options):
            missing = ", ".join(sorted(options.__abstractmethods__))
            raise ValueError(
                f"{name}: it has no {missing}; experiments/tasks/waves.py is an example"
            )
        check_dataclass(name, options)
        check_former_members(name, options, FORMER_MEMBERS)
        build = inspect.signature(options.build).parameters
        if options.has_tuning_data and "evaluation" not in build:
            raise ValueError(
                f"{name}: has_tuning_data needs `evaluation` in build(self, *, seed, batch_size, "
                "evaluation, **_); otherwise tuning would use the report's data"
            )
        is_own = options.__module__.startswith(f"{__name__}.")
        if not is_own and kind in {module.name for module in pkgutil.iter_modules(__path__)}:
            load()  # a plug-in cannot take a kind of this package, which a file here is named after
        check_name_is_free(name, options, TASKS.get(kind))
        TASKS[kind] = options
        return options

    return register


@functools.cache  # called often, while the folder does not change
def load() -> None:
    """Import all files of this folder, which adds their tasks to `TASKS`."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")

"""Tasks: what is learnt from, a file each: options, data, what one sample looks like, loss.

A file registers its options with `@task("kind")`; nothing else has to know of it. The files are
imported when somebody asks what tasks there are, and import torch only inside functions, so that
a plan, which asks, stays free of it. They are not imported here: a trial's code hash follows
imports, and is to cover the task that the trial uses and no other.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import TypeVar

from experiments.rules import check_dataclass
from experiments.tasks.base import Sizes, TaskOptions

__all__ = ["TASKS", "Sizes", "TaskOptions", "load", "task"]

TASKS: dict[str, type[TaskOptions]] = {}
"""Kind -> options. Ours are among them after `load`."""

T = TypeVar("T", bound=type)


def task(kind: str) -> Callable[[T], T]:
    """Register a dataclass of options as a task: `@task("mine")` is `task=mine` when typed.

    Raises:
        ValueError: the class lacks what a task needs, or another task has this name.
    """

    def register(options: T) -> T:
        name = f"@task({kind!r}) on {options.__name__}"
        if not issubclass(options, TaskOptions):
            raise ValueError(f"{name}: write it as class {options.__name__}(TaskOptions)")
        if inspect.isabstract(options):
            lacking = ", ".join(sorted(options.__abstractmethods__))
            raise ValueError(f"{name}: it has no {lacking}; experiments/tasks/waves.py shows how")
        check_dataclass(name, options)
        build = inspect.signature(options.build).parameters
        if options.has_tuning_data and "evaluation" not in build:
            raise ValueError(
                f"{name}: has_tuning_data needs `evaluation` in build(self, *, seed, batch_size, "
                "evaluation, **_): tuning would choose by the report's data"
            )
        if not options.__module__.startswith(f"{__name__}."):
            load()  # so that a name of ours is refused to a plug-in, and not the other way round
        other = TASKS.get(kind)
        if other and (other.__module__, other.__name__) != (options.__module__, options.__name__):
            raise ValueError(f"{name}: {other.__module__} has this kind already; choose another")
        TASKS[kind] = options
        return options

    return register


@functools.cache  # asked often, and the folder does not change
def load() -> None:
    """Import all files of this folder, so that their tasks are in `TASKS`."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")

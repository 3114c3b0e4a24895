"""The tasks that models learn. Each task has one file with its options, data, samples and loss.

A file registers its options with `@task("kind")`; no other file has to change. A plain dataclass
with a method `sample(rng, n)` is a whole task (`plain.py`). `load` imports the files.

The files import torch only inside functions, since a plan loads them and must be fast. This file
does not import them: the code hash of a trial follows imports, and must cover only its own task.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

from experiments.rules import (
    NOT_GIVEN,
    check_dataclass,
    check_former_members,
    check_is_class,
    check_name_is_free,
    check_names_are_given,
    check_option_name,
)
from experiments.tasks.base import Sizes, TaskOptions
from experiments.tasks.hash_split import split_by_hash

__all__ = ["TASKS", "Sizes", "TaskOptions", "load", "split_by_hash", "task"]

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


def task(kind: str = NOT_GIVEN) -> Callable[[T], T]:
    """Register a dataclass as a task: `@task("mine")` makes `task=mine` available.

    The class extends `TaskOptions`, or it is a plain class with `sample` (`tasks.plain`).

    Raises:
        ValueError: the class is not a complete task, or another task has this kind.
    """
    check_names_are_given('@task("mine")', kind)

    def register(options: Any) -> Any:
        mark = f"@task({kind!r})"
        check_is_class(mark, options, "class Mine with sample(self, rng, n)")
        name = f"{mark} on {options.__name__}"
        check_option_name(name, kind)
        if not issubclass(options, TaskOptions):
            if not callable(getattr(options, "sample", None)):
                raise ValueError(
                    f"{name}: it has no sample(self, rng, n); define it, or write it as class "
                    f"{options.__name__}(TaskOptions)"
                )
            check_dataclass(name, options)
            # By its name: an import would make this file's trials depend on plain tasks.
            options = importlib.import_module(f"{__name__}.plain").derive_task(name, options)
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
        if not is_own:
            # By its name, as above.
            rules = importlib.import_module("experiments.class_rules")
            rules.check_fields(name, options, TaskOptions)
        if not is_own and kind in {module.name for module in pkgutil.iter_modules(__path__)}:
            load()  # a plug-in cannot take a kind of this package, which a file here is named after
        check_name_is_free(name, options, TASKS.get(kind), "a task of this name")
        TASKS[kind] = options
        return options

    return register


@functools.cache  # called often, while the folder does not change
def load() -> None:
    """Import all files of this folder, which adds their tasks to `TASKS`."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")

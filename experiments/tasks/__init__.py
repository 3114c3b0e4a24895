"""Tasks: what is learnt from, a file each: options, data, what one sample looks like, loss.

A file registers its options with `@task("kind")`; nothing else has to know of it. The files are
imported when somebody asks what tasks there are, and import torch only inside functions, so that
a plan, which asks, stays free of it. They are not imported here: a trial's code hash follows
imports, and is to cover the task that the trial uses and no other.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from experiments.tasks.options import TaskOptions

if TYPE_CHECKING:
    from experiments.tasks.batch import Task
    from runner.trial.trial import Trial

T = TypeVar("T", bound=type)
KINDS: dict[str, type[TaskOptions]] = {}


def task(kind: str) -> Callable[[T], T]:
    """Register a dataclass of options as the task `kind`: `task=kind` on the command line.

    Raises:
        TypeError: it is no class of `TaskOptions`.
    """

    def register(options: T) -> T:
        if not (isinstance(options, type) and issubclass(options, TaskOptions)):
            raise TypeError(f"@task({kind!r}) needs a dataclass that inherits from TaskOptions")
        KINDS[kind] = options
        return options

    return register


def kinds() -> Mapping[str, type[TaskOptions]]:
    """Return the options of all tasks, those of plug-ins too."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return KINDS


def task_of(trial: "Trial", batch_size: int | None = None) -> "Task":
    """Return the task of a trial: the data it was planned with, judged as its arm says.

    `batch_size` is that of its training unless given.
    """
    config = trial.config
    options: TaskOptions = config.parts.task
    return options.build(
        seed=trial.seed,
        batch_size=batch_size or config.training.batch_size,
        cache=trial.cache,
        data=config.data,
        evaluation=config.evaluation,
    )

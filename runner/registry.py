"""The door from plans and reports to the experiments; planning passes it without torch.

Two others stand beside it, so that the code behind a number does not depend on what a plan asks:
`runner.trial.science`, which trials pass, and `runner.plan.estimates`, which asks about arms.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import parts as science_parts
from experiments import tasks
from experiments.parts import body
from experiments.questions import Question
from runner import config
from runner.config import Evaluation
from runner.metric_names import find_metric
from runner.trial.science import (
    all_questions,
    costs,
    has_timing_stage,
    known_metrics,
    metric,
    options_class,
    page_module,
    restore_data,
    stage,
)

if TYPE_CHECKING:
    from experiments.tasks.base import TaskData, TaskOptions

__all__ = [
    "affected_metrics",
    "all_options",
    "costs",
    "experiment_groups",
    "experiment_names",
    "group_names",
    "has_timing_stage",
    "is_declared_metric",
    "kinds",
    "metric",
    "options_class",
    "page_module",
    "prepare",
    "restore_data",
    "stage",
]


def experiment_names() -> tuple[str, ...]:
    """Return the names of all experiments."""
    return tuple(all_questions())


def group_names() -> tuple[str, ...]:
    """Return the config groups of parts."""
    return (*science_parts.PARTS, "task")


def kinds(group: str, *, load_tasks: bool = True) -> Mapping[str, type]:
    """Return the dataclasses of a group by kind; `model` has one.

    With found=False our tasks are left out unless something else has imported them: it takes a
    while, and each has a YAML file by which its name is known.
    """
    if group == "model":
        return {"": body.ModelOptions}
    if group == "task":
        if load_tasks:
            tasks.load()
        return tasks.TASKS
    science_parts.load()
    return science_parts.PARTS[group]


def experiment_groups(experiment: str) -> tuple[str, ...]:
    """Return the groups that an experiment has."""
    return options_class(experiment).parts


def affected_metrics(experiment: str) -> dict[str, tuple[str, ...]]:
    """Return the options that only say what is measured, with the metrics they affect.

    None are known of an experiment that is not there.
    """
    return (
        config.affects_by_field(options_class(experiment))
        if experiment in experiment_names()
        else {}
    )


def all_options() -> Iterable[type[Question]]:
    """Return the options dataclasses of all experiments."""
    return all_questions().values()


def is_declared_metric(name: str) -> bool:
    """Whether a metric, or one that it is finer than, is declared anywhere."""
    return find_metric(name, known_metrics()) is not None


def prepare(
    task: "TaskOptions", cache: Path, evaluation: Evaluation, *, keep: bool = True
) -> "TaskData":
    """Make a task's data ready, on disk if they are to be kept. ValueError for bad user input."""
    return task.prepare(cache, evaluation, keep=keep)

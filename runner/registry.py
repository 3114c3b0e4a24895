"""The interface from plans and reports to the experiments. No torch.

There are two other interfaces: trials use `runner.trial.science`, and plans estimate arms with
`runner.plan.estimates`. The code hash of a trial then leaves out functions that only plans use.
"""

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import parts as science_parts
from experiments import tasks
from experiments.class_rules import check_function
from experiments.metrics import METRICS
from experiments.parts import Cost, NormSlots, body, plain
from experiments.questions import QUESTIONS, Question
from experiments.rules import NameTakenError
from experiments.tasks import Sizes
from runner import config
from runner.config import Evaluation
from runner.metric_names import Metric, find_metric
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

METRIC_NAME = re.compile(r"[\w.*-]+(/[\w.*-]+)*")
"""The name of a declared metric; `*` stands for any text between two slashes."""

if TYPE_CHECKING:
    from experiments.tasks.base import TaskData, TaskOptions

__all__ = [
    "Cost",
    "NameTakenError",
    "NormSlots",
    "Sizes",
    "affected_metrics",
    "all_options",
    "check_function",
    "code_modules",
    "costs",
    "experiment_groups",
    "experiment_names",
    "group_names",
    "has_counted_cost",
    "has_timing_stage",
    "is_declared_metric",
    "kinds",
    "known_metrics",
    "metric",
    "options_class",
    "page_module",
    "prepare",
    "question_classes",
    "reserved_field_names",
    "restore_data",
    "restored_metrics",
    "stage",
    "undone_if_failed",
]


def experiment_names() -> tuple[str, ...]:
    """Return the names of all experiments."""
    return tuple(all_questions())


def group_names() -> tuple[str, ...]:
    """Return the config groups of parts, and `task`."""
    return (*science_parts.PARTS, "task")


def kinds(group: str, *, load_tasks: bool = True) -> Mapping[str, type]:
    """Return the dataclasses of a group by kind; `model` has only one.

    With load_tasks=False ablab's own tasks are included only if they are imported already. The
    import takes time, and their names are known from their YAML files.
    """
    if group == "model":
        return {"": body.ModelOptions}
    if group == "task":
        if load_tasks:
            tasks.load()
        return tasks.TASKS
    science_parts.load()
    return science_parts.PARTS[group]


def reserved_field_names() -> set[str]:
    """Return the names that a field of a part cannot have, because they mean something else."""
    return {*dir(plain.PlainPart), "kind"}


def has_counted_cost(part: object) -> bool:
    """Return whether the cost of a part is counted from its module."""
    return isinstance(part, plain.PlainPart) and type(part).cost is plain.PlainPart.cost


def code_modules(options: object) -> tuple[str, ...]:
    """Return the further modules that options name as their own code.

    `options` are a part, a task or the options class of a question. The user may have given
    anything else than names of modules.
    """
    if isinstance(options, science_parts.Part | tasks.TaskOptions):
        return options.code_modules
    if isinstance(options, type) and issubclass(options, Question):
        return options.code_modules
    return ()


def experiment_groups(experiment: str) -> tuple[str, ...]:
    """Return the config groups that an experiment uses, first `model` if it has a body."""
    options = options_class(experiment)
    return (*(["model"] if options.has_body else []), *options.parts)


def affected_metrics(experiment: str) -> dict[str, tuple[str, ...]]:
    """Return the options that change only measurements, each with the metrics that it affects.

    The result is empty for an unknown experiment.
    """
    return (
        config.affects_by_field(options_class(experiment))
        if experiment in experiment_names()
        else {}
    )


def question_classes() -> Mapping[str, type[Question]]:
    """Return the options dataclasses of the experiments that are imported, by name."""
    return QUESTIONS


def all_options() -> Iterable[type[Question]]:
    """Return the options dataclasses of all experiments."""
    return all_questions().values()


@contextlib.contextmanager
def undone_if_failed(plugin: str) -> Iterator[None]:
    """Undo the import of a plug-in, in the `with` block, if it fails.

    Parts, tasks, questions and metrics that it has registered are removed. Its modules that have
    been imported are forgotten, so that a later import registers them again.
    """
    metrics = {*known_metrics()}
    names = [{*each} for each in _registries()]
    modules = {*sys.modules}
    try:
        yield
    except BaseException:
        imported = {name for name in {*sys.modules} - modules if not _is_own_module(name)}
        package = plugin.partition(".")[0]
        undone = {name for name in imported if name.partition(".")[0] == package}
        for registered, before in zip(_registries(), names, strict=True):
            for name in {*registered} - before:
                # The import may have loaded ablab's own options, which stay.
                if not _is_own_module(registered[name].__module__):
                    undone.add(registered.pop(name).__module__)
        for name in {*METRICS} - metrics:
            del METRICS[name]
        for name in undone & imported:
            sys.modules.pop(name, None)
        raise


def _registries() -> list[dict[str, Any]]:
    """Return the registries of parts, by group, and those of tasks and questions."""
    return [*science_parts.PARTS.values(), tasks.TASKS, QUESTIONS]


def _is_own_module(module: str) -> bool:
    """Return whether a module is of ablab's experiments."""
    return module.partition(".")[0] == "experiments"


def is_declared_metric(name: str) -> bool:
    """Return whether a metric, or a name that it continues, is declared anywhere."""
    return find_metric(name, known_metrics()) is not None


@contextlib.contextmanager
def restored_metrics(plugin: str) -> Iterator[None]:
    """Restore declared metrics that the import of a plug-in, in the `with` block, changes.

    Raises:
        NameTakenError: it has changed one. A later import runs the module again.
        ValueError: it has declared one in a wrong way.
    """
    known, before = dict(known_metrics()), dict(METRICS)
    changed: list[str] = []
    wrong: list[str] = []
    try:
        yield
    finally:
        own = dict(METRICS)
        changed += [name for name, one in known.items() if own.get(name, one) != one]
        wrong += [f"it removes {name} from METRICS" for name in before if name not in own]
        new = {name: one for name, one in own.items() if name not in before}
        wrong += filter(None, (describe_wrong_metric(*item) for item in new.items()))
        if changed or wrong:
            METRICS.clear()
            METRICS.update(before)
    if changed or wrong:
        sys.modules.pop(plugin, None)
    if wrong:
        raise ValueError(f"{plugin}: {wrong[0]}")
    if changed:
        raise NameTakenError(
            f"{plugin} declares the metric {changed[0]}, which is declared already; choose another "
            "name",
            owner="",
        )


def describe_wrong_metric(name: object, metric: object) -> str:
    """Return the fault of an entry of `METRICS`; "" if it is a declaration."""
    if not isinstance(name, str) or not METRIC_NAME.fullmatch(name):
        return f"METRICS has the name {name!r}; write words joined by /, such as mine/score"
    if not isinstance(metric, Metric):
        return f"METRICS[{name!r}] is {metric!r}; write a Metric or COUNT, from runner.metric_names"
    return ""


def prepare(
    task: "TaskOptions", cache: Path, evaluation: Evaluation, *, keep: bool = True
) -> "TaskData":
    """Prepare a task's data; save them if `keep`. Raises ValueError for bad user input."""
    return task.prepare(cache, evaluation, keep=keep)

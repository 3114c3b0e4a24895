"""The only door between the engine and the experiments; planning passes it without torch.

`runner.plan.estimates` is a second one, which trials do not pass.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import parts as science_parts
from experiments import questions, tasks
from experiments.metrics import METRICS
from experiments.parts import body
from experiments.questions import Question
from runner import config
from runner.config import Evaluation
from runner.metric_names import ENGINE, Metric, declared, find

if TYPE_CHECKING:
    from experiments.tasks.base import Ready, TaskOptions


def names() -> tuple[str, ...]:
    """Return the names of all experiments."""
    return tuple(_questions())


def groups() -> tuple[str, ...]:
    """Return the config groups of parts."""
    return (*science_parts.PARTS, "task")


def kinds(group: str, *, found: bool = True) -> Mapping[str, type]:
    """Return the dataclasses of a group by kind; `model` has one.

    With found=False our tasks are left out unless something else has imported them: it takes a
    while, and each has a YAML file by which its name is known.
    """
    if group == "model":
        return {"": body.Model}
    if group == "task":
        if found:
            tasks.load()
        return tasks.TASKS
    science_parts.load()
    return science_parts.PARTS[group]


def parts(experiment: str) -> tuple[str, ...]:
    """Return the groups that an experiment has."""
    return options(experiment).parts


def options(experiment: str) -> type[Question]:
    """Return the dataclass of an experiment's own options."""
    return _questions()[experiment]


def affects(experiment: str) -> dict[str, tuple[str, ...]]:
    """Return the options that only say what is measured, with the metrics they affect.

    None are known of an experiment that is not there.
    """
    return config.affects(options(experiment)) if experiment in names() else {}


def all_options() -> Iterable[type[Question]]:
    """Return the options dataclasses of all experiments."""
    return _questions().values()


def _questions() -> Mapping[str, type[Question]]:
    questions.load()
    return questions.QUESTIONS


def costs(chosen: dict[str, Any]) -> dict[str, float]:
    """Return what parts cost, by the names of `match.by`; tested against the built modules."""
    total = body.cost(chosen)
    return {
        "params": total.parameters,
        "active_params": total.active_parameters,
        "flops": total.flops_per_token,
        "kv_bytes": total.kv_bytes_per_token,
    }


def metric(name: str) -> Metric:
    """What is declared of a metric, of the engine's or an experiment's."""
    return declared(name, {**METRICS, **ENGINE})


def declares(name: str) -> bool:
    """Whether a metric, or one that it is finer than, is declared anywhere."""
    return find(name, {**METRICS, **ENGINE}) is not None


def prepare(
    task: "TaskOptions", cache: Path, evaluation: Evaluation, *, keep: bool = True
) -> "Ready":
    """Make a task's data ready, on disk if they are to be kept. ValueError for bad user input."""
    return task.prepare(cache, evaluation, keep=keep)


def restore(task: "TaskOptions", cache: Path, fingerprint: str) -> None:
    """Make sure that a task's data are those of the plan; ValueError if they are lost by now."""
    task.restore(cache, fingerprint)


def timed(experiment: str) -> bool:
    """Whether an experiment has a second stage that is timed alone on the machine."""
    return options(experiment).timed


def page(experiment: str) -> str:
    """Return the name of an experiment's module, ours or a plug-in's: that of its options."""
    return options(experiment).__module__


def stage(experiment: str, name: str) -> Callable[[Any], None]:
    """Return the function that computes a stage (`run` or `timing`) of an experiment's trial.

    It stands beside the experiment's options, in our pages or in a plug-in.
    """
    function: Callable[[Any], None] = getattr(sys.modules[page(experiment)], name)
    return function

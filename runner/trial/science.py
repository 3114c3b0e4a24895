"""The door from a trial to the science: what its process needs, and nothing that only plans ask.

The code behind an arm's numbers is all that a trial imports (`runner.plan.code`), so what stands
here is behind the numbers of every arm. Pages, parts and tasks are loaded by name, not imported:
none of them is behind another's numbers. `runner.registry` is the door for everything else.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import questions
from experiments.metrics import METRICS
from experiments.parts import body
from experiments.questions import Question
from runner.metric_names import Metric, declared
from runner.trial.metrics import ENGINE

if TYPE_CHECKING:
    from experiments.tasks.base import TaskOptions


def all_questions() -> Mapping[str, type[Question]]:
    """Return the options dataclass of each experiment, ours and those of plug-ins."""
    questions.load()
    return questions.QUESTIONS


def options(experiment: str) -> type[Question]:
    """Return the dataclass of an experiment's own options."""
    return all_questions()[experiment]


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


def restore(task: "TaskOptions", cache: Path, fingerprint: str) -> None:
    """Make sure that a task's data are those of the plan; ValueError if they are lost by now."""
    task.restore(cache, fingerprint)


def costs(chosen: dict[str, Any]) -> dict[str, float]:
    """Return what parts cost, by the names of `match.by`; tested against the built modules."""
    total = body.cost(chosen)
    return {
        "params": total.parameters,
        "active_params": total.active_parameters,
        "flops": total.flops_per_token,
        "kv_bytes": total.kv_bytes_per_token,
    }


def known_metrics() -> Mapping[str, Metric]:
    """Return all declarations of metrics: the engine's, and those of all pages."""
    questions.load()  # a page declares its own
    return {**METRICS, **ENGINE}


def metric(name: str) -> Metric:
    """Return what is declared of a metric, of the engine's or an experiment's."""
    return declared(name, known_metrics())

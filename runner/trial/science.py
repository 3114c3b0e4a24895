"""The interface from a trial to `experiments`; all other code uses `runner.registry`.

The code hash of an arm covers all modules that a trial imports (`runner.plan.code_hash`). So a
change of the code in this file makes all trials stale. Experiments, parts and tasks are loaded by
name, not imported: a change of one makes only the trials stale that use it.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import questions
from experiments.metrics import METRICS
from experiments.parts import body
from experiments.questions import Question
from runner.metric_names import Metric, find_metric_or_default
from runner.trial.metrics import ENGINE_METRICS

if TYPE_CHECKING:
    from experiments.tasks.base import TaskOptions


def all_questions() -> Mapping[str, type[Question]]:
    """Return the options dataclass of each experiment by name, including plug-ins."""
    questions.load()
    return questions.QUESTIONS


def options_class(experiment: str) -> type[Question]:
    """Return the dataclass of an experiment's own options."""
    return all_questions()[experiment]


def has_timing_stage(experiment: str) -> bool:
    """Return whether an experiment has a timing stage, which runs under the exclusive lock."""
    return options_class(experiment).timed


def page_module(experiment: str) -> str:
    """Return the name of the module that defines an experiment and its options."""
    return options_class(experiment).__module__


def stage(experiment: str, name: str) -> Callable[[Any], None]:
    """Return the function that computes a stage (`run` or `timing`) of an experiment's trial.

    It has the name of the stage and is in the module of the experiment's options.
    """
    function: Callable[[Any], None] = getattr(sys.modules[page_module(experiment)], name)
    return function


def restore_data(task: "TaskOptions", cache: Path, fingerprint: str) -> None:
    """Check that a task's data are those of the plan; restore them if the cache has lost them.

    Raises:
        ValueError: the data no longer have the fingerprint of the plan.
    """
    task.ensure_data(cache, fingerprint)


def costs(parts: dict[str, Any]) -> dict[str, float]:
    """Return the costs of an arm's parts, by their names in `match.by`.

    A test compares them with the built modules.
    """
    total = body.body_cost(parts)
    return {
        "params": total.parameters,
        "active_params": total.active_parameters,
        "flops": total.flops_per_token,
        "kv_bytes": total.kv_bytes_per_token,
    }


def known_metrics() -> Mapping[str, Metric]:
    """Return the declarations of all metrics, of the engine and of all experiments."""
    questions.load()  # loading an experiment declares its metrics
    return {**METRICS, **ENGINE_METRICS}


def metric(name: str) -> Metric:
    """Return the declaration of a metric."""
    return find_metric_or_default(name, known_metrics())

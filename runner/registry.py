"""The only door between the engine and the experiments; planning passes it without torch."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import config as science
from experiments.metrics import METRICS
from runner import config
from runner.config import Evaluation
from runner.metric_names import ENGINE, Metric, declared, find

if TYPE_CHECKING:
    from experiments.corpora import Ready
    from experiments.memory import Memory
    from experiments.recorded import Recorded


def names() -> tuple[str, ...]:
    """All experiments."""
    return tuple(science.QUESTIONS)


def groups() -> tuple[str, ...]:
    """The config groups of parts."""
    return tuple(science.OPTIONS)


def kinds(group: str) -> Mapping[str, type]:
    """The dataclasses of a group by kind; `model` has one."""
    return {"": science.Model} if group == "model" else science.OPTIONS[group]


def parts(experiment: str) -> tuple[str, ...]:
    """The groups that an experiment has."""
    return science.QUESTIONS[experiment].parts  # type: ignore[attr-defined]


def options(experiment: str) -> type:
    """The dataclass of an experiment's own options."""
    return science.QUESTIONS[experiment]


def affects(experiment: str) -> dict[str, tuple[str, ...]]:
    """The options of an experiment that only say what is measured, with the metrics they affect.

    None are known of an experiment that is not there.
    """
    return config.affects(options(experiment)) if experiment in science.QUESTIONS else {}


def all_options() -> Iterable[type]:
    """The options dataclasses of all experiments."""
    return science.QUESTIONS.values()


def check_together(experiment: str, chosen: dict[str, Any]) -> None:
    """Raise ValueError where parts do not fit each other, their training or the experiment."""
    science.check_together(experiment, chosen)


def costs(chosen: dict[str, Any]) -> dict[str, float]:
    """What parts cost, by the names of `match.by`; tested against the built modules."""
    from experiments.cost import cost

    total = cost(chosen)
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


def least_memory(arm: config.ArmConfig) -> "Memory":
    """The memory that a trial of an arm takes at the least."""
    from experiments import memory

    return memory.least(arm.options, vars(arm.parts), arm.training, arm.device)


def memory_keys(arm: config.ArmConfig) -> list[str]:
    """The keys to lower where an arm takes too much memory, those that save most first."""
    from experiments import memory

    return memory.keys_to_lower(arm.options, vars(arm.parts), arm.training, arm.device)


def recorded(arm: config.ArmConfig) -> "Recorded":
    """The final metrics that the trials of an arm record."""
    from experiments.recorded import recorded

    return recorded(arm.options, vars(arm.parts))


def prepare(task: Any, cache: Path, evaluation: Evaluation, *, keep: bool = True) -> "Ready":
    """Make a task's data ready, on disk if they are to be kept. ValueError for bad user input."""
    from experiments import corpora

    return corpora.make_ready(task, cache, evaluation, keep=keep)


def restore(task: Any, cache: Path, fingerprint: str) -> None:
    """Make sure that a task's data are those of the plan; ValueError if they are lost by now."""
    from experiments import corpora

    corpora.restore(task, cache, fingerprint)


def timed(experiment: str) -> bool:
    """Whether an experiment has a second stage that is timed alone on the machine."""
    return getattr(options(experiment), "timed", False)


def page(experiment: str) -> str:
    """The module of an experiment's page."""
    return f"experiments.{experiment}"


def stage(experiment: str, name: str) -> Callable[[Any], None]:
    """The function that computes a stage (`run` or `timing`) of an experiment's trial.

    Imports torch.
    """
    return getattr(importlib.import_module(page(experiment)), name)

"""How a page begins: the task of a trial, and the model of its arm on the trial's device.

Pages import it while a plan is made, so torch is imported inside functions.
"""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from experiments.parts.transformer import build_transformer

if TYPE_CHECKING:
    from experiments.nn.transformer import Transformer
    from experiments.tasks.base import TaskOptions
    from experiments.tasks.batch import Task
    from runner.trial.trial import Trial


def build_task(trial: "Trial", batch_size: int | None = None) -> "Task":
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


def build_task_and_model(trial: "Trial") -> "tuple[Task, Transformer]":
    """Return the task of a trial and its initialised model."""
    task = build_task(trial)
    return task, build_model(trial, task)


def build_model(trial: "Trial", task: "Task", **other: Any) -> "Transformer":
    """Return the initialised decoder-only model of a trial.

    `other` parts take the place of the arm's own, as in `build_model(trial, task, attention=...)`.
    """
    parts = SimpleNamespace(**{**vars(trial.config.parts), **other})
    model = build_transformer(parts, vocabulary=task.vocabulary, width=task.width, seed=trial.seed)
    return model.to(trial.device, trial.dtype)

"""Set up a trial: build its task, and the initialised model of its arm on the trial's device.

Pages import this module while a plan is made, so only functions import torch.
"""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from experiments.parts.transformer import build_transformer

if TYPE_CHECKING:
    from torch import nn

    from experiments.nn.transformer import Transformer
    from experiments.tasks.base import TaskOptions
    from experiments.tasks.batch import Task
    from runner.trial.trial import Trial


def build_task(trial: "Trial", batch_size: int | None = None) -> "Task":
    """Return the task of a trial, with the data that the trial was planned with.

    `batch_size` is by default that of the training. `config.evaluation` decides whether the task
    evaluates on the report's held-out data or on the tuning data.
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


def build_model(trial: "Trial", task: "Task", **replaced: Any) -> "Transformer":
    """Return the initialised decoder-only model of a trial, on its device and in its dtype.

    `replaced` parts take the place of the arm's, e.g. `build_model(trial, task, attention=...)`.
    """
    parts = SimpleNamespace(**{**vars(trial.config.parts), **replaced})
    model = build_transformer(
        parts,
        vocabulary=task.vocabulary,
        width=task.width,
        seed=trial.seed,
        lengths=[trial.config.parts.task.sizes().length],
    )
    note_limits(trial, model)
    return model.to(trial.device, trial.dtype)


def note_limits(trial: "Trial", model: "nn.Module") -> None:
    """Add notes to the trial on what ablab leaves out with the plain parts of its model."""
    from experiments.nn.adapter import Adapter

    for module in model.modules():
        if isinstance(module, Adapter):
            for text in module.notes:
                trial.note(text)
    for part in vars(trial.config.parts).values():
        for text in getattr(part, "notes", ()):
            trial.note(text)

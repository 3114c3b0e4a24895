"""Rules across groups: options that do not fit each other are refused. No torch."""

from collections.abc import Mapping
from math import gcd
from typing import Any

from experiments.parts import Part
from experiments.questions import Question


def check_compatible_options(
    question: type[Question], experiment: str, groups: Mapping[str, Any]
) -> None:
    """Raise ValueError where options do not fit each other or the experiment.

    `groups` maps the names of groups, and `model`, `options` and `training`, to their dataclasses.
    """
    if (task := groups.get("task")) is not None:
        if task.pairs != question.pairs:
            has, needs = ("sequences", "pairs") if question.pairs else ("pairs", "sequences")
            raise ValueError(f"task={task.kind} has {has}, but {experiment} learns from {needs}")
        if task.pairs and not groups["attention"].supports_cross_attention:
            raise ValueError(
                f"attention={groups['attention'].kind} cannot attend to a source, and task="
                f"{task.kind} has pairs; choose another attention, such as mha"
            )
        if "training" in groups:
            _check_source_length(task)
            _check_accumulate(task, groups["training"])
    if (options := groups.get("options")) is not None:
        options.check(groups)
    if (model := groups.get("model")) is not None:
        for part in groups.values():
            if isinstance(part, Part):
                part.check(model.d_model)


def _check_source_length(task: Any) -> None:
    """Raise ValueError where `pairs` of a task contradicts its source length."""
    source_length = task.sizes().source_length
    if task.pairs != (source_length > 0):
        raise ValueError(
            f"task={task.kind} has pairs={task.pairs} and sizes().source_length={source_length}; "
            "source_length must be at least 1 for a task of pairs, and 0 for any other task"
        )


def _check_accumulate(task: Any, training: Any) -> None:
    """Raise ValueError where a batch of all training sentences cannot be split into equal parts.

    A batch that is larger than the training data holds each sentence once.
    """
    batch_size, n_parts = training.batch_size, training.accumulate
    if (n_train := task.sizes().n_train) is None or batch_size <= n_train:
        return
    if n_train % n_parts:
        common = gcd(batch_size, n_train)
        best = max(n for n in range(1, min(common, n_parts) + 1) if common % n == 0)
        raise ValueError(
            f"training.accumulate={n_parts} cannot split a batch of {n_train} into equal parts; "
            f"task={task.kind} has only {n_train} training sentences for "
            f"training.batch_size={batch_size}; use training.accumulate={best}"
        )

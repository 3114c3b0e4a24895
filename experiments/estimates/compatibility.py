"""The rules across groups: which options do not fit each other. No torch."""

from collections.abc import Mapping
from math import gcd
from typing import Any

from experiments.parts import Part
from experiments.questions import Question


def check_compatible_options(
    question: type[Question], experiment: str, groups: Mapping[str, Any]
) -> None:
    """Raise ValueError where options do not fit each other or the experiment.

    `groups` maps the names of groups, `model`, `options` and `training` to their dataclasses.
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
            _check_sources(task)
            _check_parts_of_a_batch(task, groups["training"])
    if (options := groups.get("options")) is not None:
        options.check(groups)
    if (model := groups.get("model")) is not None:
        for part in groups.values():
            if isinstance(part, Part):
                part.check(model.d_model)


def _check_sources(task: Any) -> None:
    """Raise ValueError where a task says that it has pairs and knows no source, or the reverse."""
    source_length = task.sizes().source_length
    if task.pairs != (source_length > 0):
        raise ValueError(
            f"task={task.kind} has pairs={task.pairs} and sizes().source_length={source_length}; "
            "a task of pairs has sources of 1 token or more, and no other task has any"
        )


def _check_parts_of_a_batch(task: Any, training: Any) -> None:
    """Raise ValueError where a batch, which has no more sentences than there are, cannot be cut."""
    batch, parts = training.batch_size, training.accumulate
    if (n_train := task.sizes().n_train) is None or batch <= n_train:
        return
    if n_train % parts:
        common = gcd(batch, n_train)
        fits = max(n for n in range(1, min(common, parts) + 1) if common % n == 0)
        raise ValueError(
            f"training.accumulate={parts} cannot cut a batch of {n_train}, which is all that task="
            f"{task.kind} has to learn from (training.batch_size={batch}), into equal parts; "
            f"training.accumulate={fits} can"
        )

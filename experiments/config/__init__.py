"""Typed options of the parts that experiments compare; no torch, so that planning stays fast.

One dataclass per idea; `OPTIONS[group][kind]` is the dataclass behind an option file of
`conf/<group>/`. The values live in the YAML files: a field has no default here, so a key that is
forgotten there is an error and never a silent choice. Rules within one dataclass are checked in
`__post_init__`, rules across groups in `check_together`.
"""

from math import gcd
from typing import Any

from experiments.config.parts import (
    SLOTS,
    Activation,
    Attention,
    Balance,
    Conversion,
    FeedForward,
    Init,
    Kernel,
    MixtureOfExperts,
    Model,
    NoFeedForward,
    Norm,
    NormType,
    Placement,
    Position,
    Slots,
)
from experiments.config.questions import (
    FFNOptions,
    FlashOptions,
    GQAOptions,
    HeadAnalysisOptions,
    MoEOptions,
    NormStabilityOptions,
    TranslationOptions,
)
from experiments.config.registering import OPTIONS, QUESTIONS, at_least, option, question, share

__all__ = [
    "OPTIONS",
    "QUESTIONS",
    "SLOTS",
    "Activation",
    "Attention",
    "Balance",
    "Conversion",
    "FFNOptions",
    "FeedForward",
    "FlashOptions",
    "GQAOptions",
    "HeadAnalysisOptions",
    "Init",
    "Kernel",
    "MixtureOfExperts",
    "MoEOptions",
    "Model",
    "NoFeedForward",
    "Norm",
    "NormStabilityOptions",
    "NormType",
    "Placement",
    "Position",
    "Slots",
    "TranslationOptions",
    "at_least",
    "check_together",
    "option",
    "question",
    "share",
]


def check_together(experiment: str, groups: dict[str, Any]) -> None:
    """Raise ValueError where options do not fit each other or the experiment.

    `groups` maps the names of groups, `model`, `options` and `training` to their dataclasses.
    """
    task = groups.get("task")
    if task is not None:
        pairs = getattr(QUESTIONS[experiment], "pairs", False)
        if task.pairs != pairs:
            has, needs = ("sequences", "pairs") if pairs else ("pairs", "sequences")
            raise ValueError(f"task={task.kind} has {has}, but {experiment} learns from {needs}")
        if "training" in groups:
            _check_parts_of_a_batch(task, groups["training"])
    model, attention = groups.get("model"), groups.get("attention")
    options = groups.get("options")
    heads = getattr(attention, "n_heads", 1)
    if isinstance(options, GQAOptions) and options.d_model % heads:
        raise ValueError(
            f"options.d_model={options.d_model} must be a multiple of attention.n_heads={heads}"
        )
    if isinstance(attention, Attention) and model is not None:
        if model.d_model % attention.n_heads:
            raise ValueError(
                f"model.d_model={model.d_model} must be a multiple of "
                f"attention.n_heads={attention.n_heads}"
            )
        if attention.position is Position.rotary and (model.d_model // attention.n_heads) % 2:
            raise ValueError(
                f"rotary positions need an even head size; model.d_model={model.d_model} / "
                f"attention.n_heads={attention.n_heads} is {model.d_model // attention.n_heads}"
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

"""The arguments of `runner.compare`, checked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import registry
from runner.comparison.arms import ComparedArm, read_arms
from runner.config import MOST_SEEDS, ConfigError, MatchCost, Scale
from runner.plan import option_folders
from runner.plan.overrides import parse_override
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle

PAGES = {
    "attention": "gqa_vs_mha",
    "ffn": "ffn",
    "model": "compare",
    "norm": "norm_stability",
}
"""Group -> the experiment that asks about it."""

OWN_KEYS = {
    "arms": "arms",
    "arm": "arms",
    "baseline": "baseline",
    "experiment": "experiment",
    "match": "match",
    "match.by": "match",
    "match.to": "baseline",
    "n_seeds": "n_seeds",
    "outputs": "outputs",
    "scale": "scale",
    "task": "task",
}
"""Keys that overrides cannot set, each with the argument that does."""


@dataclass(frozen=True)
class Request:
    """The checked arguments of one call.

    Attributes:
        arms: the arms, in their order.
        group: attention, ffn, model or norm.
        experiment: the experiment whose page computes.
        overrides: the user's overrides, without `plugins`.
        plugins: the modules that the overrides name as plug-ins.
    """

    arms: tuple[ComparedArm, ...]
    group: str
    task: str
    experiment: str
    baseline: str
    match: str
    n_seeds: int
    scale: str
    outputs: str
    overrides: tuple[str, ...]
    plugins: tuple[str, ...]


def read_request(
    arms: Any,
    *,
    group: Any,
    task: Any,
    experiment: Any,
    baseline: Any,
    match: Any,
    n_seeds: Any,
    scale: Any,
    outputs: Any,
    overrides: Any,
) -> Request:
    """Check the arguments of a call. Composition checks names of options and keys.

    Raises:
        ConfigError: an argument has a wrong type, or is an unknown name.
    """
    group = _choice("group", group, PAGES)
    experiment = PAGES[group] if experiment is None else experiment
    texts = _read_overrides(overrides)
    read = read_arms(arms, group)
    names = [arm.name for arm in read]
    own, plugins = _split_plugins(texts)
    for text in own:
        if group == "model" and parse_override(text).key_or_group.partition(".")[0] == "model":
            raise ConfigError(f"overrides: {text} has no effect on whole models; remove it")
    if not isinstance(outputs, str | Path) or not str(outputs):
        raise ConfigError(f"outputs={outputs!r}: give the path of a folder")
    return Request(
        arms=tuple(read),
        group=group,
        task=_text("task", task, "e.g. domains"),
        experiment=_text("experiment", experiment, "e.g. ffn"),
        baseline=names[0] if baseline is None else _choice("baseline", baseline, names),
        match=_choice("match", match, [each.value for each in MatchCost]),
        n_seeds=_count_of_seeds(n_seeds),
        scale=_choice("scale", scale, [each.value for each in Scale]),
        outputs=str(outputs),
        overrides=own,
        plugins=plugins,
    )


def check_names(request: Request) -> None:
    """Raise ConfigError for an unknown experiment or task; plug-ins are imported before."""
    experiments = {*registry.experiment_names(), *option_folders.option_names("experiment")}
    _choice("experiment", request.experiment, experiments)
    _choice("task", request.task, option_folders.option_names("task"))


def _choice(name: str, value: Any, known: Iterable[str]) -> str:
    text = _text(name, value, f"one of {', '.join(sorted(known))}")
    if text not in {*known}:
        raise ConfigError(
            f"{name}={truncate_middle(text, 80)!r}: there is no such {name}; "
            f"{name_hint(text, known)}"
        )
    return text


def _text(name: str, value: Any, example: str) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name}={truncate_middle(repr(value), 60)}: give a name, {example}")
    return str(value)


def _count_of_seeds(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_SEEDS:
        raise ConfigError(
            f"n_seeds={truncate_middle(repr(value), 60)}: give a whole number from 1 to "
            f"{MOST_SEEDS}"
        )
    return value


def _read_overrides(overrides: Any) -> Sequence[str]:
    if isinstance(overrides, str) or not isinstance(overrides, Iterable):
        raise ConfigError(
            f"overrides={truncate_middle(repr(overrides), 60)}: give a list of texts, e.g. "
            '["training.steps=100"]'
        )
    texts = list(overrides)
    for text in texts:
        if not isinstance(text, str):
            raise ConfigError(
                f"overrides: {truncate_middle(repr(text), 60)} is not a text; write key=value, "
                'e.g. "training.steps=100"'
            )
        if text.startswith("-"):
            raise ConfigError(
                f"overrides: {truncate_middle(text, 60)} is a flag of the command line; give "
                "overrides only, key=value"
            )
    return texts


def _split_plugins(texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the overrides without `plugins=[...]`, and the modules that those name.

    Raises:
        ConfigError: an override has several values, or sets a key that has an argument of its own.
    """
    own: list[str] = []
    plugins: list[str] = []
    for text in texts:
        parsed = parse_override(text)
        key = parsed.key_or_group
        if parsed.is_sweep_override():
            raise ConfigError(f"overrides: {text} has several values; compare takes one study")
        if key in OWN_KEYS or key.startswith("arms."):
            argument = OWN_KEYS[key.partition(".")[0] if key.startswith("arms.") else key]
            raise ConfigError(
                f"overrides: {truncate_middle(text, 80)}: use the argument {argument} of compare"
            )
        value = parsed.value()
        if key == "plugins" and isinstance(value, list) and all(isinstance(v, str) for v in value):
            plugins += value
        else:
            own.append(text)
    return tuple(own), tuple(plugins)

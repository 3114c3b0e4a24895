"""The jobs of a sweep: every combination of the values that the user lists. No torch."""

import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep

from runner.config import ConfigError
from runner.plan import option_folders
from runner.plan.overrides import MAX_POINTS, parse_override
from runner.wording.output import truncate_middle

UNSWEPT = ("outputs", "plugins", "plan", "fail_fast")
"""Keys that have one value for the whole sweep."""


@dataclass(frozen=True)
class SweepJob:
    """One job of a sweep.

    Attributes:
        overrides: all overrides of the job, as Hydra reads them.
        settings: swept key -> the job's value.
        name: the name of a point that a YAML file of a sweep names; otherwise "".
    """

    overrides: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Choice:
    """One choice along one axis of a sweep: some overrides, and perhaps a name."""

    overrides: tuple[str, ...]
    name: str = ""


Axis = Sequence[Choice]


def refuse_unswept(overrides: Iterable[Override]) -> None:
    """Refuse a sweep over a key that has one value for the whole sweep.

    Raises:
        ConfigError: naming the first such key.
    """
    for override in overrides:
        key = override.key_or_group
        section = key.partition(".")[0]
        if override.is_sweep_override() and (section in UNSWEPT or section.startswith("hydra")):
            text = truncate_middle(str(override.input_line), 120)
            raise ConfigError(
                f"{text}: {key} cannot be swept over, because it is one for the whole sweep; "
                "give one value"
            )


def split_typed(texts: Sequence[str]) -> tuple[list[str], list[Axis]]:
    """Return the overrides that every job has, and an axis for each swept override."""
    fixed: list[str] = []
    axes: list[Axis] = []
    for text in last_of_each_key(texts):
        override = parse_override(text)
        if override.is_sweep_override():
            axes.append([Choice((value,)) for value in sweep_values(override)])
        else:
            fixed.append(text)
    return fixed, axes


def sweep_values(override: Override) -> list[str]:
    """Return a plain override for each value of a swept override.

    Raises:
        ConfigError: the values are a range of real numbers, which only another sweeper can sample.
    """
    sweep, key = override.value(), override.get_key_element()
    if isinstance(sweep, Glob):
        names = sweep.filter(sorted(option_folders.option_names(override.key_or_group)))
        return [f"{key}={name}" for name in names]
    if isinstance(sweep, ChoiceSweep | RangeSweep):
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    text = str(override.input_line).removeprefix("++")
    raise ConfigError(
        f"{truncate_middle(text, 120)}: an interval needs a sweeper that "
        "samples it; list the values: training.lr=1e-3,3e-3"
    )


def combine(base: Sequence[str], axes: Sequence[Axis], fixed: Sequence[str]) -> list[SweepJob]:
    """Return a job for every combination of one choice of each axis; equal jobs count once.

    The last override of a key counts: first those of a file (`base`), then the choices, then the
    typed overrides that every job has (`fixed`).

    Raises:
        ConfigError: an axis is empty, or there are too many points.
    """
    n_jobs = 1
    for axis in axes:
        n_jobs *= len(axis)
        if not 0 < n_jobs <= MAX_POINTS:
            many = f"at least {n_jobs:,}" if n_jobs else "no"
            raise ConfigError(
                f"the sweep has {many} points; it needs at least one and at most {MAX_POINTS:,}"
            )
    jobs: dict[tuple[str, ...], SweepJob] = {}
    for choices in itertools.product(*axes):
        chosen = [text for choice in choices for text in choice.overrides]
        last = last_of_each_key([*base, *chosen, *fixed])
        # The overrides that all jobs share come first, as a user would type them.
        overrides = tuple(sorted(last, key=lambda text: text in chosen))
        swept = {parse_override(text).key_or_group for text in chosen}
        name = ", ".join(choice.name for choice in choices if choice.name)
        job = SweepJob(overrides, read_settings(overrides, swept), name)
        jobs.setdefault(tuple(sorted(overrides)), job)
    return without_common_settings(list(jobs.values()))


def read_settings(overrides: Iterable[str], keys: Collection[str]) -> dict[str, Any]:
    """Return the values that overrides set for some keys."""
    settings = {}
    for override in map(parse_override, overrides):
        if override.key_or_group in keys:
            settings[override.key_or_group] = None if override.is_delete() else override.value()
    return settings


def last_of_each_key(texts: Iterable[str]) -> list[str]:
    """Return the last override of each key, in the order of these last ones."""
    last: dict[tuple[str, bool], str] = {}
    for text in texts:
        override = parse_override(text)
        key = (override.key_or_group, override.is_delete())
        last.pop(key, None)
        last[key] = text
    return list(last.values())


def without_common_settings(jobs: Sequence[SweepJob]) -> list[SweepJob]:
    """Return the jobs without the settings that all of them share; a single job keeps its own."""
    if len(jobs) < 2:
        return list(jobs)
    keys = list(dict.fromkeys(key for job in jobs for key in job.settings))
    varying = [
        key for key in keys if len({format_value(job.settings.get(key)) for job in jobs}) > 1
    ]
    return [
        SweepJob(
            job.overrides,
            {key: job.settings[key] for key in varying if key in job.settings},
            job.name,
        )
        for job in jobs
    ]


def format_value(value: Any) -> str:
    """Return a swept value as text: a name or number as typed, anything else as JSON."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, str | int | float):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def format_settings(settings: Mapping[str, Any]) -> str:
    """Return settings as a user would type them: `ffn.n_experts=4 ffn.top_k=1`."""
    return " ".join(f"{key}={format_value(value)}" for key, value in settings.items())

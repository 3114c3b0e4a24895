"""The points of a sweep: jobs that differ only by arm or seed belong to one study. No torch."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.plan.overrides import parse_override, quoted
from runner.sweeps.jobs import SweepJob, format_settings, format_value
from runner.wording.phrases import join_with_and

ARM, SEED, N_SEEDS = "arm", "seed", "n_seeds"
PLAIN_WORD = re.compile(r"(?!(?i:null|true|false|nan|inf)$)[A-Za-z_][\w.-]*")
Seeds = tuple[int, int]
"""The first seed of a job and the number of its seeds."""


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep, which has one report.

    Attributes:
        settings: swept key -> value, without the keys that its jobs share out.
        name: the name of a point that a YAML file of a sweep names; otherwise "".
        jobs: the jobs that compute its trials.
        overrides: the overrides of its whole study.
        is_shared: whether its jobs compute parts of one study, and write no report.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    jobs: tuple[SweepJob, ...] = ()
    overrides: tuple[str, ...] = ()
    is_shared: bool = False

    @property
    def label(self) -> str:
        """The point in words: its name, or its settings."""
        return self.name or format_settings(self.settings)


def group_into_points(
    jobs: Sequence[SweepJob], read_seeds: Callable[[SweepJob], Seeds]
) -> tuple[list[SweepPoint], list[str]]:
    """Return the points of a sweep, and notes on jobs that cannot be one study.

    Jobs are one study if they differ only by arm or seed, have all combinations of both, and have
    consecutive seeds. `read_seeds` composes the config of a job.
    """
    swept = {key for job in jobs for key in job.settings}
    points = [SweepPoint(job.settings, job.name, (job,), job.overrides) for job in jobs]
    reason, apart = "", swept & {ARM, SEED}
    for shared in ((ARM, SEED), (ARM,)):
        if not swept & {*shared}:
            continue
        together, fault = _share_studies(jobs, {*shared} & swept, read_seeds)
        if not fault:
            points, apart = together, apart - {*shared}
            break
        reason = fault
    if not reason:
        return points, []
    keys = join_with_and(sorted(apart))
    return points, [f"{reason}, so that each value of {keys} is a point of its own"]


def _share_studies(
    jobs: Sequence[SweepJob], shared: set[str], read_seeds: Callable[[SweepJob], Seeds]
) -> tuple[list[SweepPoint], str]:
    """Return the points whose jobs share studies, or the reason why they cannot."""
    groups: dict[tuple[str, str], list[SweepJob]] = {}
    for job in jobs:
        own = {key: value for key, value in job.settings.items() if key not in shared}
        groups.setdefault((job.name, format_settings(own)), []).append(job)
    points = []
    for members in groups.values():
        first, n_seeds = read_seeds(members[0])
        starts = [int(job.settings.get(SEED, first)) for job in members]
        seeds = sorted({start + i for start in starts for i in range(n_seeds)})
        if seeds != list(range(seeds[0], seeds[-1] + 1)):
            return [], f"seeds {join_with_and([str(seed) for seed in seeds])} are not consecutive"
        arms = list(dict.fromkeys(format_value(job.settings.get(ARM)) for job in members))
        if len(members) != len(arms) * len({*starts}):
            return [], "the jobs do not have every arm under every seed"
        own = {key: value for key, value in members[0].settings.items() if key not in shared}
        whole = [*_without(members[0].overrides, shared)]
        if ARM in shared:
            whole.append(_arm_override([job.settings.get(ARM) for job in members]))
        if SEED in shared:
            whole = [*_without(whole, {N_SEEDS}), f"{SEED}={seeds[0]}", f"{N_SEEDS}={len(seeds)}"]
        points.append(SweepPoint(own, members[0].name, tuple(members), tuple(whole), True))
    return points, ""


def _without(texts: Iterable[str], keys: set[str]) -> list[str]:
    return [text for text in texts if parse_override(text).key_or_group not in keys]


def _arm_override(values: Sequence[Any]) -> str:
    """Return the override that chooses the arms of all these values; null chooses all arms."""
    if any(value is None for value in values):
        return f"{ARM}=null"
    lists = [value if isinstance(value, list) else [value] for value in values]
    names = dict.fromkeys(str(name) for each in lists for name in each)
    words = [name if PLAIN_WORD.fullmatch(name) else quoted(name) for name in names]
    return f"{ARM}={words[0]}" if len(words) == 1 else f"{ARM}=[{','.join(words)}]"

"""The board's record of one run: its claims, their verdicts, and the origin of the numbers.

A record is made from a run folder alone. It names no computer, no user and no absolute path.
"""

import datetime
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from runner.wording.quantity import display_unit, format_mean, format_quantity

RECORD_VERSION = 1
"""Version of the schema of records; a record of another version is refused."""
INFINITE = "inf"
"""A detectable effect that no number of these seeds could show."""
PATH_START = r"(?:file://|~\w*|[A-Za-z]:|\\)?[/\\]"
"""The start of an absolute path: of a disk, of a home folder, or on a server."""
ABSOLUTE_PATH = re.compile(rf"(?<![\w./\\~]){PATH_START}(?:[^\s'\"\[\](){{}},;=/\\]+[/\\]*)+")
HOMES = ("home", "users")
"""Folders whose folders are called after users."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its interval; a limit is None where there is none."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class ClaimRecord:
    """A claim as a run judged it.

    Attributes:
        published, published_is, published_effect, contested, source: as in `runner.claims.claim`.
        quantity: the estimated quantity, such as "val/loss: moe_top2 minus dense".
        expected: the condition on it, in words.
        has_sign: whether the estimate is written with its sign.
        detectable: the smallest detectable effect, measured from 0 and with the claim's margin;
            None if unknown, "inf" if too few seeds.
        n, planned_n: seeds used, and those of the claim.
        registered: the hash of the claim.
        shipped: whether a release registered it with these arms.
    """

    id: str
    kind: str
    statement: str
    source: str
    published: str = ""
    published_is: str = ""
    published_effect: float | None = None
    contested: str = ""
    quantity: str
    expected: str
    has_sign: bool = True
    verdict: str
    reason: str
    estimate: Estimate | None = None
    unit: str = ""
    p: float | None = None
    p_holm: float | None = None
    detectable: float | str | None = None
    n: int
    planned_n: int
    registered: str
    shipped: bool = False

    @property
    def is_too_small_a_study(self) -> bool:
        """Whether the study could not have seen the published effect of the same quantity."""
        if self.verdict != "inconclusive" or self.published_is != "same quantity":
            return False
        if self.published_effect is None or self.detectable is None:
            return False
        return float(self.detectable) > abs(self.published_effect)

    @property
    def estimate_text(self) -> str:
        """The estimate with its interval, in a unit that a person reads."""
        if self.estimate is None or self.estimate.mean is None:
            return ""
        mean, n = self.estimate.mean, self.estimate.n
        low, high = (
            float("nan") if end is None else end for end in (self.estimate.low, self.estimate.high)
        )
        display = display_unit(self.unit, [mean])
        text = format_mean(mean, low, high, n, is_difference=self.has_sign, display=display)
        number, space, rest = text.partition(" ")
        return display.with_name(number) + space + rest

    @property
    def detectable_text(self) -> str:
        """The smallest detectable effect in words; "" if it is unknown."""
        if self.detectable is None:
            return ""
        if self.detectable == INFINITE:
            return "none: too few seeds"
        return format_quantity(float(self.detectable), self.unit, digits=2)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The record of one run.

    Attributes:
        date: the time at which the report was written, as ISO 8601.
        command: the command, without `outputs=` and absolute paths.
        commit, dirty: the commit of the checkout, and whether its code differed; None outside one.
        machine: system, processor, cores, memory_gib, and gpus if there are any.
        devices: the devices of the trials.
        versions: Python and packages -> their versions.
        digests: files of the run folder -> their SHA-256.
        settings: typed overrides that change training or measurement; a preset's study has none.
        look: the number of looks at these arms, this one included.
        trials: states of trials -> their numbers.
        trial_seconds: the wall-clock seconds of all trials.
        arms: arms -> their sizes: seeds, and each cost such as params or flops.
        answer: the answer of the report, in sentences.
    """

    experiment: str
    question: str
    scale: str
    date: str
    command: str
    commit: str | None = None
    dirty: bool | None = None
    machine: Mapping[str, Any]
    devices: tuple[str, ...] = ()
    versions: Mapping[str, str]
    digests: Mapping[str, str]
    settings: tuple[str, ...] = ()
    look: int = 1
    trials: Mapping[str, int]
    trial_seconds: float | None = None
    arms: Mapping[str, Mapping[str, float]]
    answer: str = ""
    claims: tuple[ClaimRecord, ...] = field(default=())

    @property
    def time(self) -> datetime.datetime:
        """The time at which the report was written, which orders studies of all time zones."""
        return datetime.datetime.fromisoformat(self.date)

    @property
    def day(self) -> str:
        """The date without the time: 2026-11-26."""
        return self.date[:10]

    @property
    def machine_text(self) -> str:
        """The machine in words: AMD EPYC, 2 cores, 23.5 GiB."""
        machine = self.machine
        words = [str(machine.get("processor") or "unknown processor")]
        words += [f"{machine['cores']} cores"] if machine.get("cores") else []
        words += [f"{machine['memory_gib']:g} GiB"] if machine.get("memory_gib") else []
        return ", ".join([*words, *map(str, machine.get("gpus") or ())])

    @property
    def commit_text(self) -> str:
        """The commit in words: its first digits, and whether the code differed from it."""
        if self.commit is None:
            return "commit unknown"
        return f"commit {self.commit[:7]}" + (" with changes" if self.dirty else "")

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data, with its version first."""
        return {"version": RECORD_VERSION, **asdict(self)}


def without_absolute_paths(value: Any) -> Any:
    """Return plain data in which each absolute path is replaced by its last component."""
    if isinstance(value, dict):
        return {key: without_absolute_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_absolute_paths(item) for item in value]
    if not isinstance(value, str):
        return value
    return ABSOLUTE_PATH.sub(lambda path: last_component(path[0]), value)


def portable_word(word: str) -> str:
    """Return a word of a command without absolute paths; a path in it may have spaces."""
    key, sign, value = word.rpartition("=")
    if re.match(rf"{PATH_START}[^\[{{}},]+$", value):
        return f"{key}{sign}{last_component(value)}"
    return str(without_absolute_paths(word))


def last_component(path: str) -> str:
    """Return the last component of a path; `~` for the home folder of a user."""
    *parents, name = re.split(r"[/\\]+", path.rstrip("/\\"))
    return "~" if parents and parents[-1].casefold() in HOMES else name

"""The typed schema of the engine's part of a config; `runner.plan.config_reader` reads one. No torch.

What belongs to the science (the groups of parts and an experiment's own options) comes through
`runner.registry`.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import SimpleNamespace
from typing import Any

INTEGER_LIMIT, MOST_SEEDS, MOST_WORKERS, MOST_VALUES = 2**31, 10_000, 1024, 100
SHARES = {"final_lr_share": 1.0, "weight_decay": 1.0, "beta1": 0.9999, "beta2": 0.99999}


class ConfigError(ValueError):
    """Bad input of a user: the message says what was given, what is allowed and how to mend it."""


class StudyError(RuntimeError):
    """Some trials failed, or the report did; the others are computed and reported."""


def no_numbers(**kwargs: Any) -> Any:
    """A dataclass field that cannot change a trial's numbers and so stays out of its signature."""
    return field(metadata={"numbers": False}, **kwargs)


class Schedule(StrEnum):
    """How the learning rate falls after the warm-up."""

    constant = "constant"
    linear = "linear"
    cosine = "cosine"


class DeviceName(StrEnum):
    """Where a trial computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Dtype(StrEnum):
    """Floating-point type of weights and activations."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float64 = "float64"


class Autocast(StrEnum):
    """The type that matrix products are cast to while weights stay as they are."""

    none = "none"
    bfloat16 = "bfloat16"


class Scale(StrEnum):
    """How much evidence a run gathers."""

    smoke = "smoke"
    quick = "quick"
    full = "full"


class Reuse(StrEnum):
    """What happens to a finished trial when the code behind it has changed."""

    strict = "strict"
    accept = "accept"


class PlanMode(StrEnum):
    """Whether a plan is carried out, or only told."""

    run = "run"
    only = "only"


class Evaluation(StrEnum):
    """Which held-out data judge a trial: the report's, or others, by which tuning chooses."""

    report = "report"
    tuning = "tuning"


class MatchCost(StrEnum):
    """The cost in which arms are made equal; parameters are counted without embeddings."""

    none = "none"
    params = "params"
    active_params = "active_params"
    flops = "flops"
    kv_bytes = "kv_bytes"


@dataclass
class Match:
    """Which arm this one must cost as much as, and the width that is solved for it."""

    by: MatchCost
    to: str | None
    solve: str
    tolerance: float

    def __post_init__(self) -> None:
        if self.by is not MatchCost.none and not self.to:
            raise ValueError(
                f"to is empty, but by={self.by} needs an arm to match, e.g. match.to=dense"
            )
        if not 0 <= self.tolerance <= 1:
            raise ValueError(f"tolerance={self.tolerance} must lie in [0, 1]; 0.01 is one per cent")


@dataclass
class Device:
    """Where and how a trial computes; `threads` are CPU threads of one trial.

    `memory_gib` is what trials may take, where that is not what the machine has free.
    `autocast` is of training steps, their forward passes and losses; evaluation, probes and what is
    timed compute in `dtype`, so that a loss is that of the weights and not of its own rounding.
    """

    name: DeviceName
    dtype: Dtype
    autocast: Autocast
    threads: int
    deterministic: bool
    memory_gib: float | None = no_numbers()

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= 1024:
            raise ValueError(f"threads={self.threads} must lie between 1 and 1024")
        if self.memory_gib is not None and not self.memory_gib > 0:
            raise ValueError(f"memory_gib={self.memory_gib} must be above 0, or null")


@dataclass
class Training:
    """The optimizer (AdamW), its schedule and how often things are looked at."""

    steps: int
    batch_size: int
    lr: float
    schedule: Schedule
    warmup_steps: int
    final_lr_share: float
    weight_decay: float
    beta1: float
    beta2: float
    clip: float | None
    accumulate: int
    compile: bool
    log_every: int
    eval_every: int
    checkpoint_every: int = no_numbers()

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "log_every", "eval_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("lr", "clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value} must be above 0")
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate={self.accumulate} must divide batch_size={self.batch_size}"
            )
        if not 0 <= self.warmup_steps < self.steps:
            raise ValueError(
                f"warmup_steps={self.warmup_steps} must be at least 0 and below steps={self.steps}"
            )
        for name, most in SHARES.items():
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name}={getattr(self, name)} must lie in [0, {most}]")


@dataclass
class Tune:
    """The key that is tuned for every arm, its grid, and the seeds that only tuning sees."""

    key: str | None
    grid: list[float]
    n_seeds: int
    first_seed: int
    metric: str
    direction: str

    def __post_init__(self) -> None:
        if self.direction not in ("less", "greater"):
            raise ValueError(f"direction={self.direction} must be less or greater")
        if self.key is None:
            return
        if len(self.grid) > MOST_VALUES:
            raise ValueError(f"grid has {len(self.grid)} values; it can have {MOST_VALUES}")
        if not all(math.isfinite(value) for value in self.grid):
            raise ValueError(f"grid={list(self.grid)} must hold finite numbers only")
        if len({f"{value:g}" for value in self.grid}) < len(self.grid):
            raise ValueError(f"grid={list(self.grid)} has a value twice")
        if len(self.grid) < 3:
            raise ValueError(
                f"grid={list(self.grid)} needs three values or more: the best must lie inside"
            )
        if not 1 <= self.n_seeds <= MOST_SEEDS:
            raise ValueError(f"n_seeds={self.n_seeds} must lie between 1 and {MOST_SEEDS}")
        if not 0 <= self.first_seed < INTEGER_LIMIT:
            raise ValueError(
                f"first_seed={self.first_seed} must lie between 0 and {INTEGER_LIMIT - 1}"
            )


@dataclass
class Timing:
    """When a study times its trials again; see `runner.study.timing_passes`.

    passes   at most so many passes over the trials; 1 never times again
    steady   another pass follows while `runner.study.timing_passes.timing_noise` is above this
    minutes  for all passes behind the first: none begins that would end later, if it takes as long
             as the one before
    """

    passes: int
    steady: float
    minutes: float

    def __post_init__(self) -> None:
        if not 1 <= self.passes <= 1000:
            raise ValueError(f"passes={self.passes} must lie between 1 and 1000")
        for name in ("steady", "minutes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0")


@dataclass
class Study:
    """The top-level keys that are not groups; `conf/config.yaml` comments each."""

    experiment: str | None
    question: str
    duration: str
    arms: dict[str, list[str]]
    arm: Any
    baseline: str | None
    controls: list[str]
    headline: list[dict[str, str]]
    claims: dict[str, Any]
    claim: Any
    figures: dict[str, Any]
    figure: Any
    not_tested: list[str]
    seed: int
    n_seeds: int
    seed_offset: int
    workers: Any
    timeout_s: float | None
    reuse: Reuse
    plugins: list[str]
    outputs: str
    scale: Scale
    plan: PlanMode
    tune: Tune
    timing: Timing

    def __post_init__(self) -> None:
        if not 0 <= self.seed < INTEGER_LIMIT:
            raise ValueError(f"seed={self.seed} must lie between 0 and {INTEGER_LIMIT - 1}")
        if self.n_seeds < 1:
            raise ValueError(f"n_seeds={self.n_seeds} must be at least 1")
        if self.n_seeds > MOST_SEEDS:
            raise ValueError(f"n_seeds={self.n_seeds} must be at most {MOST_SEEDS}")
        number = isinstance(self.workers, int) and not isinstance(self.workers, bool)
        if self.workers != "auto" and not (number and 1 <= self.workers <= MOST_WORKERS):
            raise ValueError(
                f"workers={self.workers} must be auto or a number of at least 1, at most "
                f"{MOST_WORKERS}"
            )
        if self.timeout_s is not None and not 0 < self.timeout_s < math.inf:
            raise ValueError(
                f"timeout_s={self.timeout_s} must be above 0, in seconds, or null for no limit"
            )
        if not self.outputs or "\0" in self.outputs:
            raise ValueError("outputs is empty; give a folder, e.g. outputs=outputs")


STUDY_KEYS = tuple(f.name for f in dataclasses.fields(Study))
STUDY_ONLY_KEYS = tuple(key for key in STUDY_KEYS if key != "seed_offset")
SECTION_SCHEMAS: dict[str, type] = {
    "training": Training,
    "device": Device,
    "match": Match,
    "tune": Tune,
    "timing": Timing,
}


@dataclass(frozen=True)
class ArmConfig:
    """One arm, resolved and typed: everything that a trial computes from, but its seed.

    `parts` holds `model` and the experiment's groups by name, e.g. `parts.ffn`; `options` are the
    experiment's own. `match` has done its work before a trial is signed: its widths stand in
    `parts`. `evaluation` says what it is judged by, and `data` is the fingerprint of what it is
    planned to train on.
    """

    experiment: str
    seed_offset: int
    training: Training
    device: Device
    match: Match
    options: Any
    parts: SimpleNamespace
    evaluation: Evaluation = Evaluation.report
    data: str = ""

    def signature_tree(self) -> dict[str, Any]:
        """What a signature covers: the fields that can change numbers, as plain containers.

        `evaluation` is one of them where it is not the report's; `data` is signed beside the tree.
        """
        sections = {"training": self.training, "device": self.device, "options": self.options}
        tree: dict[str, Any] = {
            name: signature_fields(value) for name, value in (sections | vars(self.parts)).items()
        }
        if self.evaluation is not Evaluation.report:
            tree["evaluation"] = self.evaluation.value
        return {"experiment": self.experiment, "seed_offset": self.seed_offset, **tree}


def affects_by_field(options: type) -> dict[str, tuple[str, ...]]:
    """The options that only say what is measured, and the metrics that each has an influence on.

    Such a field carries `metadata={"affects": ...}`, the beginnings of the metrics' names.
    """
    return {
        f.name: f.metadata["affects"]
        for f in dataclasses.fields(options)
        if "affects" in f.metadata
    }


def signature_fields(value: Any) -> dict[str, Any]:
    """A typed section as a plain dict, without fields that cannot change numbers."""
    kept = {}
    for f in dataclasses.fields(value):
        if f.metadata.get("numbers", True):
            item = getattr(value, f.name)
            kept[f.name] = item.value if isinstance(item, Enum) else item
    return kept


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots; lists as text, and None as the null that one types."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            text = "null" if value is None else str(value)
            flat[prefix + key] = value if isinstance(value, bool | int | float | str) else text
    return flat

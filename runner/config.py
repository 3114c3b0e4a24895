"""The typed schema of the engine's part of a config. No torch.

`runner.plan.config_reader` reads a config into these classes. The groups of parts and an
experiment's own options are declared in `experiments`; `runner.registry` has them.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

INTEGER_LIMIT, MOST_SEEDS, MOST_WORKERS, MOST_VALUES = 2**31, 10_000, 1024, 100
SHARES = {"final_lr_share": 1.0, "weight_decay": 1.0, "beta1": 0.9999, "beta2": 0.99999}


class ConfigError(ValueError):
    """An error in the user's input; its message has the input, the rule and a hint."""


class StudyError(RuntimeError):
    """An error for failed trials or a failed report; all other trials are computed and reported.

    Attributes:
        folder: the run folder with the report of the other trials; None if there is no report.
        log: the log of the first trial that failed; None without one.
        study: their results, as `runner.compare` returns them; None without a report.
    """

    folder: Path | None = None
    log: Path | None = None
    study: Any = None


def no_numbers(**kwargs: Any) -> Any:
    """Return a dataclass field that cannot change a trial's numbers and is not in its signature."""
    return field(metadata={"numbers": False}, **kwargs)


class Schedule(StrEnum):
    """The shape of the learning rate after the warm-up."""

    constant = "constant"
    linear = "linear"
    cosine = "cosine"


class DeviceName(StrEnum):
    """The kind of device that a trial runs on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Dtype(StrEnum):
    """The floating-point type of weights and activations."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float64 = "float64"


class Autocast(StrEnum):
    """The type that matrix products are computed in, while weights keep theirs."""

    none = "none"
    bfloat16 = "bfloat16"


class Scale(StrEnum):
    """The size of a run: more seeds and steps give more evidence."""

    smoke = "smoke"
    quick = "quick"
    full = "full"
    long = "long"


class Reuse(StrEnum):
    """The treatment of stale trials: `strict` computes them again, `accept` reuses them."""

    strict = "strict"
    accept = "accept"


class PlanMode(StrEnum):
    """Whether a plan is run, or only printed."""

    run = "run"
    only = "only"


class Evaluation(StrEnum):
    """The held-out data that a trial is evaluated on: the report's, or separate data for tuning."""

    report = "report"
    tuning = "tuning"


class MatchCost(StrEnum):
    """The cost that arms are matched by; parameters are counted without embeddings."""

    none = "none"
    params = "params"
    active_params = "active_params"
    flops = "flops"
    kv_bytes = "kv_bytes"


@dataclass
class Match:
    """How an arm is matched.

    Attributes:
        by: the cost that must be equal.
        to: the arm to match.
        solve: the key of the width that is set, such as `ffn.d_ff`.
        tolerance: the relative difference in cost that is accepted.
    """

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
            raise ValueError(f"tolerance={self.tolerance} must lie in [0, 1]; 0.01 is 1 %")


@dataclass
class Device:
    """The device of a trial and its numerical settings.

    Attributes:
        dtype: the type of weights and activations.
        autocast: the type of forward passes and losses in training steps. Evaluation, probes and
            timed calls use `dtype`, so that rounding by autocast does not change their values.
        threads: CPU threads of one trial.
        deterministic: whether torch may only use deterministic algorithms.
        memory_gib: the memory that trials may take, in GiB; None for the machine's free memory.
        trials_per_gpu: trials that `workers=auto` computes on each GPU at a time.
    """

    name: DeviceName
    dtype: Dtype
    autocast: Autocast
    threads: int
    deterministic: bool
    memory_gib: float | None = no_numbers()
    trials_per_gpu: int = no_numbers(default=1)

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= 1024:
            raise ValueError(f"threads={self.threads} must lie between 1 and 1024")
        if self.memory_gib is not None and not self.memory_gib > 0:
            raise ValueError(f"memory_gib={self.memory_gib} must be above 0, or null")
        if not 1 <= self.trials_per_gpu <= MOST_WORKERS:
            raise ValueError(
                f"trials_per_gpu={self.trials_per_gpu} must lie between 1 and {MOST_WORKERS}"
            )


@dataclass
class Training:
    """The settings of training: AdamW, its schedule, and the steps between logs and evaluations."""

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
    """The key that is tuned for every arm, its grid, and seeds that only the tuning uses."""

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
            raise ValueError(f"grid has {len(self.grid)} values; at most {MOST_VALUES} are allowed")
        if not all(math.isfinite(value) for value in self.grid):
            raise ValueError(f"grid={list(self.grid)} must contain only finite numbers")
        if len({f"{value:g}" for value in self.grid}) < len(self.grid):
            raise ValueError(f"grid={list(self.grid)} has a value twice")
        if len(self.grid) < 3:
            raise ValueError(
                f"grid={list(self.grid)} needs at least three values, so the best can be inside"
            )
        if not 1 <= self.n_seeds <= MOST_SEEDS:
            raise ValueError(f"n_seeds={self.n_seeds} must lie between 1 and {MOST_SEEDS}")
        if not 0 <= self.first_seed < INTEGER_LIMIT:
            raise ValueError(
                f"first_seed={self.first_seed} must lie between 0 and {INTEGER_LIMIT - 1}"
            )


@dataclass
class Timing:
    """The limits of repeated timing passes; see `runner.study.timing_passes`.

    passes   maximum number of passes over the trials; 1 times them once
    steady   another pass follows while `runner.study.timing_passes.timing_noise` is above this
    minutes  time limit of all passes after the first. A pass does not start if it would exceed the
             limit, assuming that it takes as long as the previous pass.
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
class Report:
    """The content of a report.

    samples  whether pages and TensorBoard show passages of the data, such as predicted sentences
             and the tokens at a map of attention
    """

    samples: bool


@dataclass
class Study:
    """The top-level keys that are not groups; `conf/config.yaml` explains each."""

    experiment: str | None
    code: str | None
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
    fail_fast: bool
    reuse: Reuse
    plugins: list[str]
    outputs: str
    scale: Scale
    plan: PlanMode
    tune: Tune
    timing: Timing
    report: Report

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
    "report": Report,
}


@dataclass(frozen=True)
class ArmConfig:
    """A resolved and typed arm: everything that its trials depend on, except for their seeds.

    Attributes:
        match: how the arm was matched. Its width is in `parts` already.
        experiment: the page that computes it, which a question of another name may use.
        options: the page's own options.
        parts: `model` and the options of the experiment's groups by name, e.g. `parts.ffn`.
        evaluation: the held-out data that its trials are evaluated on.
        data: the fingerprint of its training data.
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
        """Return the fields that can change numbers, as plain containers: a signature covers them.

        `evaluation` is included if it is not the report's. `data` is signed too, but is not here.
        """
        sections = {"training": self.training, "device": self.device, "options": self.options}
        tree: dict[str, Any] = {
            name: signature_fields(value) for name, value in (sections | vars(self.parts)).items()
        }
        if self.evaluation is not Evaluation.report:
            tree["evaluation"] = self.evaluation.value
        return {"experiment": self.experiment, "seed_offset": self.seed_offset, **tree}


def affects_by_field(options: type) -> dict[str, tuple[str, ...]]:
    """Return the options that change only measurements, each with the metrics that it affects.

    The field of such an option has `metadata={"affects": ...}`: prefixes of the metrics' names.
    """
    return {
        f.name: f.metadata["affects"]
        for f in dataclasses.fields(options)
        if "affects" in f.metadata
    }


def signature_fields(value: Any) -> dict[str, Any]:
    """Return typed options as a plain dict, without fields that cannot change numbers."""
    signed = {}
    for f in dataclasses.fields(value):
        if f.metadata.get("numbers", True):
            item = getattr(value, f.name)
            signed[f.name] = item.value if isinstance(item, Enum) else item
    return signed


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a flat dict with keys joined by dots; lists become text, and None becomes `null`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            text = "null" if value is None else str(value)
            flat[prefix + key] = value if isinstance(value, bool | int | float | str) else text
    return flat

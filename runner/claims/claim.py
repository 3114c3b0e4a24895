"""Claims: statements that are written down before a run, in an experiment's YAML.

What all kinds share; `runner.claims.kinds` has a file for each kind. A claim that is tested on
seeds has a family, whose members are Holm-corrected together, and may name the pairs that prove
the rig.
"""

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from runner.claims.claim_keys import check_one_of, is_yaml_number, read_claim_keys
from runner.claims.evidence import Evidence, SeedValues
from runner.claims.measurement import Measurement
from runner.metric_names import COSTS

DIRECTIONS = ("greater", "less")
DESCRIPTIVE_KEYS = ("statement", "source", "published")  # of a claim; they decide nothing


@dataclass(frozen=True)
class AAPair:
    """The A/A pair of a claim: the same arm twice, whose difference must be nothing but chance.

    With `delta`, in the unit of what the claim estimates, the pair must be shown to be equal within
    +-delta (TOST); without it, it must not be called different by the rule for arms.
    """

    arm: str
    control: str
    delta: float | None = None


@dataclass(frozen=True)
class PositiveControl:
    """A difference known to exist: where it is not seen, the rig could not see the claim either."""

    metric: str
    arm: str
    control: str
    direction: str


@dataclass(frozen=True, kw_only=True)
class Claim(ABC):
    """A pre-registered statement about the first `n` seeds.

    `source` and `published` say where the finding comes from and which figure was printed there;
    they decide nothing. With `equal_cost`, arms whose cost differs make the claim invalid, and so
    do arms that differ in anything beside their parts, unless `differs` names the key, e.g.
    `[training.warmup_steps]`: it is then what the claim is about.
    """

    kind: ClassVar[str]
    shows_sign: ClassVar[bool] = True  # whether the estimate is written with its sign
    sensitivity: ClassVar[str] = ""  # what `minimum_detectable_effect` means for this kind
    least_n: ClassVar[int] = 2
    nested_types: ClassVar[Mapping[str, type]] = {}

    id: str
    statement: str
    metric: str
    n: int
    source: str
    published: str = ""
    equal_cost: str | None = None
    differs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_yaml_number(self.n, int) or self.n < self.least_n:
            needed = f"needed is a whole number from {self.least_n} up"
            raise ValueError(f"{self.error_prefix}: n={self.n!r} seeds; {needed}.")
        if self.equal_cost is not None:
            check_one_of(f"{self.error_prefix}: equal_cost", self.equal_cost, tuple(COSTS))
            if len(self.compared_arms) < 2:
                raise ValueError(f"{self.error_prefix}: equal_cost needs two arms to compare.")
        if not isinstance(self.differs, tuple) or not all(
            isinstance(key, str) and key for key in self.differs
        ):
            raise ValueError(
                f"{self.error_prefix}: differs={self.differs!r} must be a list of keys, e.g. "
                "[training.warmup_steps]."
            )
        self.check_distinct(*self.compared_arms)

    @property
    def error_prefix(self) -> str:
        """The claim in an error message."""
        return f"Claim {self.id!r}"

    @property
    @abstractmethod
    def compared_arms(self) -> tuple[str, ...]:
        """The arms that must be fair to each other, the one they are compared with first."""

    @property
    @abstractmethod
    def estimate_label(self) -> str:
        """What is estimated, in words."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """What the estimate must be, in words."""

    @property
    @abstractmethod
    def interval_label(self) -> str:
        """What the ends of the interval are, in words."""

    @abstractmethod
    def measure(self, evidence: Evidence, family: int) -> Measurement:
        """What the records say; `family` is the number of claims that are corrected together.

        Raises InvalidClaimError where the records do not hold what the claim needs.
        """

    @property
    def named_arms(self) -> tuple[str, ...]:
        """All arms that decide: those compared, of the A/A pair, and of controls."""
        arms = [*self.compared_arms]
        for name in self.nested_types:
            part = getattr(self, name)
            if part is not None:
                known = {field.name for field in dataclasses.fields(part)}
                arms += [getattr(part, key) for key in ("arm", "control") if key in known]
        return tuple(dict.fromkeys(arms))

    @property
    def named_metrics(self) -> tuple[str, ...]:
        """All metrics and templates that it names, also those that only controls have."""
        return (self.metric,) if self.metric else ()

    def to_dict(self) -> dict[str, Any]:
        """The claim as plain data, with its kind and without keys that are not set."""
        values = {"kind": self.kind, **dataclasses.asdict(self)}
        return {
            key: _number(value) for key, value in values.items() if value not in (None, "", (), [])
        }

    def registered_fields(self) -> dict[str, Any]:
        """What is registered: all that decides, and not the words."""
        return {key: value for key, value in self.to_dict().items() if key not in DESCRIPTIVE_KEYS}

    @property
    def fingerprint(self) -> str:
        """Pre-registration: the first 12 hex digits of SHA-256 over the canonical JSON.

        Canonical is `registered_fields()` with sorted keys and without spaces, in UTF-8.
        """
        text = json.dumps(
            self.registered_fields(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @classmethod
    def from_mapping(cls, id: str, mapping: Mapping[str, Any]) -> Self:
        """A claim of this kind. ValueError for keys that are unknown or missing."""
        here = f"Claim {id!r}"
        given = read_claim_keys(cls, here, mapping, reserved="id")
        for name, part in cls.nested_types.items():
            if given.get(name) is not None:
                given[name] = part(**read_claim_keys(part, f"{here}, {name}", given[name]))
        return cls(id=id, **given)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metric, unless it stands for several or there is none."""
        return (self.metric,) if self.metric and "{" not in self.metric else ()

    def check_distinct(self, *arms: str) -> None:
        """Refuse an arm that is to be compared with itself."""
        for arm in arms:
            if arms.count(arm) > 1:
                raise ValueError(f"{self.error_prefix}: {arm!r} cannot be compared with itself.")


@dataclass(frozen=True, kw_only=True)
class StatisticalClaim(Claim):
    """A claim decided by a test over seeds: reproduced, contradicted, or not to be told apart."""

    test_name: ClassVar[str]  # the name of its test, as printed
    has_binary_scores: ClassVar[bool] = (
        False  # scores are 0 or 1: equal ones are no sign of a broken A/A
    )
    nested_types: ClassVar[Mapping[str, type]] = {"aa": AAPair, "positive_control": PositiveControl}

    family: str
    alpha: float = 0.05
    aa: AAPair | None = None
    positive_control: PositiveControl | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_yaml_number(self.alpha, (int, float)) or not 0 < self.alpha < 1:
            raise ValueError(f"{self.error_prefix}: alpha={self.alpha!r} must lie between 0 and 1.")
        for pair in (self.aa, self.positive_control):
            if pair is not None:
                self.check_distinct(pair.arm, pair.control)
        if self.aa and self.aa.delta is not None:
            if not is_yaml_number(self.aa.delta) or self.aa.delta <= 0:
                raise ValueError(
                    f"{self.error_prefix}: aa.delta={self.aa.delta!r} must be a number above 0."
                )
            if self.alpha >= 0.5:
                raise ValueError(
                    f"{self.error_prefix}: alpha={self.alpha} must be below 0.5 for aa.delta."
                )
        if self.positive_control:
            where = f"{self.error_prefix}: positive_control.direction"
            check_one_of(where, self.positive_control.direction, DIRECTIONS)

    @property
    def interval_label(self) -> str:
        """What the ends of the interval are, in words."""
        return f"{100 * (1 - self.alpha):.3g} % interval"

    @property
    def named_metrics(self) -> tuple[str, ...]:
        """Its own, and that of the positive control."""
        control = self.positive_control
        return (*super().named_metrics, *([control.metric] if control else ()))

    @property
    def least_p(self) -> float:
        """The smallest p-value that `n` seeds can give."""
        return 0.0

    def scores(self, evidence: Evidence, arms: Sequence[str]) -> SeedValues:
        """What the claim is about, a number for each seed and arm: here the metric."""
        return evidence.seed_values([(arm, self.metric) for arm in arms], self.n)


def _number(value: Any) -> Any:
    """Numbers in one form, so that 0 and 0.0 are registered alike; also within parts."""
    if isinstance(value, dict):
        return {key: _number(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_number(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value

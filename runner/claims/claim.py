"""Claims: statements that are written before a run, in an experiment's YAML.

This module holds the parts that all kinds share; `runner.claims.kinds` has a file for each kind.
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
DESCRIPTIVE_KEYS = (
    "statement",
    "source",
    "published",
    "published_is",
    "published_effect",
    "contested",
)  # keys without effect on the verdict
PUBLISHED_IS = ("same quantity", "other quantity", "direction only", "nothing", "")
"""The possible relations of the published number to the estimate; "" is not declared."""


@dataclass(frozen=True)
class AAPair:
    """The A/A pair of a claim: one arm twice under other seeds, so that only chance differs.

    With `delta`, the pair must be shown to be equal within +-delta (TOST). It has the unit of the
    claim's estimate. Without `delta`, the rule for arms must not call the pair different.
    """

    arm: str
    control: str
    delta: float | None = None


@dataclass(frozen=True)
class PositiveControl:
    """A difference that is known to exist: a run that does not show it cannot test the claim."""

    metric: str
    arm: str
    control: str
    direction: str


@dataclass(frozen=True, kw_only=True)
class Claim(ABC):
    """A pre-registered statement about the first `n` seeds.

    source, published  where the finding comes from, and the number printed there; they have no
                       effect on the verdict
    published_is       the quantity of the published number: `same quantity` (as the estimate) or
                       `other quantity`; without a number `direction only` or `nothing`
    published_effect   the published difference in the unit of the estimate (`same quantity` only)
    contested          a source that reports otherwise, with its number; the board shows both sides
    equal_cost         a cost (`match.by`): the claim is invalid if the arms differ in it, or in a
                       setting outside their parts
    differs            keys in which the arms may differ all the same, e.g.
                       `[training.warmup_steps]`, because the claim is about them
    """

    kind: ClassVar[str]
    shows_sign: ClassVar[bool] = True  # whether the estimate is written with its sign
    sensitivity: ClassVar[str] = ""  # the meaning of `minimum_detectable_effect` for this kind
    least_n: ClassVar[int] = 2
    nested_types: ClassVar[Mapping[str, type]] = {}

    id: str
    statement: str
    metric: str
    n: int
    source: str
    published: str = ""
    published_is: str = ""
    published_effect: float | None = None
    contested: str = ""
    equal_cost: str | None = None
    differs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_yaml_number(self.n, int) or self.n < self.least_n:
            rule = f"must be a whole number of seeds, at least {self.least_n}"
            raise ValueError(f"{self.error_prefix}: n={self.n!r} {rule}.")
        if self.published_is:
            check_one_of(f"{self.error_prefix}: published_is", self.published_is, PUBLISHED_IS[:-1])
        effect = self.published_effect
        if effect is not None and not is_yaml_number(effect):
            raise ValueError(f"{self.error_prefix}: published_effect={effect!r} must be a number.")
        if effect is not None and self.published_is != "same quantity":
            raise ValueError(
                f"{self.error_prefix}: published_effect needs published_is: same quantity, not "
                f"{self.published_is!r}."
            )
        if not isinstance(self.contested, str):
            raise ValueError(f"{self.error_prefix}: contested={self.contested!r} must be a text.")
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
        """The claim's name at the start of an error message."""
        return f"Claim {self.id!r}"

    @property
    @abstractmethod
    def compared_arms(self) -> tuple[str, ...]:
        """The arms of a fair comparison, the control first."""

    @property
    def compared_pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs (arm, control) that must be equal except for their parts."""
        control, *arms = self.compared_arms
        return tuple((arm, control) for arm in arms)

    @property
    def context_pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs of arms whose settings differ because the claim is about these settings."""
        return ()

    @property
    @abstractmethod
    def estimate_label(self) -> str:
        """The estimated quantity, in words."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """The condition on the estimate, in words."""

    @property
    @abstractmethod
    def interval_label(self) -> str:
        """The name of the interval, in words."""

    @abstractmethod
    def measure(self, evidence: Evidence, family: int) -> Measurement:
        """Measure the claim; `family` is the number of claims that are corrected together.

        Raises:
            InvalidClaimError: the records lack an arm, a metric, seeds or values.
        """

    @property
    def named_arms(self) -> tuple[str, ...]:
        """All arms that affect the verdict: the compared arms, the A/A pair and the controls."""
        arms = [*self.compared_arms]
        for name in self.nested_types:
            nested = getattr(self, name)
            if nested is not None:
                known = {field.name for field in dataclasses.fields(nested)}
                arms += [getattr(nested, key) for key in ("arm", "control") if key in known]
        return tuple(dict.fromkeys(arms))

    @property
    def named_metrics(self) -> tuple[str, ...]:
        """All metrics and templates that the claim names, with the metrics of its controls."""
        return (self.metric,) if self.metric else ()

    @property
    def curve_metrics(self) -> tuple[str, ...]:
        """The metrics whose logged curves the claim reads, instead of their final values."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Return the claim as plain data, with its kind and without keys that are not set."""
        values = {"kind": self.kind, **dataclasses.asdict(self)}
        return {
            key: _number(value) for key, value in values.items() if value not in (None, "", (), [])
        }

    def registered_fields(self) -> dict[str, Any]:
        """Return the registered keys: everything that affects the verdict, without the texts."""
        return {key: value for key, value in self.to_dict().items() if key not in DESCRIPTIVE_KEYS}

    @property
    def fingerprint(self) -> str:
        """The hash of a pre-registration: the first 12 hex digits of SHA-256 of its JSON.

        The JSON is `registered_fields()` with sorted keys and without spaces, in UTF-8.
        """
        text = json.dumps(
            self.registered_fields(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @classmethod
    def from_mapping(cls, id: str, mapping: Mapping[str, Any]) -> Self:
        """Read a claim of this kind.

        Raises:
            ValueError: a key is unknown or missing.
        """
        prefix = f"Claim {id!r}"
        values = read_claim_keys(cls, prefix, mapping, reserved="id")
        for name, nested in cls.nested_types.items():
            if values.get(name) is not None:
                values[name] = nested(**read_claim_keys(nested, f"{prefix}, {name}", values[name]))
        return cls(id=id, **values)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metric, unless it is a template or empty."""
        return (self.metric,) if self.metric and "{" not in self.metric else ()

    def check_distinct(self, *arms: str) -> None:
        """Raise ValueError if an arm is compared with itself."""
        for arm in arms:
            if arms.count(arm) > 1:
                raise ValueError(f"{self.error_prefix}: {arm!r} cannot be compared with itself.")


@dataclass(frozen=True, kw_only=True)
class StatisticalClaim(Claim):
    """A claim that a test over seeds decides: reproduced, contradicted or inconclusive.

    The p-values of all claims of a `family` are Holm-corrected together.
    """

    test_name: ClassVar[str]  # the name of its test, as printed
    has_binary_scores: ClassVar[bool] = (
        False  # scores are 0 or 1: equal scores do not mean a broken A/A pair
    )
    noise_meaning: ClassVar[str] = "upper 95 % bound of the A/A difference"
    needs_aa_pair: ClassVar[bool] = False  # whether step times decide, so that it needs `aa`
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
            key = f"{self.error_prefix}: positive_control.direction"
            check_one_of(key, self.positive_control.direction, DIRECTIONS)

    @property
    def interval_label(self) -> str:
        """The name of the interval, in words."""
        return f"{100 * (1 - self.alpha):.3g} % interval"

    @property
    def named_metrics(self) -> tuple[str, ...]:
        """The claim's metric, and the metric of the positive control."""
        control = self.positive_control
        return (*super().named_metrics, *([control.metric] if control else ()))

    @property
    def least_p(self) -> float:
        """The smallest p-value that `n` seeds can give."""
        return 0.0

    def scores(self, evidence: Evidence, arms: Sequence[str]) -> SeedValues:
        """Return the claim's score of each seed and arm: here the metric."""
        return evidence.seed_values([(arm, self.metric) for arm in arms], self.n)


def _number(value: Any) -> Any:
    """Return whole floats as integers, so that 0 and 0.0 have one hash; also in nested values."""
    if isinstance(value, dict):
        return {key: _number(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_number(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value

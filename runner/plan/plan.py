"""A plan: arms typed and signed, and all that computing and reporting them needs. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner import device
from runner.claims.fairness import ConditionValue
from runner.config import (
    ArmConfig,
    DeviceName,
    Study,
    flatten,
    signature_fields,
)


@dataclass(frozen=True)
class PlannedArm:
    """One arm, ready to be computed.

    What one would type (a width that was solved included), and what that resolves to.
    """

    name: str
    overrides: tuple[str, ...]
    config: ArmConfig
    device: DeviceName
    data: str
    signature_text: str
    signature: str
    code: str

    @property
    def conditions(self) -> dict[str, ConditionValue]:
        """All that a comparison must have equal: what is no part."""
        kept = ("model", "task")
        tree = {
            name: signature_fields(part)
            for name, part in vars(self.config.parts).items()
            if name in kept
        }
        tree |= {
            name: signature_fields(getattr(self.config, name))
            for name in ("training", "device", "options", "match")
        }
        tree["device"]["name"] = self.device.value
        return flatten(tree) | {"data": self.data}


@dataclass(frozen=True)
class Plan:
    """A study, resolved.

    `notes` are lines for the user: what was read, skipped, ignored or slow. `text_hashes` are the user's
    own texts: where each is, and a hash of what was read there.
    """

    study: Study
    experiment: str
    arms: tuple[PlannedArm, ...]
    seeds: tuple[int, ...]
    outputs: Path
    config_yaml: str
    command: str
    started: str
    preset_tolerance: float  # the preset's match.tolerance
    typed_settings: tuple[str, ...] = ()  # what was typed and changes what is trained or measured
    notes: list[str] = field(default_factory=list)
    text_hashes: Mapping[str, str] = field(default_factory=dict)


def count_workers(study: Study, trials: int) -> int:
    """How many of so many trials are computed at a time."""
    return min(device.cores() if study.workers == "auto" else int(study.workers), trials)


def effective_baseline(arms: Sequence[PlannedArm], study: Study) -> str:
    """The arm that others are compared with: the baseline, or where it is not computed another.

    The first that shares the baseline's seeds and is no control, else the first of all.
    """
    names = {arm.name: arm.config.seed_offset for arm in arms}
    if study.baseline in names:
        return study.baseline
    fit = [n for n, offset in names.items() if not offset and n not in study.controls]
    return next(iter(fit or names))

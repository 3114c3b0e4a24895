"""A plan: arms with signatures, and all settings that computing and reporting need. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.claims.fairness import ConditionValue
from runner.config import ArmConfig, DeviceName, Study, flatten, signature_fields
from runner.plan import gpus, launchers


@dataclass(frozen=True)
class PlannedArm:
    """One arm whose config, data and code are final.

    Attributes:
        overrides: the overrides that a user would type for it, with its matched width.
        config: the typed config that the overrides resolve to.
        data: the fingerprint of its training data.
        signature_text: the text that the signature hashes.
        signature: the hash that names the arm's folder in the store.
        code: the hash of the code that computes its trials.
        plugins: the modules of plug-ins that its trials import.
    """

    name: str
    overrides: tuple[str, ...]
    config: ArmConfig
    device: DeviceName
    data: str
    signature_text: str
    signature: str
    code: str
    plugins: tuple[str, ...] = ()

    @property
    def conditions(self) -> dict[str, ConditionValue]:
        """The settings that two arms of a comparison must share: all but the parts they compare."""
        shared = ("model", "task")
        tree = {
            name: signature_fields(part)
            for name, part in vars(self.config.parts).items()
            if name in shared
        }
        tree |= {
            name: signature_fields(getattr(self.config, name))
            for name in ("training", "device", "options", "match")
        }
        tree["device"]["name"] = self.device.value
        return flatten(tree) | {"data": self.data}


@dataclass(frozen=True)
class Plan:
    """A resolved study.

    Attributes:
        experiment: the question's own name, which its folder in `outputs` has.
        preset_tolerance: the preset's `match.tolerance`.
        typed_settings: typed overrides that change the training or the measurements.
        notes: lines for the user about data, and about settings that are skipped, ignored or slow.
        setting_notes: those of the notes that are about the settings of arms, such as a typed key
            that some arms lack; a sweep repeats them.
        plugins: the plug-ins that its trials import, see `runner.plan.code_hash`.
        text_hashes: for each of the user's own texts its path, and a hash of its content.
    """

    study: Study
    experiment: str
    arms: tuple[PlannedArm, ...]
    seeds: tuple[int, ...]
    outputs: Path
    config_yaml: str
    command: str
    started: str
    preset_tolerance: float
    typed_settings: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    setting_notes: tuple[str, ...] = ()
    text_hashes: Mapping[str, str] = field(default_factory=dict)
    plugins: Sequence[Mapping[str, str]] = ()

    @property
    def page(self) -> str:
        """The name of the page that computes the study."""
        return self.study.code or self.experiment


def count_workers(study: Study, n_trials: int, arms: Sequence[PlannedArm] = ()) -> int:
    """Return the number of parallel trials, at most `n_trials`.

    `workers=auto` is one for each core that this process may use. If an arm is computed on cuda, it
    is `device.trials_per_gpu` for each GPU.
    """
    if study.workers != "auto":
        return min(int(study.workers), n_trials)
    per_gpu = [a.config.device.trials_per_gpu for a in arms if a.device is DeviceName.cuda]
    workers = max(1, len(gpus.visible_gpus())) * min(per_gpu) if per_gpu else launchers.job_cores()
    return min(workers, n_trials)


def effective_baseline(arms: Sequence[PlannedArm], study: Study) -> str:
    """Return the arm that others are compared with: the baseline, if it is among these arms.

    Otherwise it is the first arm without a seed offset that is not a control, else the first arm.
    """
    names = {arm.name: arm.config.seed_offset for arm in arms}
    if study.baseline in names:
        return study.baseline
    suitable = [n for n, offset in names.items() if not offset and n not in study.controls]
    return next(iter(suitable or names))

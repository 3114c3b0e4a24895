"""From a composed config to a plan: arms typed and signed before anything is written. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hydra import compose
from omegaconf import DictConfig, open_dict

from runner import device, registry
from runner.claims.copies import originals
from runner.config import (
    ArmConfig,
    By,
    DeviceName,
    Evaluation,
    Planning,
    Scale,
    Study,
)
from runner.plan import arguments, checks, choosing, code, memory, mentions, moved, seeding
from runner.plan.composing import compose_arms
from runner.plan.data import Data, writable
from runner.plan.explaining import about
from runner.plan.outline import Outline, outline
from runner.plan.plan import Arm, Plan, stand_in, workers
from runner.plan.questions import check_header
from runner.plan.reading import deleted, read_study
from runner.plan.resolved import as_yaml
from runner.records import provenance, store


@about("")
def plan(
    config: DictConfig,
    overrides: Sequence[str],
    *,
    command: str = "",
    arms: Mapping[str, list[str]] | None = None,
    evaluation: Evaluation = Evaluation.report,
    texts: Mapping[str, str] | None = None,
) -> Plan:
    """Resolve a composed config and the overrides it came from; `command` is what a user typed.

    With `arms` it is these that are computed, beside those of the config that they are matched to.
    `evaluation` is what judges their trials. `texts` are those of an earlier plan of the same
    command, which must not have changed.

    Raises:
        ConfigError: with the errors of all arms, a line each.
    """
    check_header(config, overrides)
    with open_dict(config):
        config.update(deleted(config))
    study = choosing.choose(read_study(config), overrides)
    experiment = checks.check_choice(study, overrides)
    moved.load(study.plugins)  # a launcher's process has not seen the command line
    if arms is not None:
        study = replace(study, arms={**study.arms, **arms})
    checks.check_baseline(study)
    told = outline(study)
    composed = compose_arms(study, overrides, None if arms is None else list(arms))
    checks.check_controls(study, told)
    empty = mentions.check(study, told, composed.arms, overrides)
    devices = {name: device.resolve(arm.device) for name, arm in composed.arms.items()}
    tuned = study.tune.key is not None and evaluation is Evaluation.report
    notes = composed.notes + empty + before_data(study, composed.arms, devices, told, tuned=tuned)
    # Times of one machine are never mixed with another's.
    machine = provenance.machine() if registry.timed(experiment) else None
    only = study.plan is Planning.only
    outputs = writable(Path(study.outputs), experiment, probe=not only)
    codes = code.hashes(composed.arms, study.plugins)
    planned, data_of = [], Data(outputs, evaluation, dict(texts or {}), keep=not only)
    for name, composed_arm in composed.arms.items():
        data = data_of.prepare(composed_arm)
        arm = replace(composed_arm, evaluation=evaluation, data=data)
        where = devices[name]
        tree = arm.tree()
        tree["device"]["name"] = where.value
        text = store.signed(tree, data, machine)
        typed_arm = (*study.arms[name], *solved_width(arm, name, composed.held[name]))
        signature, hashed = store.signature(text), codes[name]
        planned.append(Arm(name, typed_arm, arm, where, data, text, signature, hashed))
    seeds = tuple(range(study.seed, study.seed + study.n_seeds))
    baseline = stand_in(planned, study)
    if study.baseline not in (None, baseline):
        notes.append(f"baseline {study.baseline} is not computed; {baseline} stands in for it")
    notes += other_seeds(planned, baseline)
    if study.scale is not Scale.smoke:
        notes += checks.too_few_seeds(told, study, planned)
    notes += memory.beside_each_other(planned, workers(study, len(planned) * len(seeds)))
    return Plan(
        study=study,
        experiment=experiment,
        arms=tuple(planned),
        seeds=seeds,
        outputs=outputs,
        config_yaml=as_yaml(study, planned),
        command=command or arguments.command(overrides),
        started=provenance.now(),
        tolerance=preset_tolerance(config, study, overrides),
        typed=tuple(settings(overrides)),
        notes=notes + data_of.lines + same_arms(planned),
        texts=data_of.texts,
    )


def before_data(
    study: Study,
    arms: Mapping[str, ArmConfig],
    devices: Mapping[str, DeviceName],
    told: Outline,
    *,
    tuned: bool,
) -> list[str]:
    """Refuse what seeds, claims, devices, memory and tuning do not allow; what is slow or ignored.

    Data come after this: sizes that are refused here may take minutes or all memory to prepare.
    """
    seeding.check_seeds(study, arms)
    seeding.check_copies(arms, study, told.claims)
    if study.scale is not Scale.smoke:
        checks.check_claims(told.claims)
    notes: list[str] = []
    for name, where in devices.items():
        warnings = device.warnings(arms[name].device, where)
        notes += [line for line in warnings if line not in notes]
    memory.check(arms, devices)
    if tuned:
        checks.check_tuning(study.tune, arms)
        seeding.check_tuning_seeds(study, arms)
    return notes


def preset_tolerance(config: DictConfig, study: Study, overrides: Sequence[str]) -> float:
    """The share of the cost that may be left, as the experiment and its preset have it."""
    typed = any(text.lstrip("+~").startswith("match") for text in overrides)
    if typed:
        chosen = [f"experiment={study.experiment}", f"scale={study.scale.value}"]
        choice = next((t for t in overrides if t.lstrip("+").startswith("experiment=")), chosen[0])
        config = compose("config", overrides=[choice, chosen[1]])
    return float(config.match.tolerance)


def settings(overrides: Sequence[str]) -> list[str]:
    """The typed overrides that change what arms train or measure; claims are then of these."""
    sections = {"training", "model", "options", "match", *registry.groups()}
    return [
        text.lstrip("+")
        for text in overrides
        if text.lstrip("+~").partition("=")[0].partition(".")[0] in sections
    ]


def other_seeds(arms: Sequence[Arm], baseline: str) -> list[str]:
    """A line for arms whose seeds are not the baseline's, though they are copies of no arm."""
    copies = originals({arm.name: arm.config.tree() for arm in arms})
    offsets = {arm.name: arm.config.seed_offset for arm in arms}
    apart = [n for n in offsets if offsets[n] != offsets[baseline] and n not in copies]
    if not apart:
        return []
    return [
        f"not compared with {baseline}, whose seeds (seed_offset) they do not share: "
        f"{', '.join(apart)}"
    ]


def solved_width(arm: ArmConfig, name: str, held: bool) -> list[str]:
    """The override that sets the width which was solved for an arm."""
    if held or arm.match.by is By.none or arm.match.to == name:
        return []
    section, _, key = arm.match.solve.partition(".")
    return [f"{arm.match.solve}={getattr(getattr(arm.parts, section), key)}"]


def same_arms(arms: Sequence[Arm]) -> list[str]:
    """A warning for arms that are the same configuration under two names."""
    lines: list[str] = []
    first: dict[str, str] = {}
    for arm in arms:
        other = first.setdefault(arm.signature, arm.name)
        if other != arm.name:
            lines.append(
                f"arms {other} and {arm.name} are the same configuration: their trials are shared"
            )
    return lines

"""From a composed config to a plan: arms typed and signed before anything is written. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hydra import compose
from omegaconf import DictConfig, open_dict

from runner import device, registry
from runner.claims.aa_pairs import find_aa_pairs
from runner.config import (
    ArmConfig,
    DeviceName,
    Evaluation,
    MatchCost,
    PlanMode,
    Scale,
    Study,
)
from runner.plan import (
    arguments,
    checks,
    code_hash,
    memory,
    moved_imports,
    references,
    seed_checks,
    selection,
)
from runner.plan.composition import compose_arms
from runner.plan.config_reader import defaults_of_deleted_keys, read_study
from runner.plan.config_yaml import format_config_yaml
from runner.plan.data import PreparedData, check_outputs_writable
from runner.plan.error_messages import as_config_error
from runner.plan.experiment_checks import check_experiment_header
from runner.plan.plan import Plan, PlannedArm, count_workers, effective_baseline
from runner.plan.report_spec import ReportSpec, read_report_spec
from runner.records import provenance, store


@as_config_error("")
def make_plan(
    config: DictConfig,
    overrides: Sequence[str],
    *,
    command: str = "",
    arms: Mapping[str, list[str]] | None = None,
    evaluation: Evaluation = Evaluation.report,
    text_hashes: Mapping[str, str] | None = None,
) -> Plan:
    """Resolve a composed config and the overrides it came from; `format_command` is what a user typed.

    With `arms` it is these that are computed, beside those of the config that they are matched to.
    `evaluation` is what judges their trials. `text_hashes` are those of an earlier plan of the same
    command, which must not have changed.

    Raises:
        ConfigError: with the errors of all arms, a line each.
    """
    check_experiment_header(config, overrides)
    with open_dict(config):
        config.update(defaults_of_deleted_keys(config))
    study = selection.select_claims_and_figures(read_study(config), overrides)
    experiment = checks.check_experiment(study, overrides)
    moved_imports.load_plugins(study.plugins)  # a launcher's process has not seen the command line
    if arms is not None:
        study = replace(study, arms={**study.arms, **arms})
    checks.check_baseline(study)
    told = read_report_spec(study)
    composed = compose_arms(study, overrides, None if arms is None else list(arms))
    checks.check_controls(study, told)
    empty = references.check_references(study, told, composed.arms, overrides)
    devices = {name: device.resolve(arm.device) for name, arm in composed.arms.items()}
    tuned = study.tune.key is not None and evaluation is Evaluation.report
    notes = composed.notes + empty + before_data(study, composed.arms, devices, told, tuned=tuned)
    # Times of one machine are never mixed with another's.
    machine = provenance.machine() if registry.has_timing_stage(experiment) else None
    only = study.plan is PlanMode.only
    outputs = check_outputs_writable(Path(study.outputs), experiment, probe=not only)
    codes = code_hash.hash_arms(composed.arms, study.plugins)
    planned, data_of = [], PreparedData(outputs, evaluation, dict(text_hashes or {}), keep=not only)
    for name, composed_arm in composed.arms.items():
        data = data_of.prepare(composed_arm)
        arm = replace(composed_arm, evaluation=evaluation, data=data)
        where = devices[name]
        tree = arm.signature_tree()
        tree["device"]["name"] = where.value
        text = store.signature_text(tree, data, machine)
        typed_arm = (*study.arms[name], *solved_width(arm, name, composed.sets_own_width[name]))
        signature, hashed = store.signature(text), codes[name]
        planned.append(PlannedArm(name, typed_arm, arm, where, data, text, signature, hashed))
    seeds = tuple(range(study.seed, study.seed + study.n_seeds))
    baseline = effective_baseline(planned, study)
    if study.baseline not in (None, baseline):
        notes.append(f"baseline {study.baseline} is not computed; {baseline} stands in for it")
    notes += other_seeds(planned, baseline)
    if study.scale is not Scale.smoke:
        notes += checks.too_few_seeds(told, study, planned)
    notes += memory.note_parallel_memory(planned, count_workers(study, len(planned) * len(seeds)))
    return Plan(
        study=study,
        experiment=experiment,
        arms=tuple(planned),
        seeds=seeds,
        outputs=outputs,
        config_yaml=format_config_yaml(study, planned),
        command=command or arguments.format_command(overrides),
        started=provenance.timestamp(),
        preset_tolerance=preset_tolerance(config, study, overrides),
        typed_settings=tuple(find_typed_settings(overrides)),
        notes=notes + data_of.notes + same_arms(planned),
        text_hashes=data_of.text_hashes,
    )


def before_data(
    study: Study,
    arms: Mapping[str, ArmConfig],
    devices: Mapping[str, DeviceName],
    told: ReportSpec,
    *,
    tuned: bool,
) -> list[str]:
    """Refuse what seeds, claims, devices, memory and tuning do not allow; what is slow or ignored.

    Data come after this: sizes that are refused here may take minutes or all memory to prepare.
    """
    seed_checks.check_seeds(study, arms)
    seed_checks.check_aa_pairs(arms, study, told.claims)
    if study.scale is not Scale.smoke:
        checks.check_claims(told.claims)
    notes: list[str] = []
    for name, where in devices.items():
        warnings = device.warnings(arms[name].device, where)
        notes += [line for line in warnings if line not in notes]
    memory.check_memory(arms, devices)
    if tuned:
        checks.check_tuning(study.tune, arms)
        seed_checks.check_tuning_seeds(study, arms)
    return notes


def preset_tolerance(config: DictConfig, study: Study, overrides: Sequence[str]) -> float:
    """The share of the cost that may be left, as the experiment and its preset have it."""
    typed = any(text.lstrip("+~").startswith("match") for text in overrides)
    if typed:
        chosen = [f"experiment={study.experiment}", f"scale={study.scale.value}"]
        choice = next((t for t in overrides if t.lstrip("+").startswith("experiment=")), chosen[0])
        config = compose("config", overrides=[choice, chosen[1]])
    return float(config.match.tolerance)


def find_typed_settings(overrides: Sequence[str]) -> list[str]:
    """The typed overrides that change what arms train or measure; claims are then of these."""
    sections = {"training", "model", "options", "match", *registry.group_names()}
    return [
        text.lstrip("+")
        for text in overrides
        if text.lstrip("+~").partition("=")[0].partition(".")[0] in sections
    ]


def other_seeds(arms: Sequence[PlannedArm], baseline: str) -> list[str]:
    """A line for arms whose seeds are not the baseline's, though they are copies of no arm."""
    copies = find_aa_pairs({arm.name: arm.config.signature_tree() for arm in arms})
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
    if held or arm.match.by is MatchCost.none or arm.match.to == name:
        return []
    section, _, key = arm.match.solve.partition(".")
    return [f"{arm.match.solve}={getattr(getattr(arm.parts, section), key)}"]


def same_arms(arms: Sequence[PlannedArm]) -> list[str]:
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

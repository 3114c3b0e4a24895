"""Make a plan from a composed config: check it, and resolve and sign its arms. No torch."""

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
    launchers,
    memory,
    part_inspection,
    plugin_packages,
    references,
    report_spec,
    seed_checks,
    selection,
    task_inspection,
)
from runner.plan.composition import compose_arms
from runner.plan.config_reader import defaults_of_deleted_keys, read_study, set_option_defaults
from runner.plan.config_yaml import format_config_yaml
from runner.plan.data import PreparedData, check_outputs_writable
from runner.plan.error_messages import as_config_error
from runner.plan.experiment_checks import check_defaults_order, check_experiment_header
from runner.plan.matching import solved_key
from runner.plan.missing_preset import check_scale_exists, note_missing_preset
from runner.plan.plan import Plan, PlannedArm, count_workers, effective_baseline
from runner.plan.question_names import set_question_name
from runner.plan.report_spec import ReportSpec, read_report_spec
from runner.plan.timed_arms import note_timed_arms
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
    reports: bool = True,
) -> Plan:
    """Make the plan of a study.

    Args:
        config: the composed config.
        overrides: the overrides that the config was composed from.
        command: the command that the user typed; by default it is made from the overrides.
        arms: arms to compute instead of the study's selection, such as tuning variants.
        evaluation: the held-out data that the trials are evaluated on.
        text_hashes: hashes of the user's texts in an earlier plan of the same command. A text that
            has changed since is an error.
        reports: whether a report follows; without one, its limits are not noted.

    Raises:
        ConfigError: the message has the errors of all arms, one line each.
    """
    # Check the header and fill in deleted keys first: the schema needs every key.
    check_experiment_header(config, overrides)
    check_defaults_order(overrides)
    set_question_name(config, overrides)
    # Import plug-ins again: the process of a launcher has not checked the command line. Their
    # questions have the defaults of options, so this comes first.
    plugin_packages.import_all_plugins(config.get("plugins") or [])
    set_option_defaults(config)
    with open_dict(config):
        config.update(defaults_of_deleted_keys(config))
    # Read the study into its schema, and select its claims, figures and experiment.
    study = selection.select_claims_and_figures(read_study(config), overrides)
    experiment = checks.check_experiment(study, overrides)
    check_scale_exists(study, overrides)
    inspector = part_inspection.begin_inspection(study.plugins)
    if arms is not None:
        study = replace(study, arms={**study.arms, **arms})
    # Compose and match the arms. Then check the names in claims, headline and figures.
    checks.check_baseline(study)
    spec = read_report_spec(study)
    composed = compose_arms(study, overrides, None if arms is None else list(arms))
    if not study.headline and not selection.is_key_typed("headline", overrides):
        study = report_spec.with_default_headline(study, composed.arms)
        spec = read_report_spec(study)
    checks.check_controls(study, spec)
    empty = references.check_references(study, spec, composed.arms, overrides)
    inspector.check_arms(composed.arms)
    task_inspection.check_tasks(composed.arms, study.plugins)
    # Refuse everything that can be refused before data are prepared, which may take minutes.
    devices = {name: launchers.resolve_device(arm.device) for name, arm in composed.arms.items()}
    tuned = study.tune.key is not None and evaluation is Evaluation.report
    notes = (
        composed.notes
        + empty
        + inspector.notes
        + check_before_data(study, composed.arms, devices, spec, tuned=tuned)
    )
    # The signature of a timed trial includes the machine: times of two machines must not mix.
    machine = provenance.machine() if registry.has_timing_stage(study.code or experiment) else None
    only = study.plan is PlanMode.only
    outputs = check_outputs_writable(Path(study.outputs), experiment, probe=not only)
    codes = code_hash.hash_arms(composed.arms, study.plugins)
    # Prepare the data of each arm and sign the arm: its signature names its folder in the store.
    planned, data_of = [], PreparedData(outputs, evaluation, dict(text_hashes or {}), keep=not only)
    for name, composed_arm in composed.arms.items():
        data = data_of.prepare(composed_arm)
        arm = replace(composed_arm, evaluation=evaluation, data=data)
        resolved = devices[name]
        tree = arm.signature_tree()
        tree["device"]["name"] = resolved.value
        text = store.signature_text(tree, data, machine)
        # The overrides include the matched width, so that a user can repeat this arm alone.
        typed_arm = (
            *study.arms[name],
            *matched_width_override(arm, name, composed.sets_own_width[name]),
        )
        signature, hashed = store.signature(text), codes[name]
        modules = code_hash.trial_plugins(arm, study.plugins)
        planned.append(
            PlannedArm(name, typed_arm, arm, resolved, data, text, signature, hashed, modules)
        )
    seeds = tuple(range(study.seed, study.seed + study.n_seeds))
    # A job of a sweep may compute a part of the study, and leave the report to the command.
    if reports:
        notes += note_report_limits(study, spec, planned)
    notes += note_missing_preset(study, overrides)
    # The memory of trials that run at the same time adds up.
    notes += memory.note_parallel_memory(
        planned, count_workers(study, len(planned) * len(seeds), planned)
    )
    same_arms = note_same_arms(planned)
    return Plan(
        study=study,
        experiment=experiment,
        arms=tuple(planned),
        seeds=seeds,
        outputs=outputs,
        # The run folder keeps these two, so that the user can repeat the command.
        config_yaml=format_config_yaml(study, planned),
        command=command or arguments.format_command(overrides),
        started=provenance.timestamp(),
        # The report says how far the user's settings are from those of the preset.
        preset_tolerance=preset_tolerance(config, study, overrides),
        typed_settings=tuple(find_typed_settings(overrides)),
        notes=notes + data_of.notes + same_arms,
        setting_notes=(*composed.notes, *same_arms),
        text_hashes=data_of.text_hashes,
        plugins=code_hash.describe_plugins(composed.arms, study.plugins),
    )


def note_report_limits(study: Study, spec: ReportSpec, planned: Sequence[PlannedArm]) -> list[str]:
    """Return notes on arms and claims that the report will not compare or decide."""
    notes = []
    baseline = effective_baseline(planned, study)
    if study.baseline not in (None, baseline):
        notes.append(f"baseline {study.baseline} is not computed; {baseline} takes its place")
    notes += note_other_seeds(planned, baseline)
    # A smoke run decides nothing, so that few seeds are expected.
    if study.scale is not Scale.smoke:
        notes += checks.too_few_seeds(spec, study, planned)
        notes += checks.too_few_points(spec, planned)
    return [*notes, *note_timed_arms(spec, planned)]


def check_before_data(
    study: Study,
    arms: Mapping[str, ArmConfig],
    devices: Mapping[str, DeviceName],
    spec: ReportSpec,
    *,
    tuned: bool,
) -> list[str]:
    """Check seeds, claims, devices, memory and tuning; return notes on slow or ignored settings.

    Data are prepared after this check: data of a refused size may take minutes or all memory.
    """
    seed_checks.check_seeds(study, arms)
    seed_checks.check_aa_pairs(arms, study, spec.claims)
    if study.scale is not Scale.smoke:
        checks.check_claims(spec.claims)
    notes: list[str] = []
    for name, resolved in devices.items():
        warnings = device.warnings(arms[name].device, resolved)
        notes += [line for line in warnings if line not in notes]
    memory.check_memory(arms, devices)
    if tuned:
        checks.check_tuning(study.tune, arms)
        seed_checks.check_tuning_seeds(study, arms)
    return notes


def preset_tolerance(config: DictConfig, study: Study, overrides: Sequence[str]) -> float:
    """Return `match.tolerance` of the experiment and its preset, without typed overrides."""
    typed = any(text.lstrip("+~").startswith("match") for text in overrides)
    if typed:
        preset = [f"experiment={study.experiment}", f"scale={study.scale.value}"]
        choice = next((t for t in overrides if t.lstrip("+").startswith("experiment=")), preset[0])
        config = compose("config", overrides=[choice, preset[1]])
    return float(config.match.tolerance)


def find_typed_settings(overrides: Sequence[str]) -> list[str]:
    """Return the typed overrides that change the training or measurements, and so the claims."""
    sections = {"training", "model", "options", "match", *registry.group_names()}
    return [
        text.lstrip("+")
        for text in overrides
        if text.lstrip("+~").partition("=")[0].partition(".")[0] in sections
    ]


def note_other_seeds(arms: Sequence[PlannedArm], baseline: str) -> list[str]:
    """Return a note on arms that are compared with nothing: other seeds, but not in an A/A pair."""
    originals = find_aa_pairs({arm.name: arm.config.signature_tree() for arm in arms})
    offsets = {arm.name: arm.config.seed_offset for arm in arms}
    unpaired = [n for n in offsets if offsets[n] != offsets[baseline] and n not in originals]
    if not unpaired:
        return []
    return [
        f"not compared with {baseline}, since their seeds differ (seed_offset): "
        f"{', '.join(unpaired)}"
    ]


def matched_width_override(arm: ArmConfig, name: str, sets_own_width: bool) -> list[str]:
    """Return the override that sets the matched width of an arm; none for an unmatched arm."""
    width = solved_key(arm)
    if width is None or sets_own_width or arm.match.by is MatchCost.none or arm.match.to == name:
        return []
    section, _, key = width.partition(".")
    return [f"{width}={getattr(getattr(arm.parts, section), key)}"]


def note_same_arms(arms: Sequence[PlannedArm]) -> list[str]:
    """Return notes on arms that have the same configuration under two names."""
    lines: list[str] = []
    first: dict[str, str] = {}
    for arm in arms:
        other = first.setdefault(arm.signature, arm.name)
        if other != arm.name:
            lines.append(
                f"arms {other} and {arm.name} have the same configuration and share their trials"
            )
    return lines

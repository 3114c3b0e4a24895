"""Checks of a plan before any training: errors and notes on whether it can give valid answers."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

from runner import registry
from runner.claims.aa_pairs import find_aa_pairs
from runner.claims.claim import Claim, StatisticalClaim
from runner.claims.evidence import InvalidClaimError
from runner.claims.kinds.curve_slope import LEAST_POINTS, CurveSlope
from runner.claims.noise import NEEDS_AA_PAIR, lacks_aa_pair
from runner.claims.preconditions import check_confirmable
from runner.config import ArmConfig, ConfigError, Study, Training, Tune
from runner.plan import estimates
from runner.plan.experiment_checks import check_experiment_code, describe_missing_experiment
from runner.plan.plan import PlannedArm
from runner.plan.report_spec import ReportSpec
from runner.stats.standing import least_deciding_seeds
from runner.wording.names import name_hint
from runner.wording.output import join_names, truncate_middle


def check_experiment(study: Study, overrides: Sequence[str]) -> str:
    """Return the chosen experiment.

    Raises:
        ConfigError: no experiment is chosen, it is unknown, or a YAML file names plug-ins.
    """
    experiment, page = study.experiment, study.code or study.experiment
    if experiment is None or page not in registry.experiment_names():
        raise ConfigError(describe_missing_experiment(page, overrides))
    check_experiment_code(page)
    if study.plugins and not any(text.lstrip("+").startswith("plugins=") for text in overrides):
        raise ConfigError("plugins run code: name them on the command line, not in a YAML file")
    return experiment


def check_baseline(study: Study) -> None:
    """Raise ConfigError for a baseline that is not the name of an arm."""
    if study.baseline is not None and study.baseline not in study.arms:
        raise ConfigError(
            f"baseline={study.baseline}: there is no such arm; "
            f"{name_hint(study.baseline, study.arms)}"
        )


def check_controls(study: Study, report_spec: ReportSpec) -> None:
    """Raise ConfigError for controls or headlines whose arms do not fit.

    Each control and each baseline of a headline must be an arm; a control cannot be a baseline.
    """
    for headline in report_spec.headline:
        if headline.baseline is not None and headline.baseline not in study.arms:
            raise ConfigError(
                f"headline {headline.metric}: baseline={headline.baseline}: there is no such arm; "
                f"{name_hint(headline.baseline, study.arms)}"
            )
        if headline.baseline in study.controls:
            raise ConfigError(
                f"headline {headline.metric}: its baseline {headline.baseline} is a control; give "
                "another baseline"
            )
    for name in study.controls:
        if name not in study.arms:
            raise ConfigError(f"controls: there is no arm {name}; {name_hint(name, study.arms)}")
        if name == study.baseline:
            raise ConfigError(
                f"controls: {name} is the baseline; give other controls or another baseline"
            )


def check_claims(claims: Sequence[Claim]) -> None:
    """Raise ConfigError for a claim that no results could confirm.

    Its number of seeds may be too small; then the message has the least number that could. Or it is
    about time or memory, and lacks an A/A pair.
    """
    tested = [claim for claim in claims if isinstance(claim, StatisticalClaim)]
    for claim in tested:
        if lacks_aa_pair(claim, registry.metric(claim.metric).unit):
            arm = claim.compared_arms[0]
            raise ConfigError(
                f"claims.{claim.id}: {NEEDS_AA_PAIR}; add a copy, e.g. "
                f"'+arms.x={{copy_of: {arm}}}', and to the claim aa: {{arm: x, control: {arm}}}"
            )
        family = [other for other in tested if other.family == claim.family]
        try:
            check_confirmable(claim, family)
        except InvalidClaimError as error:
            raise ConfigError(f"claims.{claim.id}: {error}") from error


def too_few_seeds(report_spec: ReportSpec, study: Study, arms: Sequence[PlannedArm]) -> list[str]:
    """Return notes on the claims and comparisons that this number of seeds can never decide."""
    lines = []
    undecided = [claim for claim in report_spec.claims if claim.n > study.n_seeds]
    if undecided:
        n_needed = max(claim.n for claim in undecided)
        names = ", ".join(claim.id for claim in undecided)
        lines.append(
            f"with {study.n_seeds} of {n_needed} seeds these claims will be invalid: {names}; "
            f"set n_seeds={n_needed} to decide them"
        )
    copies = find_aa_pairs({arm.name: arm.config.signature_tree() for arm in arms})
    under_study = [a for a in arms if a.name not in copies and a.name not in study.controls]
    n_compared = max(Counter(_task_kind(arm) for arm in under_study).values(), default=0)
    uncertain = [h for h in report_spec.headline if not registry.metric(h.metric).deterministic]
    n_deciding = least_deciding_seeds()
    if n_compared > 1 and uncertain and study.n_seeds < n_deciding:
        seeds = "1 seed" if study.n_seeds == 1 else f"{study.n_seeds} seeds"
        lines.append(
            f"with {seeds} no arm can be called better or worse, regardless of the results; set "
            f"n_seeds={n_deciding} or more"
        )
    return lines


def too_few_points(report_spec: ReportSpec, arms: Sequence[PlannedArm]) -> list[str]:
    """Return a note for each claim on the slope of a curve that will have too few points."""
    lines = []
    for claim in report_spec.claims:
        if not isinstance(claim, CurveSlope):
            continue
        counts = {
            arm.name: _count_points(claim, arm.config.training)
            for arm in arms
            if arm.name in claim.named_arms
        }
        if counts and min(counts.values()) < LEAST_POINTS:
            arm = min(counts, key=counts.__getitem__)
            key = "log_every" if claim.metric.startswith("train/") else "eval_every"
            lines.append(
                f"claims.{claim.id} will be invalid: {arm} logs {claim.metric} at {counts[arm]} "
                f"steps between {claim.start:g} and {claim.end:g} of its training, and a slope "
                f"needs {LEAST_POINTS}; lower training.{key}"
            )
    return lines


def _count_points(claim: CurveSlope, training: Training) -> int:
    """Return the most steps in a claim's part of the training at which its metric can be logged."""
    intervals = {training.eval_every, training.log_every}
    if claim.metric.startswith("train/"):
        intervals = {training.log_every}
    elif claim.metric.startswith("val/"):
        intervals = {training.eval_every}
    steps = {training.steps}.union(*(range(0, training.steps + 1, each) for each in intervals))
    low, high = claim.start * training.steps, claim.end * training.steps
    return sum(low <= step <= high and (step > 0 or claim.x == "step") for step in steps)


def _task_kind(arm: PlannedArm) -> str:
    """Return the kind of an arm's task; arms of different tasks are never compared."""
    return str(getattr(getattr(arm.config.parts, "task", None), "kind", ""))


def check_tuning(tune: Tune, arms: Mapping[str, ArmConfig]) -> None:
    """Raise ConfigError where an arm lacks the tuned key, or its trials do not record the metric.

    The message has similar names, or the arms to choose instead.
    """
    assert tune.key is not None
    keys = {name: numeric_keys(arm) for name, arm in arms.items()}
    arms_without = [name for name in arms if tune.key not in keys[name]]
    if arms_without:
        reason = describe_missing_name(tune.key, arms_without, keys, "so it cannot be tuned")
        raise ConfigError(f"tune.key={truncate_middle(tune.key, 80)}: {reason}")
    metrics = {name: estimates.expected_metrics(arm) for name, arm in arms.items()}
    arms_without = [name for name in arms if not metrics[name].has(tune.metric)]
    if arms_without:
        names_by_arm = {name: metrics[name].names for name in arms}
        reason = describe_missing_name(
            tune.metric, arms_without, names_by_arm, "so it cannot rank the values"
        )
        raise ConfigError(f"tune.metric={truncate_middle(tune.metric, 80)}: {reason}")


def describe_missing_name(
    word: str, arms_without: Sequence[str], known: Mapping[str, Collection[str]], consequence: str
) -> str:
    """Return the reason of an error about a key or metric that some or all arms lack."""
    if len(arms_without) == len(known):
        return f"no arm has it; {name_hint(word, set[str]().union(*known.values()))}"
    arms_with = [name for name in known if name not in arms_without]
    return (
        f"{join_names(arms_without)} {'lacks' if len(arms_without) == 1 else 'lack'} it, "
        f"{consequence}; choose other arms, e.g. 'arm=[{','.join(arms_with[:3])}]'"
    )


def numeric_keys(arm: ArmConfig) -> set[str]:
    """Return the keys of an arm that take a number, and so can be tuned over a grid."""
    sections = {"training": arm.training, "options": arm.options, **vars(arm.parts)}
    return {
        f"{section}.{name}"
        for section, options in sections.items()
        for name, annotation in get_type_hints(type(options)).items()
        if takes_a_number(annotation) and hasattr(options, name)
    }


def takes_a_number(annotation: object) -> bool:
    """Return whether a key of this type takes a number; it may be null too (`int | None`)."""
    return bool({int, float} & {annotation, *get_args(annotation)}) and get_origin(annotation) in (
        None,
        Union,
        UnionType,
    )

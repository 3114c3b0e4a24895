"""What a plan refuses or says before anything is trained, so that an answer can be believed."""

from collections.abc import Collection, Mapping, Sequence
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

from runner import registry
from runner.claims.aa_pairs import find_aa_pairs
from runner.claims.claim import Claim, StatisticalClaim
from runner.claims.evidence import InvalidClaimError
from runner.claims.preconditions import check_confirmable
from runner.config import ArmConfig, ConfigError, Study, Tune
from runner.plan import estimates
from runner.plan.experiment_checks import check_experiment_code, describe_missing_experiment
from runner.plan.plan import PlannedArm
from runner.plan.report_spec import ReportSpec
from runner.stats.standing import least_deciding_seeds
from runner.wording.names import name_hint
from runner.wording.output import join_names, truncate_middle


def check_experiment(study: Study, overrides: Sequence[str]) -> str:
    """The experiment that is chosen; refuse none, an unknown one, and plug-ins named in YAML."""
    experiment = study.experiment
    if experiment is None or experiment not in registry.experiment_names():
        raise ConfigError(describe_missing_experiment(experiment, overrides))
    check_experiment_code(experiment)
    if study.plugins and not any(text.lstrip("+").startswith("plugins=") for text in overrides):
        raise ConfigError("plugins run code, so they are named on the command line and not in YAML")
    return experiment


def check_baseline(study: Study) -> None:
    """Refuse a baseline that is no arm."""
    if study.baseline is not None and study.baseline not in study.arms:
        raise ConfigError(
            f"baseline={study.baseline}: there is no such arm; {name_hint(study.baseline, study.arms)}"
        )


def check_controls(study: Study, told: ReportSpec) -> None:
    """Refuse controls and headlines' baselines that are no arms, and a control as a baseline."""
    for headline in told.headline:
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
            raise ConfigError(
                f"controls names {name}: there is no such arm; {name_hint(name, study.arms)}"
            )
        if name == study.baseline:
            raise ConfigError(
                f"controls names {name}, the baseline; give other controls or another baseline"
            )


def check_claims(claims: Sequence[Claim]) -> None:
    """Refuse claims that their own number of seeds can never decide, before anything is trained.

    Raises:
        ConfigError: with the least number that could.
    """
    tested = [claim for claim in claims if isinstance(claim, StatisticalClaim)]
    for claim in tested:
        family = [other for other in tested if other.family == claim.family]
        try:
            check_confirmable(claim, family)
        except InvalidClaimError as error:
            raise ConfigError(f"claims.{claim.id}: {error}") from error


def too_few_seeds(told: ReportSpec, study: Study, arms: Sequence[PlannedArm]) -> list[str]:
    """Lines on what this number of seeds cannot decide, whatever comes out."""
    lines = []
    short = [claim for claim in told.claims if claim.n > study.n_seeds]
    if short:
        most = max(claim.n for claim in short)
        names = ", ".join(claim.id for claim in short)
        lines.append(
            f"{study.n_seeds} of {most} seeds: these claims will be invalid: {names}; "
            f"n_seeds={most} decides them"
        )
    copies = find_aa_pairs({arm.name: arm.config.signature_tree() for arm in arms})
    under_study = [a.name for a in arms if a.name not in copies and a.name not in study.controls]
    needs = [h for h in told.headline if not registry.metric(h.metric).deterministic]
    enough = least_deciding_seeds()
    if len(under_study) > 1 and needs and study.n_seeds < enough:
        seeds = "1 seed" if study.n_seeds == 1 else f"{study.n_seeds} seeds"
        lines.append(
            f"with {seeds} no arm can be called better or worse, whatever comes out; that takes "
            f"{enough} (n_seeds={enough})"
        )
    return lines


def check_tuning(tune: Tune, arms: Mapping[str, ArmConfig]) -> None:
    """Refuse a key that an arm cannot be tuned by, and a metric that its trials do not record.

    Raises:
        ConfigError: with near names, or with the arms that lack it.
    """
    assert tune.key is not None
    keys = {name: numeric_keys(arm) for name, arm in arms.items()}
    lacking = [name for name in arms if tune.key not in keys[name]]
    if lacking:
        told = lacks(tune.key, lacking, keys, "so that they cannot be tuned by it")
        raise ConfigError(f"tune.key={truncate_middle(tune.key, 80)}: {told}")
    metrics = {name: estimates.expected_metrics(arm) for name, arm in arms.items()}
    lacking = [name for name in arms if not metrics[name].has(tune.metric)]
    if lacking:
        names = {name: metrics[name].names for name in arms}
        told = lacks(tune.metric, lacking, names, "so that it cannot decide")
        raise ConfigError(f"tune.metric={truncate_middle(tune.metric, 80)}: {told}")


def lacks(
    word: str, lacking: Sequence[str], known: Mapping[str, Collection[str]], consequence: str
) -> str:
    """What an error says of a name that some arms lack, or all."""
    if len(lacking) == len(known):
        return f"no arm has it; {name_hint(word, set[str]().union(*known.values()))}"
    others = [name for name in known if name not in lacking]
    return (
        f"{join_names(lacking)} {'has' if len(lacking) == 1 else 'have'} no such thing, {consequence}; "
        f"choose other arms, e.g. 'arm=[{','.join(others[:3])}]'"
    )


def numeric_keys(arm: ArmConfig) -> set[str]:
    """The keys of an arm that a grid of numbers can be set to."""
    sections = {"training": arm.training, "options": arm.options, **vars(arm.parts)}
    return {
        f"{section}.{name}"
        for section, options in sections.items()
        for name, annotation in get_type_hints(type(options)).items()
        if takes_a_number(annotation) and hasattr(options, name)
    }


def takes_a_number(annotation: object) -> bool:
    """Whether a key of this type takes a number, though it may be null now (`int | None`)."""
    return bool({int, float} & {annotation, *get_args(annotation)}) and get_origin(annotation) in (
        None,
        Union,
        UnionType,
    )

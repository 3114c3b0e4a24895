"""Checks that claims, headlines and figures name arms and metrics that exist. No torch."""

from collections.abc import Iterable, Mapping, Sequence

from runner import registry
from runner.claims.claim import Claim
from runner.claims.headline import Headline
from runner.config import ArmConfig, ConfigError, Study
from runner.figures.figure import Figure
from runner.metric_names import STEP_ALONE
from runner.plan import code_hash, estimates
from runner.plan.report_spec import ReportSpec
from runner.wording.names import did_you_mean, name_hint, similar_names
from runner.wording.output import join_names, truncate_middle

FINAL_ONLY = ("time/", "cost/", "train/spike_score")
TRAINING_CURVES = "val/loss or train/loss"


def check_references(
    study: Study, spec: ReportSpec, arms: Mapping[str, ArmConfig], overrides: Sequence[str]
) -> list[str]:
    """Refuse claims and headlines that cannot be answered; return notes on doubtful names.

    A claim of a preset may name a declared metric that the computed arms do not record: the report
    says so. A metric that is declared nowhere, or that the user typed, is an error. Code of
    plug-ins may record any metric, so that with plug-ins an undeclared metric gets a note.

    Args:
        study: the study.
        spec: its claims, headlines and figures.
        arms: the arms that are computed.
        overrides: the overrides of the command line.

    Raises:
        ConfigError: a claim or the subject of a headline names an arm that does not exist. Or
            one of them names a metric that no trial records.
    """
    # After `~arms` the claims and headlines of a preset may name deleted arms.
    if not any(text.startswith("~arms") for text in overrides):
        check_arms(study, spec.claims)
        check_subjects(study, spec.headline)
    if any(code_hash.trial_plugins(arm, study.plugins) for arm in arms.values()):
        return note_undeclared_metrics(spec)
    for headline in spec.headline:
        typed = any(text.lstrip("+").startswith("headline=") for text in overrides)
        check_metric(f"headline {headline.metric}", headline.metric, arms, typed=typed)
    for claim in spec.claims:
        of_claim = {name: arms[name] for name in claim.named_arms if name in arms}
        for metric in claim.named_metrics:
            if metric in claim.curve_metrics:
                check_curve(f"claims.{claim.id}", metric, of_claim or arms)
                continue
            typed = bool(of_claim) and is_typed(claim, overrides)
            check_metric(f"claims.{claim.id}", metric, of_claim if typed else arms, typed=typed)
    return [
        line
        for name, figure in spec.figures.items()
        for line in note_unknown_names(name, figure, study, arms)
    ]


def note_undeclared_metrics(spec: ReportSpec) -> list[str]:
    """Return a note for each metric that is named and that neither ablab nor a page declares."""
    named_by: dict[str, list[str]] = {}
    for headline in spec.headline:
        named_by.setdefault(headline.metric, []).append("headline")
    for claim in spec.claims:
        for metric in claim.named_metrics:
            named_by.setdefault(metric, []).append(f"claims.{claim.id}")
    for name, figure in spec.figures.items():
        for metric in figure.metrics:
            named_by.setdefault(metric, []).append(f"figures.{name}")
    notes = []
    for metric, places in named_by.items():
        if not metric or registry.is_declared_metric(metric):
            continue
        similar = similar_names(metric, sorted(registry.known_metrics()))
        hint = did_you_mean(similar) if similar else "if your code records it, add it to METRICS"
        notes.append(
            f"{truncate_middle(metric, 80)} ({join_names(list(dict.fromkeys(places)))}): no metric "
            f"of this name is declared; {hint}"
        )
    return notes


def check_arms(study: Study, claims: Iterable[Claim]) -> None:
    """Raise ConfigError if a claim names an arm that the study does not have."""
    for claim in claims:
        for name in claim.named_arms:
            if name not in study.arms:
                raise ConfigError(
                    f"claims.{claim.id} names {truncate_middle(name, 80)}: there is no such arm; "
                    f"{name_hint(name, study.arms)}"
                )


def check_subjects(study: Study, headlines: Iterable[Headline]) -> None:
    """Raise ConfigError if the subject of a headline is not an arm of the study."""
    for headline in headlines:
        if headline.subject is not None and headline.subject not in study.arms:
            raise ConfigError(
                f"headline {headline.metric}: subject={headline.subject}: there is no such arm; "
                f"{name_hint(headline.subject, study.arms)}"
            )


def check_metric(
    where: str, metric: str, arms: Mapping[str, ArmConfig], *, typed: bool = False
) -> None:
    """Raise ConfigError if no arm records a metric and the user typed it or it is not declared."""
    if (
        metric
        and not is_recorded(metric, arms)
        and (typed or not registry.is_declared_metric(metric))
    ):
        raise ConfigError(
            f"{where}: no trial records {truncate_middle(metric, 80)}; {metric_hint(metric, arms)}"
        )


def check_curve(where: str, metric: str, arms: Mapping[str, ArmConfig]) -> None:
    """Raise ConfigError if no trial of these arms logs a curve of a metric.

    The page of an experiment may log any declared metric. Times, costs and the spike score are
    final values only.
    """
    is_final = metric.startswith(FINAL_ONLY)
    if is_final or not (registry.is_declared_metric(metric) or is_recorded(metric, arms)):
        why = "is a final value without a curve" if is_final else "is logged by no trial"
        raise ConfigError(
            f"{where}: {truncate_middle(metric, 80)} {why}; "
            + (f"choose a curve, e.g. {TRAINING_CURVES}" if is_final else metric_hint(metric, arms))
        )
    if not any(estimates.expected_metrics(arm).has("val/loss") for arm in arms.values()):
        raise ConfigError(f"{where}: {', '.join(arms)} train nothing, so that there is no curve")


def is_typed(claim: Claim, overrides: Sequence[str]) -> bool:
    """Return whether the command line adds or changes this claim."""
    key = f"claims.{claim.id}"
    return any(text.lstrip("+").startswith((f"{key}=", f"{key}.")) for text in overrides)


def is_recorded(metric: str, arms: Mapping[str, ArmConfig]) -> bool:
    """Return whether a trial of these arms may record a metric or one that a template matches."""
    # Every arm that trains can be timed alone; only claims ask for it.
    metric = "time/step" if metric == STEP_ALONE else metric
    return any(estimates.expected_metrics(arm).may_match(metric) for arm in arms.values())


def metric_hint(metric: str, arms: Mapping[str, ArmConfig]) -> str:
    """Return a hint for an unknown metric: similar names, or some of the recorded metrics."""
    recorded = [estimates.expected_metrics(arm).names for arm in arms.values()]
    return name_hint(metric, set[str]().union(*recorded))


def note_unknown_names(
    name: str, figure: Figure, study: Study, arms: Mapping[str, ArmConfig]
) -> list[str]:
    """Return notes on arms and metrics of a figure that will have no values.

    Figures also show logged curves, so that a declared metric need not be a final value.
    """
    lines = [
        f"figures.{name} names {truncate_middle(arm, 80)}: there is no such arm; "
        f"{name_hint(arm, study.arms)}"
        for arm in figure.arms
        if arm not in study.arms
    ]
    return lines + [
        f"figures.{name}: no trial records {truncate_middle(metric, 80)}; "
        f"{metric_hint(metric, arms)}"
        for metric in figure.metrics
        if metric and not is_recorded(metric, arms) and not registry.is_declared_metric(metric)
    ]

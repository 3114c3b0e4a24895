"""Arms and metrics that claims, headlines and figures name: unknown ones are refused. No torch."""

from collections.abc import Iterable, Mapping, Sequence

from runner import registry
from runner.claims.claim import Claim
from runner.config import ArmConfig, ConfigError, Study
from runner.figures.figure import Figure
from runner.plan import estimates
from runner.plan.report_spec import ReportSpec
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle


def check_references(
    study: Study, told: ReportSpec, arms: Mapping[str, ArmConfig], overrides: Sequence[str]
) -> list[str]:
    """Refuse claims and headlines that cannot be answered; a line for each figure left empty.

    `arms` are those that are computed. What a preset asks about a metric that these arms lack is
    left to the report; a name that is nowhere declared, or that was typed, is a mistake.

    Raises:
        ConfigError: a claim names an arm that is not there; a claim or headline names a metric
            that no trial records.
    """
    if not any(text.startswith("~arms") for text in overrides):  # arms of a preset's claims
        check_arms(study, told.claims)
    if study.plugins:  # their code may record anything
        return []
    for headline in told.headline:
        typed = any(text.lstrip("+").startswith("headline=") for text in overrides)
        check_metric(f"headline {headline.metric}", headline.metric, arms, typed=typed)
    for claim in told.claims:
        of_claim = {name: arms[name] for name in claim.named_arms if name in arms}
        for metric in claim.named_metrics:
            typed = bool(of_claim) and is_typed(claim, overrides)
            check_metric(f"claims.{claim.id}", metric, of_claim if typed else arms, typed=typed)
    return [line for name, one in told.figures.items() for line in empty(name, one, study, arms)]


def check_arms(study: Study, claims: Iterable[Claim]) -> None:
    """Refuse a claim about an arm that the study has not."""
    for claim in claims:
        for name in claim.named_arms:
            if name not in study.arms:
                raise ConfigError(
                    f"claims.{claim.id} names {truncate_middle(name, 80)}: there is no such arm; "
                    f"{name_hint(name, study.arms)}"
                )


def check_metric(
    where: str, metric: str, arms: Mapping[str, ArmConfig], *, typed: bool = False
) -> None:
    """Refuse a metric that none of these arms records and that is declared nowhere, or typed."""
    if (
        metric
        and not is_recorded(metric, arms)
        and (typed or not registry.is_declared_metric(metric))
    ):
        raise ConfigError(
            f"{where}: no trial records {truncate_middle(metric, 80)}; {hint(metric, arms)}"
        )


def is_typed(claim: Claim, overrides: Sequence[str]) -> bool:
    """Whether the command line adds this claim or changes it."""
    key = f"claims.{claim.id}"
    return any(text.lstrip("+").startswith((f"{key}=", f"{key}.")) for text in overrides)


def is_recorded(metric: str, arms: Mapping[str, ArmConfig]) -> bool:
    """Whether a trial of one of these arms may record a metric, or one of a template."""
    return any(estimates.expected_metrics(arm).may_match(metric) for arm in arms.values())


def hint(metric: str, arms: Mapping[str, ArmConfig]) -> str:
    """The end of an error about a metric: near names, or some of those that are recorded."""
    recorded = [estimates.expected_metrics(arm).names for arm in arms.values()]
    return name_hint(metric, set[str]().union(*recorded))


def empty(name: str, figure: Figure, study: Study, arms: Mapping[str, ArmConfig]) -> list[str]:
    """Lines for what a figure names and nothing will fill. Figures also show logged curves."""
    lines = [
        f"figures.{name} names {truncate_middle(arm, 80)}: there is no such arm; {name_hint(arm, study.arms)}"
        for arm in figure.arms
        if arm not in study.arms
    ]
    return lines + [
        f"figures.{name}: no trial records {truncate_middle(metric, 80)}; {hint(metric, arms)}"
        for metric in figure.metrics
        if metric and not is_recorded(metric, arms) and not registry.is_declared_metric(metric)
    ]

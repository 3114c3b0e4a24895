"""The report settings of a study, typed: question, headline, claims and figures. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from runner.claims import kinds
from runner.claims.claim import Claim
from runner.claims.headline import Headline, reported_metrics
from runner.config import ArmConfig, ConfigError, Study
from runner.figures.figure import DIFFERENCES, Figure
from runner.figures.kinds import read_figure
from runner.plan import estimates
from runner.wording.names import check_file_name, name_hint


@dataclass(frozen=True)
class ReportSpec:
    """The settings of a report that are known before any trial is computed.

    samples  whether the report shows passages of the data (`report.samples`)
    """

    question: str
    scale: str
    headline: list[Headline]
    claims: list[Claim]
    figures: dict[str, Figure]
    not_tested: list[str]
    samples: bool = True

    @property
    def metrics(self) -> list[str]:
        """The metrics of headlines and claims, each once."""
        return reported_metrics(self.headline, self.claims)


DEFAULT_HEADLINE = {"metric": "val/loss", "direction": "less", "label": "held-out loss"}


def with_default_headline(study: Study, arms: Mapping[str, ArmConfig]) -> Study:
    """Return the study with the held-out loss as its headline, if all arms record it."""
    metric = DEFAULT_HEADLINE["metric"]
    if not all(estimates.expected_metrics(arm).has(metric) for arm in arms.values()):
        return study
    return replace(study, headline=[dict(DEFAULT_HEADLINE)])


def headline(entry: Mapping[str, Any]) -> Headline:
    """Return one metric of the answer. Raises ValueError for missing or unknown keys."""
    known = [f.name for f in fields(Headline)]
    for key in entry:
        if key not in known:
            raise ValueError(f"headline.{key}: there is no such key; {name_hint(str(key), known)}")
    for key in ("metric", "direction", "label"):
        if key not in entry:
            raise ValueError(f"headline {dict(entry)} is missing the key {key}")
    return Headline(**entry)


def headlines(entries: Sequence[Mapping[str, Any]]) -> list[Headline]:
    """Return all headlines. Raises ValueError for a metric that is named twice."""
    parsed = [headline(entry) for entry in entries]
    names = [each.metric for each in parsed]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"headline names {name} {names.count(name)} times; name it once")
    return parsed


def _figure(name: str, keys: Mapping[str, Any]) -> Figure:
    """Return a figure. Raises ValueError for invalid keys, and for the report's own figure."""
    if name == DIFFERENCES:
        raise ValueError(f"figures.{name}: every report has a figure of this name; choose another")
    return read_figure(name, keys)


def read_report_spec(study: Study) -> ReportSpec:
    """Read and check the report settings of a study.

    Raises:
        ConfigError: a headline, claim or figure is invalid.
    """
    for what, names in (("the claim", study.claims), ("the figure", study.figures)):
        for name in names:
            check_file_name(what, str(name))
    try:
        return ReportSpec(
            question=study.question,
            scale=study.scale.value,
            headline=headlines(study.headline),
            claims=[kinds.read_claim(name, claim) for name, claim in study.claims.items()],
            figures={name: _figure(name, keys) for name, keys in study.figures.items()},
            not_tested=study.not_tested,
            samples=study.report.samples,
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error).splitlines()[0]) from error

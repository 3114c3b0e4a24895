"""What a study's YAML says of its report, typed: question, headline, claims, figures. No torch."""

from dataclasses import dataclass

from runner import claims, figures, kinds, record
from runner.config import ConfigError, Study


@dataclass(frozen=True)
class Outline:
    """The part of a report that is written before anything is computed."""

    question: str
    scale: str
    headline: list[record.Headline]
    claims: list[claims.Claim]
    figures: dict[str, figures.FigureSpec]
    not_tested: list[str]


def outline(study: Study) -> Outline:
    """Read and check it all.

    Raises:
        ConfigError: a headline, claim or figure that makes no sense.
    """
    try:
        return Outline(
            question=study.question,
            scale=study.scale.value,
            headline=[record.Headline(**entry) for entry in study.headline],  # type: ignore[arg-type]
            claims=[kinds.read_claim(name, claim) for name, claim in study.claims.items()],
            figures={name: figures.figure_spec(spec) for name, spec in study.figures.items()},
            not_tested=study.not_tested,
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error).splitlines()[0]) from error

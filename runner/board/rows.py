"""The rows of the board: each claim with the study that speaks for it, and studies that disagree.

The first of these differences decides which study speaks for a claim:

1. A study with the settings of its preset precedes a study with other settings.
2. The present wording of the claim precedes an earlier one.
3. A study with all seeds of the claim precedes one with fewer.
4. A larger scale precedes a smaller one.
5. A newer study precedes an older one.
"""

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runner.board.known_claims import DecidingStudy, KnownClaim, is_current
from runner.board.record import ClaimRecord, RunRecord
from runner.config import Scale

NEVER_RUN, TOO_SMALL = "never run", "too small a study"
STANDINGS = (
    *("reproduced", "contradicted", "inconclusive", TOO_SMALL),
    *("invalid", NEVER_RUN),
)
"""The possible standings of a claim, in the order of the counts."""
DECIDED = ("reproduced", "contradicted")
RULE = (
    "A study with the settings of its preset counts before one with other settings. The present "
    "wording of a claim counts before an earlier one. A study with all seeds of the claim counts "
    "before one with fewer. A larger scale counts before a smaller one, and then the newest study "
    "counts. Studies with another verdict are listed below it."
)


@dataclass(frozen=True)
class Judgement:
    """One verdict on a claim, with the record of the run that it comes from."""

    run: RunRecord
    claim: ClaimRecord

    @property
    def is_current(self) -> bool:
        """Whether the claim has its present wording."""
        run = self.run
        return is_current(run.experiment, run.scale, self.claim.id, self.claim.registered)

    @property
    def standing(self) -> str:
        """The verdict; an inconclusive one may be "too small a study"."""
        return TOO_SMALL if self.claim.is_too_small_a_study else self.claim.verdict

    @property
    def has_all_seeds(self) -> bool:
        """Whether the study has as many seeds as the claim needs."""
        return self.claim.n >= self.claim.planned_n

    @property
    def precedence(self) -> tuple[bool, bool, bool, int, datetime.datetime]:
        """The key by which studies are ordered; the largest speaks for the claim."""
        size, time = [*Scale].index(Scale(self.run.scale)), self.run.time
        return not self.run.settings, self.is_current, self.has_all_seeds, size, time

    @property
    def caveats(self) -> list[str]:
        """The conditions that a reader must know: settings, wording, registration, looks."""
        settings = f"with {' '.join(self.run.settings)}" if self.run.settings else ""
        wording = "" if self.is_current else "an earlier wording of the claim"
        registered = "" if self.claim.shipped else "not registered by a release"
        look = f"look {self.run.look} at these arms" if self.run.look > 1 else ""
        return [text for text in (settings, wording, registered, look) if text]


@dataclass(frozen=True)
class BoardRow:
    """One claim: its text, the study that speaks for it, and the studies that disagree."""

    claim: KnownClaim
    chosen: Judgement | None = None
    others: tuple[Judgement, ...] = ()
    is_gone: bool = False

    @property
    def standing(self) -> str:
        """The standing of the claim; "never run" without a study."""
        return self.chosen.standing if self.chosen else NEVER_RUN

    @property
    def next_study(self) -> DecidingStudy | None:
        """The study to run next: the smallest, or a larger one if the study decides nothing."""
        if self.chosen is None:
            return self.claim.study_beyond(None)
        return None if self.is_decided else self.claim.study_beyond(self.chosen.run.scale)

    @property
    def command(self) -> str:
        """The command that decides the claim: that of its study, or of the study to run next."""
        if self.next_study is not None:
            return self.next_study.command
        return self.chosen.run.command if self.chosen else ""

    @property
    def is_decided(self) -> bool:
        """Whether a study has decided the claim."""
        return self.chosen is not None and self.chosen.claim.verdict in DECIDED

    @property
    def reason(self) -> str:
        """The reason why the study decides nothing; "" if it decides the claim."""
        return "" if self.chosen is None or self.is_decided else self.chosen.claim.reason


def make_rows(claims: Sequence[KnownClaim], runs: Sequence[RunRecord]) -> list[BoardRow]:
    """Return a row for each claim, by experiment and id; claims that only a run has come last."""
    known = {(claim.experiment, claim.id): claim for claim in claims}
    judgements: dict[tuple[str, str], list[Judgement]] = {}
    for run in runs:
        for judged in run.claims:
            key = (run.experiment, judged.id)
            judged_now = with_published(judged, known.get(key))
            judgements.setdefault(key, []).append(Judgement(run, judged_now))
    rows = [make_row(claim, judgements.get(key, [])) for key, claim in known.items()]
    for key, judged_here in judgements.items():
        if key not in known:
            newest = max(judged_here, key=lambda one: one.precedence)
            rows.append(make_row(claim_of_record(newest), judged_here, is_gone=True))
    return sorted(rows, key=lambda row: (row.claim.experiment, row.is_gone, row.claim.id))


def with_published(judged: ClaimRecord, known: KnownClaim | None) -> ClaimRecord:
    """Return a judged claim with the published number as the option folder has it now.

    A run of an older version does not know `published_effect`.
    """
    if known is None:
        return judged
    return replace(judged, published_is=known.published_is, published_effect=known.published_effect)


def make_row(
    claim: KnownClaim, judgements: Sequence[Judgement], *, is_gone: bool = False
) -> BoardRow:
    """Return the row of a claim. Of equal verdicts, only the one with precedence is in it."""
    ordered = sorted(judgements, key=lambda one: one.precedence, reverse=True)
    chosen, others = (ordered[0], ordered[1:]) if ordered else (None, [])
    disagreeing = [one for one in others if chosen and one.standing != chosen.standing]
    return BoardRow(claim, chosen, tuple(disagreeing), is_gone)


def claim_of_record(judgement: Judgement) -> KnownClaim:
    """Return the text of a claim as a run has it."""
    run, claim = judgement.run, judgement.claim
    return KnownClaim(
        experiment=run.experiment,
        id=claim.id,
        statement=claim.statement,
        source=claim.source,
        published=claim.published,
        contested=claim.contested,
    )


def count_standings(rows: Sequence[BoardRow]) -> list[tuple[str, int]]:
    """Return the standings that occur with their numbers of claims, in a fixed order."""
    counts = Counter(row.standing for row in rows)
    return [(standing, counts[standing]) for standing in STANDINGS if counts[standing]]

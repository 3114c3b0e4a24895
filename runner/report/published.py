"""Verdicts in relation to the published number of their claim.

`reproduced` means that the statement of the claim holds here. It says nothing about the published
number, unless that number is of the same quantity and the test is about its size.
"""

from enum import StrEnum

from runner.claims.claim import Claim
from runner.claims.directed_difference import DirectedDifference
from runner.claims.finding import Finding, Verdict
from runner.claims.kinds.difference import Difference
from runner.claims.kinds.failure_rate import FailureRate


class ClaimContent(StrEnum):
    """The content of a claim's test: a direction, a limit of the size, or another statement."""

    direction = "direction"
    limit = "limit"
    statement = "statement"


PHRASES = {
    "same quantity": "the published number is of the same quantity",
    "other quantity": "the published number is of another quantity",
    "direction only": "no number is published, only the direction",
    "nothing": "no number is published",
}


TESTED = {
    "same quantity": {
        ClaimContent.direction: ", but its size is not tested",
        ClaimContent.limit: ", but the test has a limit of its own",
    },
    "other quantity": {
        ClaimContent.direction: ": only the direction is tested",
        ClaimContent.limit: ": the test has a limit of its own",
    },
}
NOUNS = {
    ClaimContent.direction: " but not tested",
    ClaimContent.limit: " but tested with another limit",
    ClaimContent.statement: " and tested",
}


def published_phrase(claim: Claim) -> str:
    """Return the quantity of the published number in words; "" if the claim does not declare it."""
    tested = TESTED.get(claim.published_is, {}).get(claim_content(claim), "")
    return PHRASES.get(claim.published_is, "") + tested


def published_noun(claim: Claim) -> str:
    """Return the quantity of the published number, for a list of counts."""
    if claim.published_is in ("direction only", "nothing"):
        return "not printed"
    noun = PHRASES.get(claim.published_is, "").removeprefix("the published number is ")
    return noun + (NOUNS[claim_content(claim)] if claim.published_is == "same quantity" else "")


def verdict_phrase(finding: Finding) -> str:
    """Return the verdict; `reproduced` and `contradicted` are followed by the content of the test.

    A claim that does not declare its published number has the verdict alone.
    """
    claim = finding.claim
    if finding.verdict not in (Verdict.reproduced, Verdict.contradicted) or not claim.published_is:
        return str(finding.verdict)
    content = claim_content(claim)
    if content is ClaimContent.statement and claim.published_is == "same quantity":
        return str(finding.verdict)
    return f"{finding.verdict} ({content})"


def claim_content(claim: Claim) -> ClaimContent:
    """Return the content of a claim's test.

    A difference with a margin or a factor must lie beyond that limit, which is more than a side.
    """
    if isinstance(claim, DirectedDifference):
        is_factor = isinstance(claim, Difference) and claim.times != 1
        has_limit = claim.margin != 0 or is_factor
        return ClaimContent.limit if has_limit else ClaimContent.direction
    if isinstance(claim, FailureRate) and claim.control is not None:
        return ClaimContent.direction
    return ClaimContent.statement

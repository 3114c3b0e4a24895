"""Verdicts in relation to the published number of their claim.

`reproduced` means that the statement of the claim holds here. It says nothing about the published
number, unless that number is of the same quantity and the test is about its size.
"""

from runner.claims.claim import Claim
from runner.claims.finding import Finding, Verdict

PHRASES = {
    "same quantity": "the published number is of the same quantity",
    "other quantity": "the published number is of another quantity",
    "direction only": "no number is published, only the direction",
    "nothing": "no number is published",
}


def published_phrase(claim: Claim) -> str:
    """Return the quantity of the published number in words; "" if the claim does not declare it."""
    phrase = PHRASES.get(claim.published_is, "")
    if claim.published_is == "same quantity" and _is_about_direction(claim):
        return f"{phrase}, but its size is not tested"
    if claim.published_is == "other quantity" and _is_about_direction(claim):
        return f"{phrase}: only the direction is tested"
    return phrase


def published_noun(claim: Claim) -> str:
    """Return the quantity of the published number, for a list of counts."""
    if claim.published_is in ("direction only", "nothing"):
        return "not printed"
    noun = PHRASES.get(claim.published_is, "").removeprefix("the published number is ")
    tested = "" if claim.published_is != "same quantity" else " and tested"
    return f"{noun}{' but not tested' if tested and _is_about_direction(claim) else tested}"


def verdict_phrase(finding: Finding) -> str:
    """Return the verdict; `reproduced` and `contradicted` are followed by the content of the test.

    A claim that does not declare its published number has the verdict alone.
    """
    claim = finding.claim
    if finding.verdict not in (Verdict.reproduced, Verdict.contradicted) or not claim.published_is:
        return str(finding.verdict)
    if _is_about_direction(claim):
        return f"{finding.verdict} (direction)"
    if claim.published_is == "same quantity":
        return str(finding.verdict)
    return f"{finding.verdict} (statement)"


def _is_about_direction(claim: Claim) -> bool:
    """Return whether a claim says which side is greater, and not by how much."""
    return claim.kind == "difference"

"""A verdict's bracket says what its test is about: a direction, a limit, or another statement."""

from typing import Any

import pytest

from runner.claims.finding import Finding, Verdict
from runner.report.published import published_noun, published_phrase, verdict_phrase
from tests.support.claim_tables import claim

FAILURES = {"kind": "failure_rate", "metric": None}
SHARE = {"control": None, "direction": None, "at_most": 0.5}


@pytest.mark.parametrize(
    ("keys", "bracket"),
    [
        ({}, " (direction)"),
        ({"margin": 0.3}, " (limit)"),
        ({"times": 0.65}, " (limit)"),
        (FAILURES, " (direction)"),
        (FAILURES | SHARE, ""),
        ({"kind": "equivalence", "direction": None, "delta": 0.1}, ""),
    ],
)
def test_only_a_test_without_a_limit_is_about_the_direction(keys: dict[str, Any], bracket: str):
    same = claim("c", published_is="same quantity", **keys)
    finding = Finding(same, verdict=Verdict.reproduced, reason="")
    assert verdict_phrase(finding) == f"reproduced{bracket}"
    assert ("size is not tested" in published_phrase(same)) is (bracket == " (direction)")
    assert ("limit of its own" in published_phrase(same)) is (bracket == " (limit)")
    assert published_noun(same).endswith("not tested") is (bracket == " (direction)")
    other = claim("c", published_is="other quantity", **keys)
    assert verdict_phrase(Finding(other, verdict=Verdict.contradicted, reason="")) == (
        f"contradicted{bracket or ' (statement)'}"
    )
    assert ("only the direction" in published_phrase(other)) is (bracket == " (direction)")


def test_a_claim_that_declares_no_published_number_has_its_verdict_alone():
    finding = Finding(claim("c", margin=0.3), verdict=Verdict.reproduced, reason="")
    assert verdict_phrase(finding) == "reproduced"
    assert published_phrase(finding.claim) == ""

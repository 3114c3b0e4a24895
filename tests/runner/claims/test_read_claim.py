"""Reading a claim from YAML, and the errors of invalid claims."""

import pytest

from runner.claims.claim import AAPair, PositiveControl
from runner.claims.kinds import read_claim

YAML = {
    "statement": "s",
    "kind": "difference",
    "metric": "val/loss",
    "arm": "a",
    "control": "b",
    "direction": "less",
    "n": 8,
    "family": "f",
    "source": "somebody 2020",
    "published": None,
    "aa": {"arm": "b2", "control": "b"},
    "positive_control": {"metric": "m", "arm": "x", "control": "b", "direction": "greater"},
}


def test_a_claim_is_read_from_a_mapping():
    read = read_claim("M1", YAML)
    assert read.id == "M1"
    assert (read.alpha, read.published) == (0.05, "")
    assert read.aa == AAPair("b2", "b")
    assert read.positive_control == PositiveControl("m", "x", "b", "greater")
    assert read_claim("M1", YAML | {"aa": None, "alpha": 0.01}).aa is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrik": "x"}, r"'M1': there is no key 'metrik'; did you mean metric\?$"),
        ({"id": "x"}, "'M1': there is no key 'id'; there are: aa, "),
        ({"metric": None}, "missing key metric"),
        ({"kind": "equivalent"}, r"kind='equivalent' is unknown; did you mean equivalence\?$"),
        ({"direction": "grater"}, r"direction='grater' is unknown; did you mean greater\?$"),
        ({"n": "8"}, "n='8' must be a whole number of seeds, at least 2"),
        ({"n": 1}, "n=1 must be a whole number of seeds, at least 2"),
        ({"n": True}, "n=True must be a whole number of seeds, at least 2"),
        ({"published_effect": "big"}, r"published_effect='big' must be a number\.$"),
        ({"published_effect": 1}, "published_effect needs published_is: same quantity, not ''"),
        ({"alpha": 5}, "alpha=5 must lie between 0 and 1"),
        ({"control": "a"}, "'a' cannot be compared with itself"),
        ({"aa": {"arm": "b", "control": "b"}}, "'b' cannot be compared with itself"),
        ({"aa": {"arm": "b2"}}, "aa: missing key control"),
        ({"aa": "b2"}, "aa must be a mapping"),
        (
            {"positive_control": {"arms": "x"}},
            r"positive_control: there is no key 'arms'; did you mean arm\?$",
        ),
        (
            {"positive_control": YAML["positive_control"] | {"direction": "up"}},
            "positive_control.direction='up' is unknown; there are: greater, less",
        ),
    ],
)
def test_a_claim_that_is_written_wrongly_says_what_and_how(change, message):
    with pytest.raises(ValueError, match=message):
        read_claim("M1", YAML | change)

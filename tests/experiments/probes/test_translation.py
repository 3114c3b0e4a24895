"""chrF of sacrebleu, as translations are scored with it."""

import pytest

from experiments.probes.translation import chrf


@pytest.mark.parametrize("text", ["一", "九 十", "十二万三千四百五十六"])
def test_chrf_is_100_for_the_reference_and_0_for_nothing(text: str) -> None:
    score, signature = chrf([text], [text])
    assert score == pytest.approx(100)
    assert "version:" in signature
    assert chrf([""], [text])[0] == 0
    assert 0 < chrf(["九"], ["九 十"])[0] < 100

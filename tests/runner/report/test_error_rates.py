"""A small part of `python -m tests.error_rates`: it fails where a rule is broken.

Left out are what is added up over an answer: the family of all headlines and arms, the level that
looks share, Holm's correction of claims, the share of alpha that an estimated margin costs.
"""

import numpy as np
import pytest

from runner.stats.standing import Contrast, Standing, decide_standings
from tests.error_rates.__main__ import replace_block
from tests.error_rates.answers import (
    PRODUCT_RULE,
    false_answer_cells,
    simulate_printed_effect,
    simulate_repeated_looks,
)
from tests.error_rates.cells import FALSE_RATE_BOUND, Bound, Cell, Share, simulate
from tests.error_rates.verdicts import DECIDED_VERDICTS, simulate_claims, simulate_families


@pytest.mark.parametrize(
    "cell",
    [cell for cell in false_answer_cells(quick=True) if cell.column in ("n = 2", "n = 8")],
    ids=lambda cell: f"{cell.tables['false'][0].rpartition(': ')[2]}, {cell.row}, {cell.column}",
)
def test_no_arm_differs_and_few_answers_say_so(cell):
    share = cell.shares(600)["false"]
    assert FALSE_RATE_BOUND.holds(share), share


def test_all_headlines_of_an_answer_are_one_family():
    """With a family for each headline, 13 % of answers would have a false word."""
    rng, studies, wrong = np.random.default_rng(0), 500, 0
    for values in rng.standard_normal((studies, 4, 3, 8)):  # headlines, arms and baseline, seeds
        contrasts = [Contrast(arm, arms[0], "less") for arms in values for arm in arms[1:]]
        wrong += any(
            found.standing is not Standing.not_distinguished
            for found in decide_standings(contrasts)
        )
    assert FALSE_RATE_BOUND.holds(Share(wrong, studies)), wrong


def test_looking_again_gives_few_false_words(monkeypatch):
    monkeypatch.setattr("runner.stats.standing.standing_detectable_effect", lambda *_: 0.0)  # slow
    rng = np.random.default_rng(1)
    share = simulate_repeated_looks(rng, 1500, rule=PRODUCT_RULE, n_looks=5, family=(3, 3))["false"]
    assert share.value < 0.08, share  # 12 % without the division


def test_the_printed_effect_of_a_word_is_found_in_four_of_five_studies():
    for n, family in ((7, (3, 3)), (8, (1,))):
        share = simulate_printed_effect(np.random.default_rng(n), 1000, n=n, family=family)["found"]
        assert 0.76 <= share.value <= 0.86, share


def test_a_family_of_claims_keeps_its_level():
    share = simulate_families(np.random.default_rng(3), 120, n=10, members=6)["false"]
    assert FALSE_RATE_BOUND.holds(share), share  # 20 % without Holm's correction


def test_a_margin_that_is_estimated_keeps_its_level():
    found = simulate_claims(
        np.random.default_rng(4), 200, kind="equivalence, at delta_aa", noise="normal", n=8
    )
    for verdict in DECIDED_VERDICTS:  # 20 % with the margin taken for known
        assert FALSE_RATE_BOUND.holds(found[str(verdict)]), (verdict, found)


def fixed(hits: int, row: str, *, must: bool = True) -> Cell:
    return Cell(
        {"x": ("T", FALSE_RATE_BOUND)},
        row,
        "n = 8",
        lambda *_: {"x": Share(hits, 1000)},
        is_required=must,
    )


def test_a_cell_above_its_level_has_a_star_and_fails_where_it_must_hold():
    cells = [fixed(70, "a"), fixed(71, "b"), fixed(300, "c", must=False)]
    (table,) = simulate(cells, 1000, workers=1).values()
    assert table.failures == ["T: b, n = 8: 0.0710 of 1000"]
    assert table.markdown().splitlines()[-3:] == ["| a | 7.0 |", "| b | 7.1* |", "| c | 30.0* |"]
    assert Bound(0.8, is_minimum=True).holds(Share(77, 100))
    assert not Bound(0.8, is_minimum=True).holds(Share(67, 100))
    assert FALSE_RATE_BOUND.holds(Share(0, 0))


def test_the_tables_replace_the_marked_block(tmp_path):
    page = tmp_path / "page.md"
    marks = "<!-- tests.error_rates begins -->\n{}\n<!-- tests.error_rates ends -->"
    page.write_text(f"# A\n{marks.format('old')}\nB\n")
    for _ in range(2):
        replace_block(page, "new")
    assert page.read_text() == f"# A\n{marks.format('new')}\nB\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no block"):
        replace_block(page, "new")
    assert page.read_text() == "no marks"

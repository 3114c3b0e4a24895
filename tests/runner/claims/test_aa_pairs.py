"""A/A pairs are detected by the arms' configs, not by their names."""

import pytest

from runner.claims.aa_pairs import find_aa_pairs
from tests.support.sample_study import make_study


def test_an_a_a_pair_differs_in_its_seeds_alone():
    base = {"norm": "pre", "width": 64, "seed_offset": 0}
    pairs = find_aa_pairs(
        {
            "base": base,
            "copy": base | {"seed_offset": 1000},
            "third": base | {"seed_offset": 2000},
            "other": base | {"norm": "post", "seed_offset": 1000},  # another arm
            "same": dict(base),  # the same trials under another name
        }
    )
    assert pairs == {"copy": "base", "third": "base"}


def test_a_study_knows_its_pairs_with_resolved_values_and_without():
    assert make_study().aa_pairs == {"moe_top2_copy": "moe_top2"}
    assert make_study(hparams={}).aa_pairs == {"moe_top2_copy": "moe_top2"}


@pytest.mark.slow
def test_a_solved_width_does_not_hide_a_pair(plan):
    study_plan = plan("experiment=ffn", "scale=quick")
    pairs = find_aa_pairs({arm.name: arm.config.signature_tree() for arm in study_plan.arms})
    assert pairs == {"relu_copy": "relu"}

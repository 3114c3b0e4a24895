"""The claims that we ship: readable, decidable with their seeds, about arms that are computed."""

from itertools import product

import pytest
from hydra import compose

from runner import registry
from runner.claims.claim import StatisticalClaim
from runner.claims.kinds import read_claim
from runner.claims.preconditions import check_confirmable
from runner.plan import estimates
from runner.plan.config_reader import read_study
from runner.plan.option_folders import CONF
from runner.plan.selection import select_claims_and_figures

PRESETS = [
    (experiment, scale)
    for experiment, scale in product(
        sorted(registry.experiment_names()), ("smoke", "quick", "full", "long")
    )
    if (CONF / "preset" / f"{experiment}_{scale}.yaml").exists()
]


def test_every_experiment_has_the_three_scales():
    names = sorted(registry.experiment_names())
    assert {*product(names, ("smoke", "quick", "full"))} < {*PRESETS}
    assert {*product(("ffn", "gqa_vs_mha", "norm_stability"), ("long",))} < {*PRESETS}


def arms_of(claim):
    """Every arm that a claim asks about."""
    named = set(claim.compared_arms)
    pairs = (getattr(claim, part, None) for part in ("aa", "positive_control"))
    for pair in filter(None, pairs):
        named |= {pair.arm, pair.control}
    control = getattr(claim, "control", None)
    return named | ({getattr(control, "arm", control)} - {None})


@pytest.mark.some(7)
@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(("experiment", "scale"), PRESETS)
def test_claims_of_presets_can_be_read_and_decided(experiment, scale):
    config = compose("config", overrides=[f"experiment={experiment}", f"scale={scale}"])
    study = select_claims_and_figures(read_study(config), [])
    chosen = study.arm or list(study.arms)
    claims = [read_claim(name, written) for name, written in study.claims.items()]
    has_claims = experiment != "compare" and (experiment, scale) != ("translation", "quick")
    assert bool(claims) == (scale != "smoke" and has_claims)
    tested = [claim for claim in claims if isinstance(claim, StatisticalClaim)]
    for claim in tested:
        check_confirmable(claim, [other for other in tested if other.family == claim.family])
    for claim in claims:
        assert claim.n <= study.n_seeds
        assert arms_of(claim) <= set(chosen)
        assert claim.source


@pytest.mark.slow
@pytest.mark.parametrize(("experiment", "scale"), PRESETS)
def test_the_arms_of_a_preset_record_every_headline(plan, experiment, scale):
    made = plan(f"experiment={experiment}", f"scale={scale}", "plan=only")
    assert made.study.headline
    for headline in made.study.headline:
        recording = [
            arm.name
            for arm in made.arms
            if estimates.expected_metrics(arm.config).has(headline["metric"])
        ]
        assert recording, headline["metric"]
        if len(recording) > 1:
            baseline = headline.get("baseline") or made.study.baseline
            assert baseline in recording, f"{headline['metric']} of {baseline}"

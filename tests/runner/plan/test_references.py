"""Claims, headlines and figures that name arms or metrics which are nowhere."""

import pytest

from runner.config import ConfigError

TINY = ("experiment=moe", "scale=smoke", "task=waves", "arm=[dense,moe_top2]")


def claim(metric: str = "val/loss", control: str = "dense") -> str:
    keys = f'metric: "{metric}", arm: moe_top2, control: {control}, direction: less, n: 8'
    return f"+claims.mine={{kind: difference, statement: s, source: me, family: F, {keys}}}"


def headline(metric: str, more: str = "") -> str:
    return f"headline=[{{metric: {metric}, direction: less, label: loss{more}}}]"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (claim(control="densee"), "claims.mine names densee: .* did you mean dense"),
        (claim("val/lossy"), "claims.mine: no trial records val/lossy; did you mean val/loss"),
        (claim("moe/load/layer0/expert99"), "claims.mine: no trial records moe/load"),
        (claim("moe/laod/layer{layer}"), "claims.mine: no trial records moe/laod"),
        (
            headline("val/lossy"),
            "headline val/lossy: no trial records .* did you mean val/loss",
        ),
        (
            headline("val/loss", ", subject: moe_top3"),
            "headline val/loss: subject=moe_top3: there is no such arm; did you mean moe_top2",
        ),
    ],
)
def test_a_name_that_is_nowhere_is_refused_before_anything_is_trained(plan, typed, said):
    with pytest.raises(ConfigError, match=said):
        plan(*TINY, typed)


def curve(metric: str, more: str = "kind: curve_slope") -> str:
    keys = f'{more}, metric: "{metric}", arm: moe_top2, direction: less, n: 8'
    return f"+claims.mine={{statement: s, source: me, family: F, {keys}}}"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (curve("val/lossy"), "claims.mine: val/lossy is logged by no trial; did you mean val/loss"),
        (curve("time/step"), "time/step is a final value without a curve; choose a curve, e.g."),
        (
            curve("cost/parameters", "kind: at_equal_seconds, control: dense"),
            "cost/parameters is a final value without a curve",
        ),
    ],
)
def test_a_claim_on_a_curve_that_no_trial_logs_is_refused(plan, typed, said):
    with pytest.raises(ConfigError, match=said):
        plan(*TINY, typed)


def test_a_claim_on_a_curve_needs_an_arm_that_trains(plan):
    typed = curve("val/loss").replace("moe_top2", "fused")
    with pytest.raises(ConfigError, match="fused train nothing, so that there is no curve"):
        plan("experiment=flash_attention", "scale=smoke", "arm=fused", typed)


def test_a_curve_may_be_logged_without_a_final_value(plan):
    plan(*TINY, curve("train/loss"))
    plan(*TINY, curve("moe/load_max_violation"))


def test_a_plan_says_that_a_curve_will_have_too_few_points(plan):
    few = ("scale=quick", "training.steps=100", "training.eval_every=40")
    notes = plan(*TINY, *few, curve("val/loss", "kind: curve_slope, start: 0.5")).notes
    (line,) = [note for note in notes if "points" in note or "logs val/loss" in note]
    assert line == (
        "claims.mine will be invalid: moe_top2 logs val/loss at 2 steps between 0.5 and 1 of its "
        "training, and a slope needs 3; lower training.eval_every"
    )
    notes = plan(*TINY, *few, curve("train/loss", "kind: curve_slope, start: 0.5")).notes
    assert not [note for note in notes if "will be invalid: moe_top2" in note]


def test_a_figure_that_stays_empty_is_told(plan):
    notes = plan(*TINY, "figures.loss.metric=val/lossy", "+figures.loss.arms=[densee]").notes
    assert [line.partition(";")[0] for line in notes if "figures" in line] == [
        "figures.loss names densee: there is no such arm",
        "figures.loss: no trial records val/lossy",
    ]


def test_what_a_preset_asks_of_arms_that_are_not_computed_is_no_mistake(plan):
    made = plan("experiment=moe", "task=waves", "n_seeds=8", "arm=dense", "scale=full")
    assert not [line for line in made.notes if "records" in line]
    plan(*TINY, "~arms.moe_bias", claim("moe/load/layer{layer}/expert{expert}"))


def test_a_subject_may_be_absent_from_the_selected_arms(plan):
    for typed in ("arm=[dense,moe_no_balance]", "~arms.moe_top2_copy", "baseline=moe_top2"):
        assert plan(*TINY[:3], typed).study.headline[0]["subject"] == "moe_top2"


def test_the_report_s_own_figure_cannot_be_replaced(plan):
    with pytest.raises(ConfigError, match=r"figures\.differences: every report has a figure"):
        plan("experiment=moe", "+figures.differences={kind: curve, metric: val/loss, title: x}")

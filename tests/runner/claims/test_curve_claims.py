"""Claims on curves: slopes against NumPy, values at equal seconds by hand, invalid claims."""

import numpy as np
import pandas as pd
import pytest

from runner.claims.evidence import Evidence, InvalidClaimError
from runner.claims.finding import Verdict
from runner.claims.timed_curves import read_at_equal_seconds
from runner.metric_names import STEP_ALONE
from tests.support.claim_tables import (
    at_equal_seconds,
    curve_slope,
    history_table,
    judge_values,
    results_table,
    rng,
    trials_table,
    values_with_sd,
)

STEPS = (0, 10, 20, 40, 60, 80, 100)
LOSS = "val/loss"
N = 8


def noisy_lines(slope, seed=0, noise=0.01):
    """Return curves (seeds, steps) that fall by `slope` a log step, with noise of each point."""
    draw = rng(seed)
    level = draw.normal(3, 0.2, (N, 1))
    axis = np.log(np.maximum(STEPS, 1))
    return level + slope * axis + draw.normal(0, noise, (N, len(STEPS)))


def judge_curves(curves, *claims, steps=STEPS, times=None, **options):
    """Return findings on curves, whose last point is the final value of each trial."""
    columns = {key: np.array([row[-1] for row in rows]) for key, rows in curves.items()}
    columns |= {(arm, STEP_ALONE): values for arm, values in (times or {}).items()}
    return judge_values(columns, *claims, history=history_table(curves, steps), **options)


@pytest.mark.parametrize(
    ("x", "start", "end"), [("step", 0, 1), ("log_step", 0, 1), ("step", 0.2, 0.8)]
)
def test_a_slope_is_that_of_numpy_for_each_seed(x, start, end):
    curves = {("arm", LOSS): noisy_lines(-0.3)}
    asked = curve_slope(x=x, start=start, end=end, direction="less")
    (finding,) = judge_curves(curves, asked)
    chosen = [i for i, s in enumerate(STEPS) if 100 * start <= s <= 100 * end]
    if x == "log_step":
        chosen = [i for i in chosen if STEPS[i] > 0]
    axis = np.array(STEPS, dtype=float)[chosen]
    axis = np.log(axis) if x == "log_step" else axis
    slopes = [np.polyfit(axis, row[chosen], 1)[0] for row in curves["arm", LOSS]]
    assert finding.interval.mean == pytest.approx(np.mean(slopes))
    half = 2.3646 * np.std(slopes, ddof=1) / N**0.5  # t(7)
    assert finding.interval.high == pytest.approx(np.mean(slopes) + half, rel=1e-4)
    assert finding.p == 2 / 2**N
    assert finding.verdict is Verdict.reproduced
    assert finding.unit == ("nats per step" if x == "step" else "nats")


def test_a_slope_minus_that_of_a_control_with_a_margin_and_an_a_a_pair():
    curves = {
        ("arm", LOSS): noisy_lines(-0.1, 1),
        ("base", LOSS): noisy_lines(-0.3, 2),
        ("copy", LOSS): noisy_lines(-0.3, 3),
    }
    same = {"arm": "copy", "control": "base"}
    (finding,) = judge_curves(curves, curve_slope(control="base", margin=0.1, aa=same))
    assert finding.verdict is Verdict.reproduced
    assert finding.interval.mean == pytest.approx(0.2, abs=0.02)
    assert finding.aa.mean == pytest.approx(0, abs=0.02)
    assert "arm minus base" in finding.claim.estimate_label
    (finding,) = judge_curves(curves, curve_slope(control="base", margin=0.3))
    assert finding.verdict is Verdict.contradicted
    curves["copy", LOSS] = noisy_lines(-0.1, 3)
    (finding,) = judge_curves(curves, curve_slope(control="base", aa=same))
    assert finding.reason.startswith("the A/A pair differs: copy - base is +0.")


def test_a_slope_without_curves_points_or_training_is_invalid():
    curves = {("arm", LOSS): noisy_lines(-0.3)}
    asked = curve_slope(direction="less")
    columns = {("arm", LOSS): curves["arm", LOSS][:, -1]}
    (finding,) = judge_values(columns, asked)
    assert finding.reason == "arm seed 0 has no curve of 'val/loss'"
    (finding,) = judge_curves(curves, asked, arm=[(3, "diverged")])
    assert finding.reason == "trials without a whole curve: arm seed 3 (diverged)"
    (finding,) = judge_curves(curves, curve_slope(direction="less", start=0.7))
    assert finding.reason == (
        "arm seed 0 has 2 points of val/loss from 0.7 to 1 of its training; a slope needs 3"
    )
    curves["arm", LOSS][5, 4] = np.nan
    (finding,) = judge_curves(curves, asked)
    assert finding.reason == "arm seed 5: val/loss is not finite at each point"
    (finding,) = judge_curves(curves, curve_slope(direction="less", n=9))
    assert finding.verdict is Verdict.invalid


def test_more_seeds_give_an_extra_slope_and_a_lost_one_of_them_does_not_matter():
    curves = {("arm", LOSS): noisy_lines(-0.3)}
    (finding,) = judge_curves(curves, curve_slope(direction="less", n=6))
    assert (finding.verdict, finding.extra_estimate.n) == (Verdict.reproduced, N)
    (finding,) = judge_curves(curves, curve_slope(direction="less", n=6), arm=[(7, "diverged")])
    assert (finding.verdict, finding.extra_estimate) == (Verdict.reproduced, None)


# The control trains 100 steps of 0.1 s: 10 s. The arm takes 0.2 s: at 10 s it is at step 50.
CURVE_STEPS = (0, 40, 60, 100)
ARM = np.array([4.0, 3.0, 2.0, 1.0])  # at step 50: 2.5
CONTROL = np.array([4.0, 3.5, 3.0, 2.0])  # at its end: 2.0
LEVELS = np.array([0.0, 1, -1, 0.5, 2, -2, 0.25, 3])


def timed(arm_seconds=0.2, control_seconds=0.1, copy_error=0.002):
    """Return curves and step times of an arm, its control and the copy of the control."""
    spread = values_with_sd(N, 0.01)[:, None]
    level = LEVELS[:, None]
    curves = {
        ("arm", LOSS): level + ARM + spread,
        ("base", LOSS): level + CONTROL,
        ("copy", LOSS): level + CONTROL + 3 * spread[::-1],
    }
    base = np.full(N, control_seconds)
    times = {
        "arm": np.full(N, arm_seconds),
        "base": base,
        "copy": base * np.exp(values_with_sd(N, copy_error)),
    }
    return curves, times


def test_the_values_after_equal_seconds_by_hand():
    curves, times = timed()
    (finding,) = judge_curves(curves, at_equal_seconds(), steps=CURVE_STEPS, times=times)
    assert finding.interval.mean == pytest.approx(0.5)
    assert finding.verdict is Verdict.reproduced
    assert finding.p == 2 / 2**N
    assert "after 10 s of training arm at step 50 of 100 and base at step 100 of 100" in (
        finding.reason
    )
    # At equal steps the arm is better: 1 against 2.
    final = judge_curves(curves, at_equal_seconds(direction="less"), steps=CURVE_STEPS, times=times)
    assert final[0].verdict is Verdict.contradicted


def test_the_faster_arm_is_read_before_its_end():
    curves, times = timed(arm_seconds=0.05)  # 5 s: the control is at step 50, 3.25
    (finding,) = judge_curves(
        curves, at_equal_seconds(direction="less"), steps=CURVE_STEPS, times=times
    )
    assert finding.interval.mean == pytest.approx(1 - 3.25)
    assert "after 5 s of training arm at step 100 of 100 and base at step 50 of 100" in (
        finding.reason
    )


def test_a_named_time_is_read_in_both_and_never_beyond_an_end():
    curves, times = timed()
    (finding,) = judge_curves(
        curves, at_equal_seconds(seconds=4), steps=CURVE_STEPS, times=times
    )  # the arm at step 20: 3.5; the control at step 40: 3.5
    assert finding.interval.mean == pytest.approx(0)
    (finding,) = judge_curves(curves, at_equal_seconds(seconds=11), steps=CURVE_STEPS, times=times)
    assert finding.reason == (
        "base seed 0 trains for 10 s, less than seconds=11; give fewer seconds or more steps"
    )


def test_noisy_step_times_make_the_claim_inconclusive():
    curves, times = timed(copy_error=0.5)
    (finding,) = judge_curves(curves, at_equal_seconds(), steps=CURVE_STEPS, times=times)
    # The error is 2.3646 * 0.5 / sqrt(8) = 0.418, a factor of 1.519. With slower steps the arm is
    # at step 32.9 after 10 s and has 3.177. With faster ones it is at step 75.9 and has 1.601.
    assert finding.noise_floor == pytest.approx(2.5 - 1.601, abs=1e-3)
    assert finding.verdict is Verdict.inconclusive
    assert "the step times of the A/A pair move the estimate by up to 0.899" in finding.reason
    quiet, quiet_times = timed()
    (finding,) = judge_curves(quiet, at_equal_seconds(), steps=CURVE_STEPS, times=quiet_times)
    # 0.0016719: at step 50 the slope is 1 / 20 a step
    assert finding.noise_floor == pytest.approx(50 * np.expm1(0.0016719) / 20, abs=1e-5)


def test_a_claim_without_an_a_a_pair_or_step_times_is_invalid():
    curves, times = timed()
    asked = at_equal_seconds(aa=None)
    (finding,) = judge_curves(curves, asked, steps=CURVE_STEPS, times=times)
    assert finding.reason.startswith("a claim about time or memory needs an A/A pair")
    times["arm"] = times["arm"].copy()
    times["arm"][4] = np.nan
    (finding,) = judge_curves(curves, at_equal_seconds(), steps=CURVE_STEPS, times=times)
    assert finding.reason == f"arm seed 4 has no {STEP_ALONE}"
    del times["copy"]
    times["arm"][4] = 0.2
    (finding,) = judge_curves(curves, at_equal_seconds(), steps=CURVE_STEPS, times=times)
    assert finding.reason == f"copy seed 0 has no {STEP_ALONE}"


def test_a_diverged_trial_counts_with_its_diverged_value_at_every_time():
    curves, times = timed()
    times["arm"] = times["arm"].copy()
    times["arm"][2] = np.nan  # it was not timed
    columns = {key: rows[:, -1].copy() for key, rows in curves.items()}
    columns["arm", LOSS][2] = 4 + LEVELS[2]  # the value before training
    columns |= {(arm, STEP_ALONE): values for arm, values in times.items()}
    history = history_table(curves, CURVE_STEPS)
    (finding,) = judge_values(columns, at_equal_seconds(), history=history, arm=[(2, "diverged")])
    # Seven seeds differ by 0.5, and this one by 4 - 2.
    spread = values_with_sd(N, 0.01)
    expected = (np.sum(0.5 + spread) - (0.5 + spread[2]) + 2) / N
    assert finding.interval.mean == pytest.approx(expected)


def test_the_copy_must_agree_after_equal_seconds_too():
    curves, times = timed()
    curves["copy", LOSS] = curves["copy", LOSS] + 1
    (finding,) = judge_curves(curves, at_equal_seconds(), steps=CURVE_STEPS, times=times)
    assert finding.reason.startswith("the A/A pair differs: copy - base is +1")


@pytest.mark.parametrize("build", [at_equal_seconds, curve_slope])
@pytest.mark.parametrize(("direction", "is_shown"), [("greater", True), ("less", False)])
def test_the_positive_control_must_show_its_difference(build, direction, is_shown):
    curves, times = timed()
    level = LEVELS[:, None] + values_with_sd(N, 0.01)[:, None]
    curves["broken", LOSS] = level + CONTROL + 5
    control = {"metric": LOSS, "arm": "broken", "control": "base", "direction": direction}
    asked = build(positive_control=control, direction="less", margin=9)
    (finding,) = judge_curves(curves, asked, steps=CURVE_STEPS, times=times)
    if is_shown:
        assert finding.verdict is not Verdict.invalid
    else:
        assert finding.reason.startswith("the positive control does not show its difference")


def test_a_curve_that_ends_before_the_training_is_not_continued():
    curves, times = timed()
    history = history_table(curves, CURVE_STEPS)
    cut = history[(history.arm != "base") | (history.step < 100)]
    tail = history[(history.arm == "base") & (history.step == 100)].assign(metric="train/loss")
    results = results_table(
        {key: rows[:, -1] for key, rows in curves.items()}
        | {(arm, STEP_ALONE): values for arm, values in times.items()}
    )
    evidence = Evidence(results, trials_table(results), history=pd.concat([cut, tail]))
    with pytest.raises(InvalidClaimError, match="has no finite val/loss around step 100"):
        read_at_equal_seconds(evidence, LOSS, ["arm", "base"], 0)


@pytest.mark.parametrize(
    ("build", "changes", "message"),
    [
        (curve_slope, {"x": "token"}, "x='token' is unknown"),
        (curve_slope, {"start": 0.5, "end": 0.5}, "must be shares of the training"),
        (curve_slope, {"end": 2}, "must be shares of the training"),
        (curve_slope, {"metric": "a/{x}"}, "must be one curve, not a template"),
        (curve_slope, {"equal_cost": "flops"}, "equal_cost needs two arms"),
        (curve_slope, {"margin": -1}, "margin=-1 must be a number, at least 0"),
        (at_equal_seconds, {"seconds": 0}, "seconds=0 must be a number above 0"),
        (at_equal_seconds, {"metric": "a/{x}"}, "must be one curve, not a template"),
        (at_equal_seconds, {"control": None}, "missing key control"),
    ],
)
def test_a_claim_on_curves_that_is_written_wrongly_says_what_and_how(build, changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_a_claim_on_curves_names_its_curve_and_the_step_time():
    assert curve_slope().curve_metrics == (LOSS,)
    assert at_equal_seconds().named_metrics == (LOSS, STEP_ALONE)

"""The values of curves after the same seconds of training, from step times measured alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from runner.claims.evidence import Evidence, InvalidClaimError
from runner.metric_names import STEP_ALONE

ROUNDING = 1e-9  # relative error of a number of steps


@dataclass(frozen=True)
class TimedValue:
    """The value of a trial's curve at the compared time; steps of a diverged trial are NaN."""

    value: float
    step: float
    last_step: float
    seconds: float


def step_seconds(evidence: Evidence, arm: str, seed: int) -> float:
    """Return the seconds of a training step of a trial, measured alone on the machine.

    Raises:
        InvalidClaimError: the trial has no such time.
    """
    seconds = evidence.value(arm, STEP_ALONE, seed)
    if not (math.isfinite(seconds) and seconds > 0):
        raise InvalidClaimError(f"{arm} seed {seed} has no {STEP_ALONE}")
    return seconds


def read_at_equal_seconds(
    evidence: Evidence,
    metric: str,
    arms: Sequence[str],
    seed: int,
    *,
    seconds: float | None = None,
    factors: Mapping[str, float] | None = None,
) -> dict[str, TimedValue]:
    """Return the value of each arm under one seed, after the same seconds of training.

    Args:
        evidence: the curves and step times.
        metric: the metric whose curves are read.
        arms: the arms to compare.
        seed: the seed.
        seconds: the compared time; None for the shortest of the trainings.
        factors: multiply the step times of arms, to see the effect of an error. Then a training
            that is too short is read at its end.

    Raises:
        InvalidClaimError: a trial has no curve, step time or value, or trains for fewer seconds.
    """
    trained = [arm for arm in arms if evidence.states.get(arm, {}).get(seed) != "diverged"]
    curves = {arm: evidence.finished_curve(arm, metric, seed) for arm in trained}
    times = {
        arm: step_seconds(evidence, arm, seed) * (factors or {}).get(arm, 1.0) for arm in trained
    }
    whole = {arm: curves[arm].last_step * times[arm] for arm in trained}
    compared = min(whole.values(), default=math.inf) if seconds is None else seconds
    values = {}
    for arm in arms:
        if arm not in trained:
            values[arm] = TimedValue(
                evidence.value(arm, metric, seed), math.nan, math.nan, compared
            )
        else:
            last, step = curves[arm].last_step, compared / times[arm]
            if step > last * (1 + ROUNDING) and not factors:
                raise InvalidClaimError(
                    f"{arm} seed {seed} trains for {whole[arm]:.3g} s, less than "
                    f"seconds={compared:g}; give fewer seconds or more steps"
                )
            # Rounding must not move the last step off the curve.
            step = last if step > last * (1 - ROUNDING) else step
            values[arm] = TimedValue(curves[arm].value_at(step), step, last, compared)
        if not math.isfinite(values[arm].value):
            where = f" around step {values[arm].step:.0f}" if arm in trained else " (diverged)"
            raise InvalidClaimError(f"{arm} seed {seed} has no finite {metric}{where}")
    return values


def describe_steps(arms: Sequence[str], seeds: Sequence[Mapping[str, TimedValue]]) -> str:
    """Return the compared time and the steps that arms had taken then, as means over seeds."""
    texts = []
    for arm in arms:
        if trained := [seed[arm] for seed in seeds if math.isfinite(seed[arm].step)]:
            step = np.mean([each.step for each in trained])
            last = np.mean([each.last_step for each in trained])
            texts.append(f"{arm} at step {step:.0f} of {last:.0f}")
    times = [
        each.seconds for seed in seeds for each in seed.values() if math.isfinite(each.seconds)
    ]
    if not texts:
        return "all trials diverged"
    return f"after {np.mean(times):.3g} s of training {' and '.join(texts)}"

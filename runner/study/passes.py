"""How noisy a study's timings are, which decides whether its trials are timed in another pass.

What slows a machine down comes and goes over seconds to minutes: one trial is timed in a slow
stretch and the next one in a quick one. More rounds inside a trial fall into the same stretch and
tell nothing new. A further pass times every trial again, later and in another order, and a trial's
median is then over the samples of all its passes.

Only noise decides on a further pass, never which arm is quicker. Noise is how much the trials of
one arm differ, which do the same work under different seeds.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median, variance

LEAST_SEEDS = 3  # fewer tell too little of the spread

Samples = Mapping[str, Sequence[float]]


def noise(trials: Iterable[tuple[str, Samples]]) -> tuple[float, str]:
    """Return the noise of the least steady timed quantity, and its name; 0 and "" without any.

    `trials` are pairs of an arm and one trial's samples, quantity -> seconds. The noise of a
    quantity is the standard error of an arm's mean time as a share of that mean, the root mean
    square over the arms. A trial's time is the median of its samples. Arms with fewer than
    `LEAST_SEEDS` trials do not count.
    """
    medians: dict[str, dict[str, list[float]]] = {}
    for arm, samples in trials:
        for quantity, seconds in samples.items():
            medians.setdefault(quantity, {}).setdefault(arm, []).append(median(seconds))
    worst = (0.0, "")
    for quantity, arms in medians.items():
        squares = [
            variance(times) / len(times) / fmean(times) ** 2
            for times in arms.values()
            if len(times) >= LEAST_SEEDS and fmean(times) > 0
        ]
        if squares:
            worst = max(worst, (math.sqrt(fmean(squares)), quantity))
    return worst

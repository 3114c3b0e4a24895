"""Noise of simulated studies. Arrays are (studies, seeds, headlines, arms); arm 0 is the baseline.

The arms of a headline are drawn from one distribution, so that none differs from the baseline. A
seed has an effect that its arms share, and the baseline's own noise is in every difference.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.random import Generator
from scipy.special import ndtr, ndtri

from runner.stats.intervals import Floats

Shape = tuple[int, int, int, int]
Draw = Callable[[Generator, Shape], Floats]
SEED_SHARE = 0.2  # of the variance of an outcome's latent score, which its seed explains
N_EXPERTS = 8
DIVERGED = 10.0  # SDs of the paired differences that a diverged trial loses


def luck(rng: Generator, shape: Shape) -> Floats:
    """Draw a number for each seed and headline, the same for all arms."""
    return rng.standard_normal((*shape[:3], 1))


def normal(rng: Generator, shape: Shape) -> Floats:
    return luck(rng, shape) + rng.standard_normal(shape)


def student(rng: Generator, shape: Shape) -> Floats:
    return luck(rng, shape) + rng.standard_t(2, shape)


def lognormal(rng: Generator, shape: Shape) -> Floats:
    return luck(rng, shape) + np.exp(rng.standard_normal(shape))


def chance(rng: Generator, shape: Shape, p: float) -> Floats:
    """Return the chance of an event under a seed's luck; over all seeds it is p."""
    rest = (1 - SEED_SHARE) ** 0.5
    return np.asarray(ndtr((ndtri(p) - SEED_SHARE**0.5 * luck(rng, shape)) / rest))


def counts(rng: Generator, shape: Shape) -> Floats:
    """Dead experts, of 8 that die with a chance of 0.1 each."""
    return rng.binomial(N_EXPERTS, chance(rng, shape, 0.1), shape).astype(float)


def outcomes(rng: Generator, shape: Shape) -> Floats:
    """0 or 1, each with a chance of 0.5."""
    return (rng.random(shape) < chance(rng, shape, 0.5)).astype(float)


def diverging(rng: Generator, shape: Shape, p: float) -> Floats:
    """Draw arms that lose 10 SD where they diverge, and gain elsewhere, so that means are equal."""
    values = rng.standard_normal(shape) / 2**0.5  # differences of arms have an SD of 1
    shift = np.where(rng.random(shape) < p, DIVERGED, -DIVERGED * p / (1 - p))
    shift[..., 0] = 0.0
    return luck(rng, shape) + values + shift


NULL_NOISE: Mapping[str, Draw] = {
    "normal": normal,
    "Student's t, 2 degrees of freedom": student,
    "counts (of 8, chance 0.1)": counts,
    "outcomes of 0 or 1 (chance 0.5)": outcomes,
}
BEYOND_ASSUMPTIONS: Mapping[str, Draw] = {"log-normal arms": lognormal}
DIVERGING_ARMS: Mapping[float, Draw] = {
    p: partial(diverging, p=p) for p in (0.02, 0.05, 0.1, 0.2)
}  # chance -> arms

Differences = Callable[[Generator, tuple[int, ...]], Floats]
# Of paired differences, with mean 0 and SD 1, for claims.
DIFFERENCE_NOISE: Mapping[str, Differences] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "Student's t, 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, shape) / 3**0.5,
    "skewed (log-normal)": lambda rng, shape: (
        (np.exp(rng.standard_normal(shape)) - np.exp(0.5)) / ((np.e - 1) * np.e) ** 0.5
    ),
}

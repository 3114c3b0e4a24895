"""Verdicts of claims of every kind: false ones on null effects and effects at the bound."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from runner.claims.claim import Claim
from runner.claims.finding import Finding, Verdict
from runner.claims.kinds import read_claim
from runner.claims.verdicts import judge
from runner.metric_names import STEP_ALONE
from runner.stats.intervals import Floats
from runner.stats.power import verdict_detectable_effect

from .cells import FALSE_RATE_BOUND, Bound, Cell, Share
from .noise import DIFFERENCE_NOISE, Differences

BATCH = 100  # studies that are judged together, each a separate family
DEPTHS = (4, 8, 16, 32)
STEPS = np.array([0.0, 25, 50, 75, 100])
TIMING_NOISE = 0.002  # SD of the logarithm of a measured step time
COVERED = "Coverage of the interval of a claim, in %"
FAMILY = "Families of difference claims with any false verdict, in %"
POWER = "Power of a difference claim at its printed detectable effect, in % (80 asked)"

OTHER_POWER = "Power of other claims at their printed detectable effect, in % (80 asked)"

# (arm, metric) -> values of seeds 0, 1, ...; with a second axis, curves at `STEPS`
Columns = dict[tuple[str, str], Floats]
Study = Callable[[Generator, Differences, int, str], Columns]


def paired(rng: Generator, noise: Differences, n: int, metric: str, mean: float = 0.0) -> Columns:
    """Draw a control, its A/A pair, and an arm `mean` above it; differences have an SD of 1."""
    control = 3 + rng.standard_normal(n)
    return {
        ("control", metric): control,
        ("copy", metric): control + noise(rng, (n,)),
        ("arm", metric): control + mean + noise(rng, (n,)),
    }


def sloping(rng: Generator, noise: Differences, n: int, metric: str) -> Columns:
    """Draw power laws of depth whose exponents have a mean of -0.4 and an SD of 0.05."""
    exponents = -0.4 + 0.05 * noise(rng, (n,))
    level = rng.standard_normal(n)
    return {
        ("arm", metric.format(depth=depth)): np.exp(level + exponents * np.log(depth))
        for depth in DEPTHS
    }


def failing(rng: Generator, _: object, n: int, metric: str, share: float) -> Columns:
    """Draw two arms whose trials fail with this chance."""
    return {(arm, metric): (rng.random(n) < share).astype(float) for arm in ("arm", "control")}


def interacting(
    rng: Generator, noise: Differences, n: int, metric: str, mean: float = 0.0
) -> Columns:
    """Draw two pairs of arms; the difference of their differences has an SD of 1."""
    pair = paired(rng, noise, n, metric)
    control, gain = 5 + rng.standard_normal(n), pair["arm", metric] - pair["control", metric]
    others = {
        ("other_control", metric): control,
        ("other_arm", metric): control + gain - mean - noise(rng, (n,)),
    }
    return pair | others


def curving(rng: Generator, noise: Differences, n: int, metric: str, mean: float = 0.0) -> Columns:
    """Draw curves over log steps; the slopes of two arms differ by `mean`, with an SD of 1."""
    axis = np.log(np.maximum(STEPS, 1.0))
    slopes = rng.standard_normal(n) - 3
    by_arm = {"control": slopes, "copy": slopes + noise(rng, (n,))}
    by_arm["arm"] = slopes + mean + noise(rng, (n,))
    level = 10 + rng.standard_normal((n, 1))
    return {(arm, metric): level + each[:, None] * axis for arm, each in by_arm.items()}


def rising(rng: Generator, noise: Differences, n: int, metric: str) -> Columns:
    """Draw curves of one arm whose slopes over log steps have a mean of 3 and an SD of 1."""
    slopes = 3 + noise(rng, (n,))
    return {("arm", metric): slopes[:, None] * np.log(np.maximum(STEPS, 1.0))}


def racing(rng: Generator, noise: Differences, n: int, metric: str, mean: float = 0.0) -> Columns:
    """Draw an arm whose step takes twice as long, `mean` above its control at equal seconds.

    The differences at equal seconds have an SD of 1, besides the effect of the timing noise.
    """
    end = 3 + rng.standard_normal(n)
    falling = 2.0 - 2.0 * STEPS / STEPS[-1]  # 0 at the end of the control
    # The arm is at half of its steps then: it falls twice as much from step to step.
    curves: Columns = {
        ("control", metric): end[:, None] + falling,
        ("copy", metric): (end + noise(rng, (n,)))[:, None] + falling,
        ("arm", metric): (end + mean + noise(rng, (n,)))[:, None] + 2 * falling - 2,
    }
    seconds = {"control": 0.1, "copy": 0.1, "arm": 0.2}
    return curves | {
        (arm, STEP_ALONE): each * np.exp(TIMING_NOISE * rng.standard_normal(n))
        for arm, each in seconds.items()
    }


@dataclass(frozen=True)
class Asked:
    """A kind of claim, studies in which it is narrowly false, and the true value estimated."""

    keys: Mapping[str, Any]
    study: Study
    truth: float
    confidence: float = 0.95
    noisy: bool = True  # whether the kind of noise matters


PAIR = {"arm": "arm", "control": "control"}
COPY = {"aa": {"arm": "copy", "control": "control"}}
DIFFERENCE = "difference, none"
INTERACTION, CURVE_SLOPE = "interaction, none", "slopes of two curves, no difference"
AT_EQUAL_SECONDS = "at equal seconds, no difference"
INTERACTION_KEYS = {
    "kind": "interaction",
    **PAIR,
    "other_arm": "other_arm",
    "other_control": "other_control",
    **COPY,
}
RATE = {"kind": "failure_rate", "above": 0.5, "arm": "arm"}
KINDS: Mapping[str, Asked] = {
    DIFFERENCE: Asked({"kind": "difference", "direction": "less", **PAIR, **COPY}, paired, 0.0),
    "equivalence, at delta": Asked(
        {"kind": "equivalence", "delta": 3.0, **PAIR}, partial(paired, mean=3.0), 3.0, 0.9
    ),
    "equivalence, at delta_aa": Asked(
        {"kind": "equivalence", "delta_aa": 3.0, **PAIR, **COPY},
        partial(paired, mean=3.0),
        3.0,
        0.9,
    ),
    "slope, at the band's end": Asked(
        {"kind": "slope", "x": "depth", "band": [-0.6, -0.4], "arm": "arm"}, sloping, -0.4
    ),
    INTERACTION: Asked(INTERACTION_KEYS | {"direction": "less"}, interacting, 0.0),
    CURVE_SLOPE: Asked({"kind": "curve_slope", "direction": "less", **PAIR, **COPY}, curving, 0.0),
    "slope of a curve, at its margin": Asked(
        {"kind": "curve_slope", "direction": "greater", "margin": 3.0, "arm": "arm"}, rising, 3.0
    ),
    AT_EQUAL_SECONDS: Asked(
        {"kind": "at_equal_seconds", "direction": "less", **PAIR, **COPY}, racing, 0.0
    ),
    "failure rate, at its bound of 0.5": Asked(
        RATE | {"at_least": 0.5}, partial(failing, share=0.5), 0.5, noisy=False
    ),
    "failure rate, two arms at 0.5": Asked(
        RATE | {"control": "control", "direction": "less"},
        partial(failing, share=0.5),
        0.5,
        noisy=False,
    ),
    "failure rate, two arms at 0.1": Asked(
        RATE | {"control": "control", "direction": "less"},
        partial(failing, share=0.1),
        0.1,
        noisy=False,
    ),
}
DECIDED_VERDICTS = (Verdict.reproduced, Verdict.contradicted)


def simulate_claims(
    rng: Generator, studies: int, *, kind: str, noise: str, n: int
) -> Mapping[str, Share]:
    """Return how often a claim is reproduced or contradicted, and its interval holds the truth."""
    asked = KINDS[kind]
    findings = [one for (one,) in judged(rng, studies, asked.keys, asked.study, n, noise=noise)]
    intervals = [one.interval for one in findings if one.interval is not None]
    covered = sum(interval.low <= asked.truth <= interval.high for interval in intervals)
    shares = {
        str(verdict): Share(sum(one.verdict is verdict for one in findings), studies)
        for verdict in DECIDED_VERDICTS
    }
    return shares | {"covered": Share(covered, len(intervals))}


def simulate_families(rng: Generator, studies: int, *, n: int, members: int) -> Mapping[str, Share]:
    """Count the families of null differences that have any verdict."""
    asked = KINDS[DIFFERENCE]
    families = judged(rng, studies, asked.keys, asked.study, n, members=members)
    wrong = sum(any(one.verdict in DECIDED_VERDICTS for one in family) for family in families)
    return {"false": Share(wrong, studies)}


def judged(
    rng: Generator,
    studies: int,
    keys: Mapping[str, Any],
    study: Study,
    n: int,
    *,
    noise: str = "normal",
    members: int = 1,
) -> list[Sequence[Finding]]:
    """Return the findings of each study, whose claims are one family."""
    findings: list[Finding] = []
    for start in range(0, studies, BATCH):
        columns: Columns = {}
        claims = []
        for i in range(start, min(start + BATCH, studies)):
            for member in range(members):
                metric = f"m{i}/{member}" + ("/{depth}" if keys["kind"] == "slope" else "")
                drawn = study(rng, DIFFERENCE_NOISE[noise], n, metric)
                # Each study has its own arms, since its arms have step times of their own.
                columns |= {(f"{arm}{i}/{member}", name): v for (arm, name), v in drawn.items()}
                named = with_arms_of(keys, f"{i}/{member}")
                claims.append(claim(named, f"c{i}/{member}", f"f{i}", metric, n))
        results, trials, history = tables(columns)
        findings += judge(claims, results, scale="quick", trials=trials, history=history)
    return [findings[i : i + members] for i in range(0, len(findings), members)]


def claim(keys: Mapping[str, Any], name: str, family: str, metric: str, n: int) -> Claim:
    defaults = {"statement": "-", "source": "-", "metric": metric, "n": n, "family": family}
    return read_claim(name, defaults | keys)


def with_arms_of(keys: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    """Return the keys of a claim whose arms have this suffix."""
    return {
        key: with_arms_of(value, suffix)
        if isinstance(value, Mapping)
        else value + suffix
        if key in ("arm", "control", "other_arm", "other_control")
        else value
        for key, value in keys.items()
    }


def tables(columns: Columns) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return final values, states and curves in the report's format."""
    curves = {key: values for key, values in columns.items() if values.ndim == 2}
    columns = {
        key: values[:, -1] if values.ndim == 2 else values for key, values in columns.items()
    }
    points = [
        (arm, metric, seed, step)
        for (arm, metric), values in curves.items()
        for seed in range(len(values))
        for step in STEPS
    ]
    history = pd.DataFrame(points, columns=["arm", "metric", "seed", "step"])
    history["value"] = np.concatenate([each.ravel() for each in curves.values()] or [[]])
    names = [(arm, metric, seed) for (arm, metric), v in columns.items() for seed in range(len(v))]
    results = pd.DataFrame(names, columns=["arm", "metric", "seed"])
    results = results.assign(value=np.concatenate([*columns.values()]), unit="nats")
    return results, results[["arm", "seed"]].drop_duplicates().assign(status="done"), history


def power(rng: Generator, studies: int, *, n: int, members: int) -> Mapping[str, Share]:
    """Return how often a claim is reproduced that has the effect printed for a deviation of 1."""
    mean = verdict_detectable_effect(1.0, n, family_size=members)
    keys = {"kind": "difference", "direction": "greater", **PAIR}

    def study(rng: Generator, noise: Differences, n: int, metric: str) -> Columns:
        return paired(rng, noise, n, metric, mean if metric.endswith("/0") else 0.0)

    families = judged(rng, studies, keys, study, n, members=members)
    n_reproduced = sum(first.verdict is Verdict.reproduced for first, *_ in families)
    return {"found": Share(n_reproduced, studies)}


OTHER_STUDIES: Mapping[str, tuple[Mapping[str, Any], Callable[..., Columns]]] = {
    "interaction": (INTERACTION_KEYS, interacting),
    "slopes of two curves": ({"kind": "curve_slope", **PAIR, **COPY}, curving),
    "at equal seconds": ({"kind": "at_equal_seconds", **PAIR, **COPY}, racing),
}


def other_power(rng: Generator, studies: int, *, kind: str, n: int) -> Mapping[str, Share]:
    """Return how often a claim of another kind is reproduced at the effect for a deviation of 1."""
    keys, draw = OTHER_STUDIES[kind]
    study = partial(draw, mean=verdict_detectable_effect(1.0, n))
    families = judged(rng, studies, {**keys, "direction": "greater"}, study, n)
    # The A/A pair of a study without any effect rejects some studies, which do not count.
    valid = [one for (one,) in families if one.verdict is not Verdict.invalid]
    return {"found": Share(sum(one.verdict is Verdict.reproduced for one in valid), len(valid))}


def claim_cells(*, quick: bool) -> list[Cell]:
    """Return cells of every kind under every noise; skewed differences are a known limit."""
    cells = []
    for kind, asked in KINDS.items():
        for noise in DIFFERENCE_NOISE if asked.noisy and not quick else ["normal"]:
            titles = {
                str(verdict): (f"Falsely {verdict} claims, in %", FALSE_RATE_BOUND)
                for verdict in DECIDED_VERDICTS
            }
            titles["covered"] = (COVERED, Bound(asked.confidence, is_minimum=True))
            row = f"{kind}; {noise}" if asked.noisy else kind
            if asked.confidence != 0.95:
                row += f" ({100 * asked.confidence:.0f} % interval)"
            cells += [
                Cell(
                    titles,
                    row,
                    f"n = {n}",
                    partial(simulate_claims, kind=kind, noise=noise, n=n),
                    is_required=noise == "normal",
                )
                for n in ((2, 8) if quick else (2, 4, 6, 8, 10))
            ]
    return cells


def family_cells(*, quick: bool) -> list[Cell]:
    """Return cells of false verdicts anywhere in a family."""
    return [
        Cell(
            {"false": (FAMILY, FALSE_RATE_BOUND)},
            f"{members} claims",
            f"n = {n}",
            partial(simulate_families, n=n, members=members),
        )
        for members in ((3,) if quick else (3, 6))
        for n in ((8,) if quick else (8, 10))
    ]


def claim_power_cells(*, quick: bool) -> list[Cell]:
    """Return cells of power at the printed effect, for families of several sizes."""
    cells = [
        Cell(
            {"found": (POWER, Bound(0.8, is_minimum=True))},
            f"{members} claim{'s' if members > 1 else ''} in the family",
            f"n = {n}",
            partial(power, n=n, members=members),
        )
        for members in ((1,) if quick else (1, 3, 6))
        for n in ((8,) if quick else (8, 10, 12))
    ]
    return cells + [
        Cell(
            {"found": (OTHER_POWER, Bound(0.8, is_minimum=True))},
            kind,
            f"n = {n}",
            partial(other_power, kind=kind, n=n),
        )
        for kind in OTHER_STUDIES
        for n in ((8,) if quick else (8, 10))
    ]

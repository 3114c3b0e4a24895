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
from runner.stats.intervals import Floats
from runner.stats.power import verdict_detectable_effect

from .cells import FALSE_RATE_BOUND, Bound, Cell, Share
from .noise import DIFFERENCE_NOISE, Differences

BATCH = 100  # studies that are judged together, each a separate family
DEPTHS = (4, 8, 16, 32)
COVERED = "Coverage of the interval of a claim, in %"
FAMILY = "Families of difference claims with any false verdict, in %"
POWER = "Power of a difference claim at its printed detectable effect, in % (80 asked)"

Columns = dict[tuple[str, str], Floats]  # (arm, metric) -> values of seeds 0, 1, ...
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
                columns |= study(rng, DIFFERENCE_NOISE[noise], n, metric)
                claims.append(claim(keys, f"c{i}/{member}", f"f{i}", metric, n))
        results, trials = tables(columns)
        findings += judge(claims, results, scale="quick", trials=trials)
    return [findings[i : i + members] for i in range(0, len(findings), members)]


def claim(keys: Mapping[str, Any], name: str, family: str, metric: str, n: int) -> Claim:
    defaults = {"statement": "-", "source": "-", "metric": metric, "n": n, "family": family}
    return read_claim(name, defaults | keys)


def tables(columns: Columns) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return final values and states in the report's format."""
    names = [(arm, metric, seed) for (arm, metric), v in columns.items() for seed in range(len(v))]
    results = pd.DataFrame(names, columns=["arm", "metric", "seed"])
    results = results.assign(value=np.concatenate([*columns.values()]), unit="nats")
    return results, results[["arm", "seed"]].drop_duplicates().assign(status="done")


def power(rng: Generator, studies: int, *, n: int, members: int) -> Mapping[str, Share]:
    """Return how often a claim is reproduced that has the effect printed for a deviation of 1."""
    mean = verdict_detectable_effect(1.0, n, family_size=members)
    keys = {"kind": "difference", "direction": "greater", **PAIR}

    def study(rng: Generator, noise: Differences, n: int, metric: str) -> Columns:
        return paired(rng, noise, n, metric, mean if metric.endswith("/0") else 0.0)

    families = judged(rng, studies, keys, study, n, members=members)
    n_reproduced = sum(first.verdict is Verdict.reproduced for first, *_ in families)
    return {"found": Share(n_reproduced, studies)}


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
    return [
        Cell(
            {"found": (POWER, Bound(0.8, is_minimum=True))},
            f"{members} claim{'s' if members > 1 else ''} in the family",
            f"n = {n}",
            partial(power, n=n, members=members),
        )
        for members in ((1,) if quick else (1, 3, 6))
        for n in ((8,) if quick else (8, 10, 12))
    ]

"""Findings of an answer: false ones where no arm differs, over repeated looks, and power."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.random import Generator

from runner.stats.intervals import Floats
from runner.stats.max_t import N_SIMULATED_STUDIES, standing_detectable_effect
from runner.stats.standing import (
    ALPHA,
    Contrast,
    FamilyResults,
    Standing,
    alpha_at_look,
    decide_standings,
    judge_families,
)

from .cells import FALSE_RATE_BOUND, Bound, Cell, Share
from .noise import BEYOND_ASSUMPTIONS, DIVERGING_ARMS, NULL_NOISE, Draw, normal

DIRECTIONS = ("less", "greater", "none")
APART = {Standing.better, Standing.worse, Standing.different}
FALSE = "False words, in % of answers: "
COVERED = "Coverage of the 95 % interval of an answer, in %"
LOOKS = "False words over repeated looks, until the first one, in % of studies: "
MORE_SEEDS, OTHER_SEEDS = LOOKS + "8, 9, 10, 11, 12 seeds", LOOKS + "8 other seeds each time"
BATCH, DECIDED = 250, 50  # studies judged at once; studies that go through `decide_standings` too
POWER = "Power at the printed detectable effect of a word, in % (80 asked)"
COVERAGE = Bound(0.95, is_minimum=True)

Family = tuple[int, ...]  # arms besides the baseline, for each headline


def judged(values: Floats, family: Family, alpha: float = ALPHA) -> FamilyResults:
    """Return the results of the rule for studies, (studies, seeds, headlines, arms).

    The first `DECIDED` studies go through `decide_standings` too, as an answer does. Both results
    must be equal.
    """
    columns = [(h, arm) for h, n_arms in enumerate(family) for arm in range(1, n_arms + 1)]
    blocks = []
    for start in range(0, len(values), BATCH):
        batch = values[start : start + BATCH]
        differences = [batch[:, :, h, arm] - batch[:, :, h, 0] for h, arm in columns]
        blocks.append(judge_families(np.stack(differences, axis=-1), alpha))
    results = FamilyResults(*(np.concatenate(column) for column in zip(*blocks, strict=True)))
    for study, apart in zip(values[:DECIDED], results.significant[:DECIDED], strict=True):
        contrasts = [
            Contrast(study[:, h, arm], study[:, h, 0], DIRECTIONS[h % 3]) for h, arm in columns
        ]
        words = [decision.standing in APART for decision in decide_standings(contrasts, alpha)]
        assert words == apart.tolist(), "decide and judge_families disagree"
    return results


def drawn(draw: Draw, rng: Generator, studies: int, n: int, family: Family) -> Floats:
    return draw(rng, (studies, n, len(family), 1 + max(family)))


def false_words(
    rng: Generator, studies: int, *, draw: Draw, n: int, family: Family
) -> dict[str, Share]:
    """Count answers with a finding, and intervals of the first comparison that contain 0."""
    results = judged(drawn(draw, rng, studies, n, family), family)
    covered = (results.low[:, 0] <= 0) & (results.high[:, 0] >= 0)
    wrong = results.significant.any(axis=1)
    return {
        "false": Share.from_hits(wrong),
        "covered": Share(int(covered.sum()), studies),
    }


LOOK_LEVELS: Mapping[str, Callable[[int, int], float]] = {  # (look, number of looks) -> its level
    "look k at 5 % / k, as the page does": lambda k, _: alpha_at_look(k),
    "look k at 5 % / (k (k + 1))": lambda k, _: ALPHA / (k * (k + 1)),
    "look 1 at 4 %, look k at 1 % / (k (k - 1))": lambda k, _: (
        0.8 * ALPHA if k == 1 else 0.2 * ALPHA / (k * (k - 1))
    ),
    "each look at 5 % / all looks": lambda _, n_looks: ALPHA / n_looks,
    "each look at 5 %": lambda *_: ALPHA,
}
PRODUCT_RULE = next(iter(LOOK_LEVELS))
FIRST = 8  # seeds of the first look


def simulate_repeated_looks(
    rng: Generator, studies: int, *, rule: str, n_looks: int, family: Family, anew: bool = False
) -> dict[str, Share]:
    """Count the studies that report a finding at any look.

    Each look has one seed more than the previous look. With `anew`, each look has equally many
    seeds, all of them new.
    """
    n = FIRST * n_looks if anew else FIRST + n_looks - 1
    values = drawn(normal, rng, studies, n, family)
    wrong = np.zeros(studies, dtype=bool)
    for k in range(1, n_looks + 1):
        observed = slice(FIRST * (k - 1), FIRST * k) if anew else slice(0, FIRST + k - 1)
        results = judged(values[:, observed], family, LOOK_LEVELS[rule](k, n_looks))
        wrong |= results.significant.any(axis=1)
    return {"false": Share.from_hits(wrong)}


def simulate_effect(
    rng: Generator, studies: int, *, effect: float, n: int, family: Family
) -> dict[str, Share]:
    """Return how often an effect, in SDs of the paired differences, is called better."""
    values = drawn(normal, rng, studies, n, family)
    values[:, :, 0, 1] -= effect * 2**0.5
    results = judged(values, family)
    better = results.significant[:, 0] & (results.mean[:, 0] < 0)
    return {"found": Share.from_hits(better)}


def simulate_printed_effect(
    rng: Generator, studies: int, *, n: int, family: Family
) -> dict[str, Share]:
    """Call `simulate_effect` with the effect that the report prints for a deviation of 1."""
    effect = standing_detectable_effect(1.0, n, sum(family))
    return simulate_effect(rng, studies, effect=effect, n=n, family=family)


def family_label(family: Family) -> str:
    """Describe a family."""
    arms = "1 arm" if family[0] == 1 else f"{family[0]} arms"
    return f"{arms} x {len(family)} headline{'s' if len(family) > 1 else ''}"


ALL_FAMILIES = [(arms,) * headlines for arms in (1, 3, 8) for headlines in (1, 2, 4)]
QUICK_FAMILIES = [(1,), (3, 3), (8, 8, 8, 8)]


def false_answer_cells(*, quick: bool) -> list[Cell]:
    """Return cells of false findings for all kinds of noise; known limits in the full run only."""
    families = QUICK_FAMILIES if quick else ALL_FAMILIES
    seeds = (2, 6, 7, 8, 10) if quick else range(2, 11)

    def cell(name: str, row: str, draw: Draw, n: int, family: Family, **options: bool) -> Cell:
        tables = {"false": (FALSE + name, FALSE_RATE_BOUND)}
        run = partial(false_words, draw=draw, n=n, family=family)
        return Cell(tables, row, f"n = {n}", run, **options)

    cells = [
        cell(name, family_label(family), draw, n, family)
        for name, draw in NULL_NOISE.items()
        for family in families
        for n in seeds
    ]
    if quick:
        return cells
    cells += [
        cell(name, family_label(family), draw, n, family, must=False)
        for name, draw in BEYOND_ASSUMPTIONS.items()
        for family in families
        for n in seeds
    ]
    return cells + [
        cell(
            "an arm that diverges rarely, with the baseline's mean",
            f"{family_label((arms,))}, chance {share:g}",
            draw,
            n,
            (arms,),
            must=False,
        )
        for share, draw in DIVERGING_ARMS.items()
        for arms in (1, 3, 8)
        for n in seeds
    ]


def coverage_cells(*, quick: bool) -> list[Cell]:
    """Return cells of the coverage of intervals, of one comparison: families do not widen them."""
    return [
        Cell(
            {"covered": (COVERED, COVERAGE)},
            name,
            f"n = {n}",
            partial(false_words, draw=draw, n=n, family=(1,)),
            is_required=name == "normal",
        )
        for name, draw in {
            **NULL_NOISE,
            **BEYOND_ASSUMPTIONS,
            "an arm that diverges rarely": DIVERGING_ARMS[0.1],
        }.items()
        for n in ((2, 8) if quick else range(2, 11))
    ]


def repeated_look_cells(*, quick: bool) -> list[Cell]:
    """Return cells of false findings over repeated looks, which stop at the first finding."""
    return [
        Cell(
            {"false": (OTHER_SEEDS if anew else MORE_SEEDS, FALSE_RATE_BOUND)},
            f"{rule}; {family_label(family)}",
            f"{n_looks} look{'s' if n_looks > 1 else ''}",
            partial(simulate_repeated_looks, rule=rule, n_looks=n_looks, family=family, anew=anew),
            # Each look keeps 5 %; over all looks the levels add up to more, as docs/trust.md says.
            # `--quick` would still detect levels that are not divided at all.
            is_required=rule == PRODUCT_RULE and (quick or n_looks == 1),
        )
        for anew in ((False,) if quick else (False, True))
        for rule in ([PRODUCT_RULE] if quick else LOOK_LEVELS)
        for family in ([(1,), (3, 3)] if quick else [(1,), (3, 3), (8, 8)])
        for n_looks in ((2, 5) if quick else (1, 2, 3, 4, 5))
    ]


def power_cells(*, quick: bool) -> list[Cell]:
    """Return cells of power at the printed effect."""
    return [
        Cell(
            {"found": (POWER, Bound(0.8, is_minimum=True, n_simulated=N_SIMULATED_STUDIES))},
            family_label(family),
            f"n = {n}",
            partial(simulate_printed_effect, n=n, family=family),
        )
        for family in (QUICK_FAMILIES if quick else ALL_FAMILIES)
        for n in ((7, 8) if quick else (6, 7, 8, 9, 10, 12))
    ]

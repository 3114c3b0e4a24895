"""Fair tuning: every arm gets the same grid and as many trials, on seeds that are not reported.

They are judged by held-out data that the report does not use, so that the report's loss is not the
one that was chosen for being low.
Tuning trials are trials like any: an arm with one value of the grid is an arm, so they are stored,
reused and resumed. Imports no torch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from omegaconf import DictConfig

from runner.claims.aa_pairs import find_aa_pairs
from runner.config import ConfigError, Evaluation, StudyError, Tune
from runner.plan import planning
from runner.plan.plan import Plan
from runner.study.entries import Entry, raise_if_any_failed
from runner.study.run import run_trials


@dataclass(frozen=True)
class TuningResult:
    """What tuning found.

    Attributes:
        overrides: for each arm the override that sets its best value.
        interior: whether the best value of an arm lies inside the grid; at its edge a better one
            may lie beyond.
        sensitivity: how much worse than its best value an arm is on the mean of the grid, where a
            diverged trial counts as its first loss (Wortsman et al. 2023); NaN where a value of the
            grid is out of the contest.
        rows: arm, seed, value, metric: all that was measured.
    """

    overrides: Mapping[str, str]
    interior: Mapping[str, bool]
    sensitivity: Mapping[str, float]
    rows: Sequence[Mapping[str, Any]]


def variant_overrides(plan: Plan, tune: Tune) -> dict[str, list[str]]:
    """The arms that tuning computes: each arm with each value of the grid.

    An A/A arm gets what its original gets, or the pair would be two different arms.
    """
    copies = find_aa_pairs({arm.name: arm.config.signature_tree() for arm in plan.arms})
    return {
        variant_name(arm.name, value): [
            *plan.study.arms[arm.name],
            f"{tune.key}={format_value(value)}",
        ]
        for arm in plan.arms
        if arm.name not in copies
        for value in tune.grid
    }


def format_value(value: float) -> str:
    """A value as one types it: whole numbers without a point, so that integer keys take them."""
    return str(int(value)) if value == int(value) else repr(value)


def variant_name(arm: str, value: float) -> str:
    """The name of an arm with a value."""
    return f"{arm}.{value:g}"


def grid_plan(plan: Plan, config: DictConfig, overrides: Sequence[str]) -> Plan:
    """The plan of the tuning trials.

    Raises:
        ConfigError: an arm or the command line sets the tuned key too.
    """
    tune = plan.study.tune
    for where, texts in (
        ("the command line", overrides),
        *((f"arm {arm.name}", plan.study.arms[arm.name]) for arm in plan.arms),
    ):
        if any(override.lstrip("+").split("=")[0] == tune.key for override in texts):
            raise ConfigError(f"tune.key={tune.key}: {where} sets it too; leave one out")
    seeds = range(tune.first_seed, tune.first_seed + tune.n_seeds)
    gridded = planning.make_plan(
        config,
        overrides,
        arms=variant_overrides(plan, tune),
        command=plan.command,
        evaluation=Evaluation.tuning,
        text_hashes=plan.text_hashes,
    )
    return replace(gridded, seeds=tuple(seeds), notes=[])  # notes come with the tuned plan


def choose_best_values(plan: Plan, entries: Sequence[Entry]) -> TuningResult:
    """The best value of each arm, by the mean of its tuning seeds.

    A value one of whose trials lacks the metric, or has none that is finite, is out of the contest.

    Raises:
        ConfigError: an arm has no value that is left in it.
    """
    tune = plan.study.tune
    sign = 1.0 if tune.direction == "less" else -1.0
    values: dict[str, dict[float, list[float]]] = {}
    rows = []
    for entry in entries:
        arm, value = split_variant_name(entry.arm.name, plan, tune)
        result = entry.slot.result()
        for row in result["results"] if result else ():
            if row["metric"] == tune.metric:
                values.setdefault(arm, {}).setdefault(value, []).append(row["value"])
                rows.append(
                    {"arm": arm, "value": value, "seed": entry.seed, "metric": row["value"]}
                )
    overrides, interior, sensitivity = {}, {}, {}
    copies = find_aa_pairs({arm.name: arm.config.signature_tree() for arm in plan.arms})
    for arm in (a.name for a in plan.arms):
        means = {
            value: sign * float(np.mean(found))
            for value, found in values.get(copies.get(arm, arm), {}).items()
            if len(found) == tune.n_seeds and np.isfinite(found).all()
        }
        if not means:
            raise ConfigError(
                f"tuning: arm {arm} has no value of {tune.key} with a finite {tune.metric} at "
                "every tuning seed"
            )
        best = min(means, key=means.__getitem__)
        overrides[arm] = f"{tune.key}={format_value(best)}"
        interior[arm] = min(tune.grid) < best < max(tune.grid)
        # Without the values that failed, the most sensitive arm would look the most robust.
        whole = len(means) == len(tune.grid)
        losses = [mean - means[best] for mean in means.values()]
        sensitivity[arm] = float(np.mean(losses)) if whole else math.nan
    return TuningResult(overrides, interior, sensitivity, rows)


def split_variant_name(name: str, plan: Plan, tune: Tune) -> tuple[str, float]:
    """The arm and the value behind a variant's name."""
    return next(
        (arm.name, value)
        for arm in plan.arms
        for value in tune.grid
        if variant_name(arm.name, value) == name
    )


def tune(plan: Plan, config: DictConfig, overrides: Sequence[str]) -> tuple[Plan, TuningResult]:
    """Compute the tuning trials of a plan; the plan in which every arm has its best value."""
    grid = grid_plan(plan, config, overrides)
    entries = run_trials(grid, f"{plan.experiment}, tuning")
    raise_if_any_failed(
        grid, entries, "there is no report: the arms are known once all tuning trials are computed"
    )
    try:
        tuned = choose_best_values(plan, entries)
    except ConfigError as error:  # the trials are computed: nothing was refused
        raise StudyError(str(error)) from error
    arms = {arm.name: [*plan.study.arms[arm.name], tuned.overrides[arm.name]] for arm in plan.arms}
    best = planning.make_plan(
        config, overrides, arms=arms, command=plan.command, text_hashes=plan.text_hashes
    )
    return best, tuned

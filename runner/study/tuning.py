"""Fair tuning: every arm gets the same grid and the same number of trials. Imports no torch.

Tuning uses seeds and held-out data that the report does not use. So the reported loss is not biased
by choosing the lowest one. An arm with one value of the grid is an arm like any other: its trials
are stored, reused and resumed.
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
    """The result of tuning.

    Attributes:
        overrides: for each arm the override that sets its best value.
        interior: whether the best value of an arm lies inside the grid. If it is at the edge, a
            better one may lie beyond.
        sensitivity: the mean over the grid of (metric of a value - metric of the best value), by
            arm (Wortsman et al. 2023). Its sign is such that a larger number is worse. A diverged
            trial counts as its first loss. NaN if a value of the grid was excluded.
        rows: all measurements: arm, seed, value, metric.
    """

    overrides: Mapping[str, str]
    interior: Mapping[str, bool]
    sensitivity: Mapping[str, float]
    rows: Sequence[Mapping[str, Any]]


def variant_overrides(plan: Plan, tune: Tune) -> dict[str, list[str]]:
    """Return the arms of tuning with their overrides: each arm with each value of the grid.

    The second arm of an A/A pair is left out. It gets the tuned value of its original: otherwise
    the two would be different arms.
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
    """Return a value for an override: whole numbers without a point, as integer keys need them."""
    return str(int(value)) if value == int(value) else repr(value)


def variant_name(arm: str, value: float) -> str:
    """Return the name of an arm with one value of the grid."""
    return f"{arm}.{value:g}"


def grid_plan(plan: Plan, config: DictConfig, overrides: Sequence[str]) -> Plan:
    """Return the plan of the tuning trials.

    Raises:
        ConfigError: an arm or the command line sets the tuned key, too.
    """
    tune = plan.study.tune
    for origin, texts in (
        ("the command line", overrides),
        *((f"arm {arm.name}", plan.study.arms[arm.name]) for arm in plan.arms),
    ):
        if any(override.lstrip("+").split("=")[0] == tune.key for override in texts):
            raise ConfigError(f"tune.key={tune.key}: {origin} sets it too; remove one of the two")
    seeds = range(tune.first_seed, tune.first_seed + tune.n_seeds)
    variants_plan = planning.make_plan(
        config,
        overrides,
        arms=variant_overrides(plan, tune),
        command=plan.command,
        evaluation=Evaluation.tuning,
        text_hashes=plan.text_hashes,
    )
    return replace(variants_plan, seeds=tuple(seeds), notes=[])  # the tuned plan has the notes


def choose_best_values(plan: Plan, entries: Sequence[Entry]) -> TuningResult:
    """Return the best value of each arm, by the mean over the tuning seeds.

    A value is excluded if the metric of one of its trials is missing or not finite.

    Raises:
        ConfigError: all values of an arm are excluded.
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
            value: sign * float(np.mean(scores))
            for value, scores in values.get(copies.get(arm, arm), {}).items()
            if len(scores) == tune.n_seeds and np.isfinite(scores).all()
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
        is_complete = len(means) == len(tune.grid)
        losses = [mean - means[best] for mean in means.values()]
        sensitivity[arm] = float(np.mean(losses)) if is_complete else math.nan
    return TuningResult(overrides, interior, sensitivity, rows)


def split_variant_name(name: str, plan: Plan, tune: Tune) -> tuple[str, float]:
    """Return the arm and the value of a variant."""
    return next(
        (arm.name, value)
        for arm in plan.arms
        for value in tune.grid
        if variant_name(arm.name, value) == name
    )


def tune(plan: Plan, config: DictConfig, overrides: Sequence[str]) -> tuple[Plan, TuningResult]:
    """Compute the tuning trials; return the plan with the best value of every arm, and the result.

    Raises:
        ConfigError: an arm or the command line sets the tuned key, too.
        StudyError: tuning trials failed, or an arm has no value with a finite metric.
    """
    grid = grid_plan(plan, config, overrides)
    entries = run_trials(grid, "tuning")
    raise_if_any_failed(
        grid,
        entries,
        "there is no report: the values of the arms are known only after all tuning trials",
    )
    try:
        result = choose_best_values(plan, entries)
    except ConfigError as error:  # StudyError, because the trials were computed
        raise StudyError(str(error)) from error
    arms = {arm.name: [*plan.study.arms[arm.name], result.overrides[arm.name]] for arm in plan.arms}
    best = planning.make_plan(
        config, overrides, arms=arms, command=plan.command, text_hashes=plan.text_hashes
    )
    return best, result
